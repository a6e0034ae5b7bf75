"""The user data of a training machine: switch it off in the end whatever happens, fetch the code, start the agent."""

from __future__ import annotations

import json
import shlex
from dataclasses import asdict

from dogbreed.cloud.machine_agent import Orders
from dogbreed.errors import DogbreedError
from dogbreed.launch import ENVIRONMENT

# RunInstances takes this many bytes before base64.
MOST_BYTES = 16384

# The first lines are what ends the machine when everything else fails: they need neither network nor the agent nor
# whoever started it. `shutdown` counts minutes and survives this script; the sleeping one counts seconds.
_SCRIPT = """#!/bin/bash
# dogbreed trains run {run} here. This machine ends by itself; InstanceInitiatedShutdownBehavior is terminate.
shutdown -h +{minutes} 'dogbreed: the time limit is reached'
(sleep {seconds}; shutdown -h now) &
trap 'shutdown -h now' EXIT
set -u
export AWS_DEFAULT_REGION={region} AWS_RETRY_MODE=adaptive AWS_MAX_ATTEMPTS=10
work=$(mktemp -d "${{TMPDIR:-/var/tmp}}/dogbreed.XXXXXX") && cd "$work" || exit 1
# The rights of a new role take some seconds to arrive everywhere.
for try in 1 2 3 4 5 6 7 8 9 10; do
  aws s3 cp --only-show-errors s3://{bucket}/{key} code.tar.gz && break
  sleep 5
done
echo '{sha256}  code.tar.gz' | sha256sum --check --status || {{ echo 'dogbreed: not the code that was sent'; exit 1; }}
mkdir code && tar -xzf code.tar.gz -C code || exit 1
cat > orders.json <<'END'
{orders}
END
python=/opt/pytorch/bin/python
[ -x "$python" ] || python=$(command -v python3)
as=()
for user in ec2-user ubuntu; do
  if id "$user" >/dev/null 2>&1 && chown -R "$user" "$work" && runuser -u "$user" -- "$python" -c ''; then
    as=(runuser -u "$user" --)
    break
  fi
done
export PYTHONPATH="$work/code" HOME="$work" {environment}
${{as[@]+"${{as[@]}}"}} "$python" -m dogbreed.cloud.machine_agent orders.json "$SECONDS"
"""


def user_data(orders: Orders, *, region: str, key: str, sha256: str) -> str:
    """The script for machines that follow `orders`; the code is a gzipped tar at `key` of the bucket.

    It holds no secret: the machine's role fetches the code, and only these bytes are run. Raises DogbreedError where it
    is longer than AWS takes.
    """
    text = _SCRIPT.format(
        run=orders.run,
        minutes=max(1, -(-int(orders.limit_s) // 60)),
        seconds=int(orders.limit_s),
        region=shlex.quote(region),
        bucket=orders.bucket,
        key=shlex.quote(key),
        sha256=sha256,
        orders=json.dumps(asdict(orders)),
        environment=" ".join(f"{name}={value}" for name, value in ENVIRONMENT.items()),
    )
    if len(text.encode()) > MOST_BYTES:
        raise DogbreedError("the machines' start script is longer than EC2 takes", "use a shorter run name")
    return text
