"""Write dogbreed/audit/data/image_accounts.json: the accounts of AWS that publish SageMaker's images.

Run it with `sagemaker` (Apache-2.0) installed, whose tables it reads: `python scripts/make_image_accounts.py`.
"""

from __future__ import annotations

import json
import re
from importlib.metadata import version
from importlib.resources import files
from pathlib import Path

TARGET = Path(__file__).parent.parent / "dogbreed" / "audit" / "data" / "image_accounts.json"


def main() -> None:
    """Write the file anew; the same input gives the same bytes."""
    folder = files("sagemaker") / "core" / "image_uri_config"
    texts = [one.read_text(encoding="utf-8") for one in folder.iterdir() if one.name.endswith(".json")]
    accounts = sorted({account for text in texts for account in re.findall(r'"(\d{12})"', text)})
    data = {"source": f"sagemaker {version('sagemaker')}", "accounts": accounts}
    TARGET.write_text(json.dumps(data, indent=0) + "\n", encoding="utf-8")
    print(f"{TARGET.name}: {len(accounts)} accounts")  # noqa: T201


if __name__ == "__main__":
    main()
