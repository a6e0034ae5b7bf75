"""`--can PRINCIPAL ACTION RESOURCE`: the question answered from everything that was found."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dogbreed.audit.answer import NO, UNKNOWN
from dogbreed.audit.attached import policies_of, unknown_policies
from dogbreed.audit.decide import Decision, Layers, Request, decide
from dogbreed.audit.limits import level
from dogbreed.audit.model import Corpus, Kind, Policy, Principal
from dogbreed.audit.who import Who, read


def can(
    corpus: Corpus,
    principal: str,
    action: str,
    resource: str,
    context: Mapping[str, Sequence[str]] | None = None,
    account: str = "",
) -> Decision:
    """Whether a principal may do something to a resource.

    `principal` is an ARN (of a user, role, session or root), an account, a service or `*`; a principal that is not
    among those found has the policies of the only one without a name, else those that stand alone. Condition keys that
    `context` does not name are absent.
    `account` is the owner of a resource whose ARN does not say it.
    """
    who = read(principal)
    known = _find(corpus, who, principal)
    # A bare name stands for the principal that is called so.
    actor = known.arn if known and known.arn and not who.account else principal
    request = Request(actor, action, resource, dict(context or {}), account, known.tags if known else {})
    resource_policies = _of_resource(corpus, action, resource)
    if known is None:
        return decide(request, _alone(corpus, resource_policies))
    layers = Layers(policies_of(known), resource_policies, known.boundary, scps=known.scps)
    decision = decide(request, layers)
    denied = decision.answer is NO
    missing = ", ".join(unknown_policies(known)) if denied else known.boundary_unresolved
    if missing and not (denied and decision.statement):
        return Decision(UNKNOWN, f"{decision.explanation}, but the text of {missing} is not known", decision.statement)
    return decision


def _find(corpus: Corpus, who: Who, text: str) -> Principal | None:
    """The principal that acts, by ARN or by name."""
    for one in corpus.principals:
        if one.arn and one.arn in (who.arn, who.role):
            return one
    role = who.role.rsplit("/", maxsplit=1)[-1]
    for one in corpus.principals:
        if one.kind == "role" and role and one.name == role and (not one.account or one.account == who.account):
            return one
    nameless = [one for one in corpus.principals if not one.arn and who.account]
    # One file that holds the policies of somebody, without a name, is about whoever is asked for.
    return next((one for one in corpus.principals if one.name == text), nameless[0] if len(nameless) == 1 else None)


def _alone(corpus: Corpus, resource_policies: Sequence[Policy]) -> Layers:
    """The layers that the policies make that stand alone, by their kind."""
    by_kind: dict[Kind, list[Policy]] = {kind: [] for kind in Kind}
    for policy in corpus.policies:
        by_kind[policy.kind].append(policy)
    boundaries = by_kind[Kind.BOUNDARY]
    return Layers(
        [*by_kind[Kind.IDENTITY], *by_kind[Kind.PERMISSION_SET]],
        resource_policies,
        boundaries[0] if boundaries else None,
        by_kind[Kind.SESSION] or None,
        level(by_kind[Kind.SCP]),
        level(by_kind[Kind.RCP]),
        by_kind[Kind.VPC_ENDPOINT][0] if by_kind[Kind.VPC_ENDPOINT] else None,
    )


def _of_resource(corpus: Corpus, action: str, resource: str) -> list[Policy]:
    """The policies of the resource: of its bucket, for an object; the trust policy, for a role that is assumed."""
    kind = Kind.TRUST if action.lower().startswith("sts:assume") else Kind.RESOURCE
    found = [policy for policy in corpus.every_policy() if policy.kind is kind]
    return [policy for policy in found if _belongs(policy.attached_to, resource)]


def _belongs(attached_to: str, resource: str) -> bool:
    if not attached_to or not attached_to.startswith("arn:"):
        return not attached_to
    return resource == attached_to or resource.startswith((f"{attached_to}/", f"{attached_to}:"))
