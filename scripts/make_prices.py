"""Make dogbreed/prices.json from a collection of price facts: `python scripts/make_prices.py FACTS.json`.

FACTS.json holds, for each instance type, what it has and what it costs by region, each figure with its source and how
much that is to be trusted. Only what dogbreed uses is taken over; a figure that was not found is left out, which means
unknown.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

TO = Path(__file__).parent.parent / "dogbreed" / "prices.json"


def main(facts: dict[str, Any]) -> dict[str, Any]:
    """The content of prices.json."""
    sources = facts["sources"]
    made = {
        "date": facts["generated"],
        "currency": facts["currency"],
        "notes": facts["notes"][:2],
        "sources": {
            name: {"what": one["what"], "date": one["date"], "kind": one["kind"]} for name, one in sources.items()
        },
        "instances": {one["ec2_name"]: instance(one) for one in facts["instances"].values()},
        "other": {},
    }
    for name, figure in facts["other"].items():
        for key, one in [(name, figure)] if "usd" in figure else [(f"{name}_{k}", v) for k, v in figure.items()]:
            if not isinstance(one, dict) or one["usd"] is None:
                continue
            kept = {field: one[field] for field in ("usd", "unit", "source", "confidence", "note") if one.get(field)}
            made["other"].setdefault(key.removesuffix(f"_{one['region']}"), {})[one["region"]] = kept
    return made


def instance(one: dict[str, Any]) -> dict[str, Any]:
    """One type of the table."""
    spec, offered = one["spec"], one.get("offered_by_api", {})
    sagemaker = one.get("sagemaker", {})
    memory = spec["gpu_memory_mib_each"]
    return {
        "vcpu": spec["vcpu"],
        "memory_gib": spec["memory_gib"],
        "arch": {"amd64": "x86_64", "arm64": "arm64"}[spec["arch"]],
        "gpu": spec["gpu_model"],
        "gpus": spec["gpu_count"] or 0,
        "gpu_memory_gib": round(memory / 1024, 1) if memory else None,
        "accelerator": spec["accelerator_model"],
        "network_gbps": spec["network_baseline_gbps"],
        "nvme_gb": spec["local_nvme_gb"],
        "burstable": spec["burstable"],
        "training": bool(offered.get("training")),
        "hosting": bool(offered.get("hosting")),
        "usd": {
            "ec2": figures(one.get("ec2", {})),
            "training": figures(sagemaker.get("training", {})),
            "hosting": figures(sagemaker.get("hosting", {})),
        },
        "spot_discount_percent": {
            region: [*sample["discount_vs_on_demand_pct"], sample["source"]]
            for region, sample in one.get("ec2_spot_sample", {}).items()
        },
    }


def figures(regions: dict[str, Any]) -> dict[str, Any]:
    """Its prices by region, but for those that were not found."""
    return {
        region: {key: one[key] for key in ("source", "confidence", "note") if one.get(key)}
        | {"usd": one["usd_per_hour"]}
        for region, one in regions.items()
        if one["usd_per_hour"] is not None
    }


if __name__ == "__main__":
    made = main(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8")))
    TO.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
