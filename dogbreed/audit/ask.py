"""`--can PRINCIPAL ACTION RESOURCE`: the question answered from everything that was found."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import replace

from dogbreed.audit.answer import NO, UNKNOWN
from dogbreed.audit.attached import policies_of, unknown_policies
from dogbreed.audit.decide import Decision, Layers, Request, decide
from dogbreed.audit.document import make_policy
from dogbreed.audit.limits import level
from dogbreed.audit.model import NOWHERE, OWN_ACCOUNT, Corpus, Kind, Policy, Principal
from dogbreed.audit.who import Kind as WhoKind
from dogbreed.audit.who import Who, read

# role/NAME, user/NAME (with a path or not), or a bare name; providers and services have a dot in theirs.
_PLAIN = re.compile(r"(?:role|user)/[\w+=,.@/-]+|[\w+=,@-]+")
_EVERYTHING = make_policy(
    {"Version": "2012-10-17", "Statement": [{"Effect": "Allow", "Action": "*", "Resource": "*"}]},
    Kind.IDENTITY,
    "everything",
    NOWHERE,
)


def can(
    corpus: Corpus,
    principal: str,
    action: str,
    resource: str,
    context: Mapping[str, Sequence[str]] | None = None,
    account: str = "",
) -> Decision:
    """Whether a principal may do something to a resource.

    `principal` is an ARN (of a user, role, session or root), `role/NAME`, `user/NAME`, a name, an account, a service
    or `*`. One that is not among those found has the policies of the only one without a name, else a policy that is
    all there is; otherwise its own policies are unknown. Condition keys that `context` does not name are absent.
    `account` is the owner of a resource whose ARN does not say it.
    """
    decision = _can(corpus, principal, action, resource, context or {}, account)
    if corpus.errors and not (decision.answer is NO and decision.statement):
        return Decision(UNKNOWN, f"{decision.explanation}, but not everything could be read", decision.statement)
    return decision


def _can(
    corpus: Corpus, principal: str, action: str, resource: str, context: Mapping[str, Sequence[str]], account: str
) -> Decision:
    asked = _full(corpus, principal, resource)
    who = read(asked)
    known = _find(corpus, who, principal)
    resource_policies = _of_resource(corpus, action, resource)
    if known is None:
        request = Request(asked, action, resource, context, account)
        layers = _alone(corpus, resource_policies)
        if who.kind not in (WhoKind.USER, WhoKind.ROLE):
            return decide(request, layers)
        return _of_stranger(corpus, principal, request, layers)
    layers = Layers(policies_of(known), resource_policies, known.boundary, scps=known.scps)
    # A role of a template has no account yet: its ARN there and the one that is asked for are of the same role.
    names = {known.arn or asked, asked if ":" in principal or known.account == OWN_ACCOUNT else known.arn or asked}
    tags = known.tags
    found = [decide(Request(name, action, resource, context, account, tags), layers) for name in sorted(names)]
    denials = [one for one in found if one.answer is NO and one.statement]
    decision = denials[0] if denials else max(found, key=lambda one: one.answer)
    denied = decision.answer is NO
    missing = ", ".join(unknown_policies(known)) if denied else known.boundary_unresolved
    if missing and not (denied and decision.statement):
        return Decision(UNKNOWN, f"{decision.explanation}, but the text of {missing} is not known", decision.statement)
    return decision


def _of_stranger(corpus: Corpus, principal: str, request: Request, layers: Layers) -> Decision:
    """The answer for a user or role that was not found: sure only where its own policies cannot change it."""
    if len(layers.identity) == 1 and not corpus.principals:
        decision = decide(request, layers)
        words = f"{decision.explanation} ({principal} is judged as if this policy were its only one)"
        return Decision(decision.answer, words, decision.statement)
    least = decide(request, replace(layers, identity=()))
    most = decide(request, replace(layers, identity=(_EVERYTHING,)))
    sure = least.answer is most.answer and (most.answer is not NO or most.statement or layers.resource)
    if sure and most.answer is not UNKNOWN:
        decision = most if most.answer is NO else least
        words = f"{decision.explanation}, whatever policies {principal} has: it is not in what was read"
        return Decision(decision.answer, words, decision.statement)
    return Decision(UNKNOWN, f"{principal} is not in what was read, so its policies are not known")


def _full(corpus: Corpus, text: str, resource: str) -> str:
    """The ARN that `role/NAME`, `user/NAME` or a bare name stands for: in the files' account, else the resource's."""
    owner = resource.split(":", 5)[4] if resource.count(":") >= 5 else ""
    account = owner if corpus.account == OWN_ACCOUNT and owner.isdigit() else corpus.account
    if _PLAIN.fullmatch(text) and not text.isdigit() and text != "anonymous":
        return f"arn:aws:iam::{account}:{text if '/' in text else f'role/{text}'}"
    return text


def _find(corpus: Corpus, who: Who, text: str) -> Principal | None:
    """The principal that acts, by ARN, by kind and name, or by name."""
    for one in corpus.principals:
        if one.arn and one.arn in (who.arn, who.role, text):
            return one
    kind = "role" if who.role else "user"
    name = (who.role or who.arn).rsplit("/", maxsplit=1)[-1]
    loose = ":" not in text
    for one in corpus.principals:
        here = one.account in ("", OWN_ACCOUNT, who.account) or loose
        if who.account and one.name == name and here and (one.kind == kind or text == name):
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
