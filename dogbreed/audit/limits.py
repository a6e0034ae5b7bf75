"""What bounds from outside: control policies bind every principal, a boundary the one policy that it lies beside.

After the AWS Organizations User Guide, "Service control policies": they grant nothing, and bind no service-linked role.
"""

from __future__ import annotations

from collections.abc import Sequence

from dogbreed.audit.document import make_policy
from dogbreed.audit.model import NOWHERE, Corpus, Kind, Policy

_FULL = {"Version": "2012-10-17", "Statement": {"Effect": "Allow", "Action": "*", "Resource": "*", "Principal": "*"}}
_FULL_ARN = "arn:aws:organizations::aws:policy/service_control_policy/p-FullAWSAccess"


def level(policies: Sequence[Policy]) -> list[list[Policy]]:
    """Control policies as one level; where all of them only deny, AWS's own that allows everything is there too."""
    if not policies:
        return []
    allows = any(statement.allows for policy in policies for statement in policy.statements)
    full = [] if allows else [make_policy(_FULL, Kind.SCP, "FullAWSAccess", NOWHERE, arn=_FULL_ARN)]
    return [[*policies, *full]]


def bind(corpus: Corpus) -> None:
    """Give the service control policies that stand alone to every principal that has none of its own."""
    levels = level([one for one in corpus.policies if one.kind is Kind.SCP])
    for principal in corpus.principals:
        principal.scps = principal.scps or levels


def of_alone(corpus: Corpus) -> list[list[Policy]]:
    """What bounds somebody who has just one policy that stands alone.

    A boundary counts where there is nothing else that it can be meant for: one boundary, one policy, no principal.
    """
    if "limits" not in corpus.computed:
        found = level([one for one in corpus.policies if one.kind is Kind.SCP])
        boundaries = [one for one in corpus.policies if one.kind is Kind.BOUNDARY]
        bounded = [one for one in corpus.policies if one.kind in (Kind.IDENTITY, Kind.PERMISSION_SET)]
        if len(boundaries) == len(bounded) == 1 and not corpus.principals:
            found.append(boundaries)
        corpus.computed["limits"] = found
    limits: list[list[Policy]] = corpus.computed["limits"]
    return limits
