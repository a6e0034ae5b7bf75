"""Write dogbreed/audit/data/managed_policies.json.gz from the AWS-managed policies that moto carries.

Run it after `pip install --upgrade moto`: `python scripts/make_managed_policies.py`. The texts are facts that AWS
publishes; only documents and the newest date of change are kept, without the policies of service-linked roles, which
nobody can attach.
"""

from __future__ import annotations

import gzip
import json
from pathlib import Path

from moto.iam.aws_managed_policies import aws_managed_policies_data

TARGET = Path(__file__).parent.parent / "dogbreed" / "audit" / "data" / "managed_policies.json.gz"


def main() -> None:
    """Write the file anew; the same input gives the same bytes."""
    policies = json.loads(aws_managed_policies_data)
    documents = {
        one["Path"].removeprefix("/") + name: one["Document"]
        for name, one in policies.items()
        if not one["Path"].startswith("/aws-service-role/")
    }
    date = max(one.get("UpdateDate") or one["CreateDate"] for one in policies.values())[:10]
    # Each policy stays a text of its own, so that reading one does not mean parsing a thousand.
    texts = {name: json.dumps(documents[name], separators=(",", ":")) for name in sorted(documents)}
    data = json.dumps({"date": date, "policies": texts}, separators=(",", ":")).encode()
    TARGET.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{TARGET.name}: {len(texts)} policies, {date}, {TARGET.stat().st_size} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
