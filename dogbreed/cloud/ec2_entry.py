"""One training process on an EC2 machine: `python -m dogbreed.cloud.ec2_entry WORK`, as torchrun starts it."""

from __future__ import annotations

import sys
from pathlib import Path

from dogbreed.cloud import ec2_worker as places


def main() -> int:
    """Train with what the agent has put into the folder WORK; the exit code."""
    work = Path(sys.argv[1])
    # Last, so that what the machine itself has goes before (`dogbreed.cloud.payload`).
    sys.path.append(str(work / places.CODE / "vendor"))
    from dogbreed.train import host

    return host.main(
        host.Places(
            code=work / places.CODE,
            photos=work / places.SHARDS,
            checkpoints=work / places.CHECKPOINTS,
            output=work / places.OUTPUT,
            work=work / places.HOST,
            job=work / places.JOB,
            failure=work / places.FAILURE,
        )
    )


if __name__ == "__main__":
    sys.exit(main())
