"""The docker of machines: what it refuses, in docker's words, before it runs anything."""

from __future__ import annotations

import instances
import pytest

from dogbreed.rehearse.state import Server

IMAGE = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/dogbreed:none"
SCRIPT = f"""
docker ps
dnf install -y docker nginx
dnf install -y docker
docker ps
systemctl enable --now docker
docker pull {IMAGE}
docker pull nginx
aws ecr get-login-password | docker login --username AWS --password-stdin {IMAGE.partition("/")[0]}
docker pull {IMAGE}
docker swarm init
docker run -d --privileged {IMAGE}
docker stop nobody
docker ps -a -q
echo all of it is said
"""
SAYS = (
    "docker: command not found",
    "No match for argument: nginx",
    "Cannot connect to the Docker daemon",
    "no basic auth credentials",
    "the stand-in has ECR alone",
    "Login Succeeded",
    "RepositoryNotFoundException",
    "'swarm' is not a docker command",
    "unrecognized arguments: --privileged",
    "No such container: nobody",
)


@pytest.mark.slow
def test_it_is_refused_in_docker_s_words(either: Server) -> None:
    (name,) = instances.run(SCRIPT, IamInstanceProfile={"Name": instances.profile()})
    console = instances.shown(name, "all of it is said")
    places = [console.find(words) for words in SAYS]
    assert -1 not in places, console
    assert places == sorted(places)
