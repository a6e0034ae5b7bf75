"""Says of a policy what ValidatePolicy would say of it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dogbreed.audit import facts
from dogbreed.audit.finding import Finding, Undecided, check
from dogbreed.audit.model import Corpus, Kind, Policy
from dogbreed.audit.pattern import arn_overlaps
from dogbreed.audit.validity.actions import look_at_actions
from dogbreed.audit.validity.codes import RULES
from dogbreed.audit.validity.conditions import look_at_conditions
from dogbreed.audit.validity.elements import (
    look_at_elements,
    look_at_sids,
    look_at_size,
    look_at_top,
    look_for_twins,
)
from dogbreed.audit.validity.grants import look_at_grants
from dogbreed.audit.validity.look import Look, Part, unknown
from dogbreed.audit.validity.principals import look_at_principals
from dogbreed.audit.validity.resources import look_at_resources
from dogbreed.audit.validity.trust import look_at_trust
from dogbreed.audit.validity.variables import look_at_text, look_elsewhere


@check(*RULES.values(), over=Policy)
def validity(policy: Policy, corpus: Corpus) -> Iterator[Finding | Undecided]:
    """Every code for one policy; AWS's own policies are not the user's to mend."""
    if ":aws:policy/" not in policy.arn:
        yield from dict.fromkeys(look_at_policy(policy))


def look_at_policy(policy: Policy) -> list[Finding | Undecided]:
    """What is wrong with a policy, from its document as it was written."""
    if not isinstance(policy.document, Mapping):
        return []
    look = Look(policy)
    parts: list[Part] = []
    for path, statement in look_at_top(look):
        if unknown(statement):
            continue
        if not isinstance(statement, Mapping):
            look.say("DATA_TYPE_MISMATCH", path, "a statement is no object")
            continue
        part = Part(statement, path)
        parts.append(part)
        _look_at_statement(look, part)
    look_at_sids(look, parts)
    look_for_twins(look, parts)
    look_at_size(look)
    return look.said


def _look_at_statement(look: Look, part: Part) -> None:
    look_at_elements(look, part)
    look_elsewhere(look, part)
    look_at_principals(look, part)
    look_at_actions(look, part)
    if look.kind is Kind.TRUST:
        look_at_trust(look, part)
    else:
        look_at_resources(look, part)
    for element in ("Resource", "NotResource"):
        for path, text in part.texts(element):
            look_at_text(look, path, text, look.policy.version)
    look_at_conditions(look, part)
    look_at_grants(look, part)
    _look_at_home(look, part)
    if look.kind is Kind.RCP:
        _look_at_rcp(look, part)


def _look_at_home(look: Look, part: Part) -> None:
    """A trust policy and a bucket's policy are about the role and the bucket, and hold no actions of other services."""
    bucket = look.policy.attached_to if ":s3:::" in look.policy.attached_to else ""
    service = "sts" if look.kind is Kind.TRUST else "s3" if bucket and look.kind is Kind.RESOURCE else ""
    if not service:
        return
    for element in ("Action", "NotAction"):
        for path, action in part.texts(element):
            other = action.partition(":")[0].lower()
            if "*" not in other and "?" not in other and other != service and other in facts.services():
                look.say("UNSUPPORTED_ACTION_IN_POLICY", path, f"{action} is no action on what this policy belongs to")
    for path, arn in part.texts("Resource") if bucket else ():
        of_bucket = arn == "*" or arn_overlaps(arn, bucket).possible or arn_overlaps(arn, f"{bucket}/*").possible
        if arn.startswith("arn:") and "${" not in arn and not of_bucket:
            look.say("UNSUPPORTED_RESOURCE_ARN_IN_POLICY", path, f"{arn} is not in {bucket}")


def _look_at_rcp(look: Look, part: Part) -> None:
    if part.allows:
        look.say("RCP_SYNTAX_ERROR_ALLOW", part.at("Effect"), "an RCP allows nothing: AWS attaches the one that does")
    if part.has("NotAction"):
        look.say("RCP_SYNTAX_ERROR_NOTACTION", part.at("NotAction"), "an RCP cannot have NotAction")
    for path, action in part.texts("Action"):
        service = action.partition(":")[0].lower()
        if action == "*" or (service in facts.services() and service not in facts.rcp_services()):
            look.say("RCP_SYNTAX_ERROR_ACTION", path, f"an RCP cannot hold {action}")
