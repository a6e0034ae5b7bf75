"""Write dogbreed/audit/data/sam_policies.json.gz from the policy templates of aws-sam-translator (Apache-2.0).

Run it with that package installed: `pip install aws-sam-translator`, `python scripts/make_sam_policies.py`.
"""

from __future__ import annotations

import gzip
import json
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

TARGET = Path(__file__).parent.parent / "dogbreed" / "audit" / "data" / "sam_policies.json.gz"


def main() -> None:
    """Write the file anew; the same input gives the same bytes."""
    text = (files("samtranslator") / "policy_templates_data" / "policy_templates.json").read_text(encoding="utf-8")
    templates = json.loads(text)["Templates"]
    kept = {name: templates[name]["Definition"] for name in sorted(templates)}
    data = json.dumps({"version": version("aws-sam-translator"), "templates": kept}, separators=(",", ":")).encode()
    TARGET.write_bytes(gzip.compress(data, 9, mtime=0))
    print(f"{TARGET.name}: {len(kept)} templates, {TARGET.stat().st_size} bytes")  # noqa: T201


if __name__ == "__main__":
    main()
