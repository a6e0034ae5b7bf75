"""Trust policies: the action each kind of principal needs, and the conditions that federated ones cannot do without."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from dogbreed.audit.source import Path
from dogbreed.audit.validity.look import Look, Part, texts

_GITHUB = "token.actions.githubusercontent.com"
# Claims that say who comes, by provider; a provider that is not here has `sub` and `aud`.
_SHARED = (_GITHUB, "gitlab.com", "app.terraform.io", "accounts.google.com", "graph.facebook.com", "www.amazon.com")
_ANYWHERE = ("sts:assumerole", "sts:tagsession", "sts:setsourceidentity")
_WEB, _SAML, _PLAIN = "sts:assumerolewithwebidentity", "sts:assumerolewithsaml", "sts:assumerole"
_NEEDS = {"sts:transitivetagkeys": "sts:TagSession", "sts:sourceidentity": "sts:SetSourceIdentity"}


def look_at_trust(look: Look, part: Part) -> None:
    """One statement of a trust policy."""
    for element in ("Resource", "NotResource"):
        if part.has(element):
            look.say("ROLE_TRUST_POLICY_SYNTAX_ERROR_RESOURCE", part.at(element), "the resource is the role itself")
    principal = part.values.get("Principal")
    if not part.allows or not isinstance(principal, Mapping) or not part.has("Action"):
        return
    actions = [text.lower() for _, text in part.texts("Action")]
    _look_for_missing_actions(look, part, actions)
    for kind, names in principal.items():
        for path, name in texts(names, part.at("Principal", kind)):
            wanted = _action_of(str(kind).lower(), name)
            assumes = [one for one in actions if one in (_WEB, _SAML, _PLAIN)]
            if wanted and assumes and wanted not in assumes:
                look.say("MISMATCHED_ACTION_FOR_PRINCIPAL", path, f"{name} cannot use {', '.join(assumes)}")
            if name == "rolesanywhere.amazonaws.com" and not any("*" in one for one in actions):
                missing = [one for one in _ANYWHERE if one not in actions]
                if missing:
                    code = "MISSING_ACTION_FOR_ROLES_ANYWHERE_TRUST_POLICY"
                    look.say(code, path, f"IAM Roles Anywhere also needs {', '.join(missing)}")
            if str(kind).lower() == "federated" and wanted == _WEB:
                _look_at_web_identity(look, part, path, name)


def _action_of(kind: str, name: str) -> str:
    if kind != "federated":
        return _PLAIN
    return _SAML if ":saml-provider/" in name else _WEB


def _conditions(part: Part) -> Iterator[tuple[str, str, Path, list[tuple[Path, str]]]]:
    """Operator and key in small letters, the key's path, and its values."""
    block = part.values.get("Condition")
    for operator, pairs in block.items() if isinstance(block, Mapping) else ():
        for key, value in pairs.items() if isinstance(pairs, Mapping) else ():
            path = part.at("Condition", operator, key)
            yield str(operator).lower(), str(key).lower(), path, texts(value, path)


def _look_for_missing_actions(look: Look, part: Part, actions: list[str]) -> None:
    if any("*" in one for one in actions):
        return
    for _, key, path, _ in _conditions(part):
        needed = "sts:TagSession" if key.startswith("aws:requesttag/") else _NEEDS.get(key)
        if needed and needed.lower() not in actions:
            look.say("MISSING_ACTION_FOR_CONDITION_KEY", path, f"{key} is there only when {needed} is allowed too")


def _look_at_web_identity(look: Look, part: Part, path: Path, name: str) -> None:
    """Providers that everybody may have an account with need to be told whose tokens are meant."""
    host = name.partition(":oidc-provider/")[2] or name
    own = [one for one in _conditions(part) if one[1].startswith(f"{host.lower()}:")]
    if not own and host in _SHARED and host != _GITHUB:
        look.say("MISSING_CONDITION_KEY_FOR_OIDC_PRINCIPAL", path, f"anyone with an account at {host} may come")
    if host != _GITHUB:
        return
    subjects = [
        one for one in own if one[1].rpartition(":")[2] in ("sub", "repository", "repository_id", "job_workflow_ref")
    ]
    if not subjects:
        look.say("MISSING_GITHUB_REPO_CONDITION_KEY", path, "any repository on GitHub may assume the role")
    for operator, _, place, values in subjects:
        for _, text in values:
            if "like" in operator and ("*" in text or "?" in text):
                code = "SPECIFIC_GITHUB_REPO_AND_BRANCH_RECOMMENDED"
                look.say(code, place, f"{text!r} covers more than one repository or branch")
