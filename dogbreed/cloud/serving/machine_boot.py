"""The user data of a machine of the service: Docker, the image, the model, one container that is not trusted."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from dataclasses import dataclass

from dogbreed.cloud.ec2_boot import MOST_BYTES
from dogbreed.cloud.serving.model import FILE, FOLDER
from dogbreed.errors import DogbreedError

PORT = 8080
# `dogbreed serve` lets requests finish for 30 s; the balancer sends none to a machine for so long before that.
STOP_S, DRAIN_S = 40, 60

# The rights of a new role take some seconds to arrive everywhere, and so may the network.
_SCRIPT = """#!/bin/bash
# dogbreed serves model {digest} here, on port {port}, from {image}.
export AWS_DEFAULT_REGION={region} AWS_RETRY_MODE=adaptive AWS_MAX_ATTEMPTS=10
again() {{
  # A container that was made and did not start would keep its name.
  for try in 1 2 3 4 5 6 7 8; do "$@" && return; docker rm -f dogbreed >/dev/null 2>&1; sleep 5; done
  echo "dogbreed: this failed again and again: $1 $2"
  {failed}
  exit 1
}}
login() {{ aws ecr get-login-password | docker login --username AWS --password-stdin {registry}; }}
home="${{HOME:-/root}}/dogbreed"
mkdir -p "$home" && cd "$home" || exit 1
again dnf install -y -q docker
again systemctl enable --now docker
again aws s3 cp --only-show-errors {model} {file}
rm -rf model && mkdir model && tar -xzf {file} -C model --no-same-owner && rm {file} && chmod -R a+rX model
again login
again docker pull -q {image}
imds=http://169.254.169.254/latest
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $imds/api/token)
me=$(curl -s -H "X-aws-ec2-metadata-token: $token" $imds/meta-data/instance-id)
again docker run -d --name dogbreed --restart always -p {port}:{port} --stop-timeout {stop} \\
  --read-only --tmpfs /tmp --user 10001:10001 --cap-drop ALL --security-opt no-new-privileges --pids-limit 512 \\
  --mount "type=bind,src=$home/model,dst={folder},readonly" {environment} \\
  --log-driver awslogs --log-opt awslogs-region={region} --log-opt awslogs-group={group} \\
  --log-opt "awslogs-stream={stream}/$me" {image} serve
"""


@dataclass(frozen=True)
class Boot:
    """What a machine runs: `image` in ECR, `model` an S3 address, lines to `stream`/ID of the log group `group`.

    `replaces`: a machine that cannot be set up ends itself, where nobody else would notice and replace it.
    """

    image: str
    model: str
    digest: str
    region: str
    group: str
    stream: str
    environment: Mapping[str, str]
    replaces: bool = False


def user_data(boot: Boot) -> str:
    """The script. It holds no secret: the machine's role fetches image and model, and the container gets neither.

    The container has a network of its own, one hop further from the metadata service than its answers go. Raises
    DogbreedError where the script is longer than EC2 takes.
    """
    text = _SCRIPT.format(
        digest=boot.digest,
        image=shlex.quote(boot.image),
        registry=shlex.quote(boot.image.partition("/")[0]),
        model=shlex.quote(boot.model),
        file=FILE,
        folder=FOLDER,
        region=shlex.quote(boot.region),
        group=shlex.quote(boot.group),
        stream=boot.stream,
        environment=" ".join(f"-e {shlex.quote(f'{name}={value}')}" for name, value in boot.environment.items()),
        failed="shutdown -h +5" if boot.replaces else ":",
        port=PORT,
        stop=STOP_S,
    )
    if len(text.encode()) > MOST_BYTES:
        raise DogbreedError("the machines' start script is longer than EC2 takes", "use a shorter name of the image")
    return text
