"""OpenID Connect in trust policies: does a statement fix whose tokens, and which audience, it lets in?"""

from __future__ import annotations

import re
from collections.abc import Iterator

from dogbreed.audit.finding import Severity
from dogbreed.audit.model import HOLE, Condition, Statement

# The beginning of a subject that names an organisation, group or workspace, up to the first wildcard.
_GITHUB = re.compile(r"repo:[^/:*?]+/|(?!repo:)[\w-]+:[^:*?/]+[:/]|repository_owner(_id)?:[^:*?]+")
_ORGANISATION = re.compile(r"[\w-]+:[^:/*?]+[:/]")
# Issuers that many organisations share, by the end of their host: the subject has to name the own one.
_SHARED = {
    "token.actions.githubusercontent.com": _GITHUB,
    "gitlab.com": re.compile(r"project_path:[^/*?]+/|[\w-]+:[^:*?/]+[/:]"),
    "app.terraform.io": re.compile(r"organization:[^:*?]+:"),
    "agent.buildkite.com": re.compile(r"organization:[^:*?]+:"),
    "accounts.google.com": re.compile(r"\d+|[^*?]+"),
    "oidc.fly.io": re.compile(r"[^:*?]+:"),
    "oidc.vercel.com": re.compile(r"owner:[^:*?]+:"),
    "api.pulumi.com": _ORGANISATION,
}
# A repository, environment or step, as Bitbucket writes them in subjects: nothing else has the same.
_UUID = re.compile(r"\{[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\}", re.IGNORECASE)
# Claims beside sub that name whose token it is.
_CLAIMS = (
    "repository", "repository_id", "repository_owner", "repository_owner_id", "job_workflow_ref", "workflow_ref",
    "project_path", "project_id", "namespace_path", "namespace_id", "terraform_organization_id",
    "terraform_organization_name", "terraform_workspace_id", "terraform_project_id", "organization_id",
    "google/organization_number",
)  # fmt: skip
_COGNITO = "cognito-identity.amazonaws.com"
# Providers whose audience is the application that the token is for: it identifies the own users.
_APPLICATIONS = {"graph.facebook.com": "app_id", "www.amazon.com": "app_id"}


def subject_is_open(host: str, statement: Statement) -> Iterator[tuple[str, Severity, str]]:
    """("sub" or "aud", severity, sentence) for each claim that a statement leaves open for an issuer."""
    if HOLE in host:
        host_keys = [condition.key.lower() for condition in statement.conditions]
        host = next((key.rpartition(":")[0] for key in host_keys if key.endswith(":sub")), host)
    claims = _claims(host, statement)
    if host == _COGNITO:
        if not _fixed(claims.get("aud", [])):
            yield "sub", Severity.CRITICAL, "tokens of every Amazon Cognito identity pool are let in"
        return
    if host in _APPLICATIONS:
        if not _fixed(claims.get(_APPLICATIONS[host], [])):
            yield "sub", Severity.CRITICAL, f"users of every application at {host} are let in"
        return
    audience = _fixed(claims.get("aud", [])) or _fixed(claims.get("azp", [])) or _fixed(claims.get("oaud", []))
    if host == "accounts.google.com" and audience:
        return
    shared = _SHARED.get(host)
    subjects = [one for one in claims.get("sub", []) if _counts(one)]
    named = any(_fixed(claims.get(claim, [])) for claim in _CLAIMS)
    if not subjects and not named:
        severity = Severity.CRITICAL if shared else Severity.HIGH
        yield "sub", severity, f"every token of {host} is let in, whoever it was made for"
    elif not named:
        # One condition that names the own tokens is enough; each of its values has to.
        wide = [[text for text in one.values if not _names(text, shared, one)] for one in subjects]
        if all(wide):
            severity = Severity.CRITICAL if shared else Severity.HIGH
            yield "sub", severity, f"the subject {wide[0][0]!r} also names those of others at {host}"
    if not audience:
        yield "aud", Severity.LOW, f"tokens of {host} are let in whatever they were made for"


def _claims(host: str, statement: Statement) -> dict[str, list[Condition]]:
    """{claim: the conditions on it}."""
    found: dict[str, list[Condition]] = {}
    for condition in statement.conditions:
        issuer, _, claim = condition.key.lower().rpartition(":")
        if issuer == host.lower():
            found.setdefault(claim, []).append(condition)
    return found


def _counts(condition: Condition) -> bool:
    """Whether a condition can limit a claim: not negated, and not true for a claim that is missing."""
    operator = condition.operator.lower()
    if operator.startswith("forallvalues:") or not condition.values:
        return False
    base = operator.rpartition(":")[2].removesuffix("ifexists")
    return base in ("stringequals", "stringlike", "stringequalsignorecase", "arnlike", "arnequals")


def _fixed(conditions: list[Condition]) -> bool:
    """Whether a claim has to be one of some values, none of which stands for everything."""
    return any(
        _counts(one) and not any(value.strip("*?") == "" and _is_like(one) for value in one.values)
        for one in conditions
    )


def _is_like(condition: Condition) -> bool:
    return "like" in condition.operator.lower()


def _names(text: str, shared: re.Pattern[str] | None, condition: Condition) -> bool:
    """Whether a subject names whose it is: for a shared issuer the organisation, else anything but `*`."""
    if HOLE in text:
        return True
    if not _is_like(condition):
        # Without wildcards a value is one subject.
        return bool(text)
    prefix = re.split(r"[*?]", text, maxsplit=1)[0]
    if shared is None and _UUID.search(text):
        return True
    if shared is None:
        return prefix.strip(":/") not in ("", "repo", "system", "system:serviceaccount", "org", "project", "user")
    return prefix == text or bool(shared.match(prefix))
