"""An object around policy documents that says how they belong together: {"identity": [...], "boundary": {...}}.

It stands for one principal that has all of them. A plain list of documents does not: each of those stands alone.
"""

from __future__ import annotations

from typing import Any

from dogbreed.audit import limits, managed
from dogbreed.audit.document import find_policies, is_policy, kind_of_key, make_policy, plain_key
from dogbreed.audit.model import Kind, Policy, Principal
from dogbreed.audit.source import Fixed, Path, Source

# What a principal's own policies stand under.
_OWN = ("identity", "identitypolicy", "identitypolicies", "policy", "policies", "attached", "attachedpolicies")


def read_wrapped(value: dict[str, Any], source: Source, name: str, path: Path) -> Principal | None:
    """The principal whose policies an object holds, None when it holds just one, or others than a principal's."""
    parts: dict[Kind, list[Policy]] = {}
    for key, member in value.items():
        kind = Kind.IDENTITY if plain_key(key) in _OWN else kind_of_key(key)
        if kind is None:
            continue
        if _named_boundary(kind, member):
            place = Fixed(source.locate((*path, key)))
            parts[kind] = [make_policy(managed.document(member), kind, member, place, arn=member)]
        elif all(is_policy(one) or isinstance(one, str) for one in (member if isinstance(member, list) else [member])):
            found = find_policies(member, source, f"{name}#{key}", kind_of_key(key), (*path, key))
            if kind is Kind.IDENTITY and any(one.kind is not kind for one in found):
                return None
            parts.setdefault(kind, []).extend(found)
    own, boundaries = parts.get(Kind.IDENTITY, []), parts.get(Kind.BOUNDARY, [])
    together = len(own) > 1 or any(parts.get(kind) for kind in (Kind.BOUNDARY, Kind.TRUST, Kind.SCP))
    if not own or not together or len(boundaries) > 1 or set(parts) - _OF_PRINCIPAL:
        return None
    trust = next(iter(parts.get(Kind.TRUST, [])), None)
    principal = Principal("", "role" if trust else "user", name, source.locate(path), own, trust=trust)
    principal.boundary = boundaries[0] if boundaries else None
    principal.scps = limits.level(parts.get(Kind.SCP, []))
    return principal


_OF_PRINCIPAL = {Kind.IDENTITY, Kind.BOUNDARY, Kind.TRUST, Kind.SCP}


def _named_boundary(kind: Kind, member: Any) -> bool:
    """Whether a boundary is one of AWS's own, by its ARN."""
    return kind is Kind.BOUNDARY and isinstance(member, str) and managed.document(member) is not None
