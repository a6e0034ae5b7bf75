"""The real Dockerfile, built by buildah and run as it will be: not root, a read-only root, no rights; no Docker needed.

The base is made of this machine's Python and the libraries that it loads, and of nothing else: not even a shell. The
packages are real wheels, checked against their digests; tests have no network, so that they are fetched beforehand:

    python -m pip download --no-deps --require-hashes -r dogbreed/serve/image/requirements.txt -d build/wheels
"""

from __future__ import annotations

import json
import os
import platform
import re
import shutil
import signal
import socket
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import boto3
import pip
import pytest
from deployed import another
from program import dogbreed
from service import jpeg
from standin import QUICK, until

from dogbreed.infer.predictor import Predictor
from dogbreed.rehearse import sandbox
from dogbreed.rehearse.state import Server, StandIn
from dogbreed.run import STARTER, Run

ROOT = Path(__file__).parent.parent.parent
LOCK = ROOT / "dogbreed" / "serve" / "image" / "requirements.txt"
WHEELS = ROOT / "build" / "wheels"
NAME = "dogbreed-test"
# What wheels may count on by their kind.
_MANYLINUX = ("librt.so.1", "libdl.so.2", "libpthread.so.0", "libresolv.so.2", "libstdc++.so.6", "libgcc_s.so.1")
_LEFT_OUT = ("site-packages", "test", "idlelib", "tkinter", "turtledemo", "__pycache__", "config-*", "lib2to3")


def missing() -> str:
    if not shutil.which("buildah"):
        return "buildah is not installed (apt-get install buildah)"
    if os.geteuid() != 0 or not shutil.which("unshare"):
        return "it takes root, to change the root of a process"
    if platform.machine() != "x86_64" or sys.version_info[:2] not in ((3, 11), (3, 12), (3, 13)):
        return "the digests are those of Python 3.11 to 3.13 on x86_64"
    pinned = LOCK.read_text(encoding="utf-8").count("==")
    if len(list(WHEELS.glob("*.whl"))) < pinned:
        return f"{WHEELS} lacks wheels: see the top of this file"
    return ""


WHY = missing()
pytestmark = [pytest.mark.slow, pytest.mark.skipif(bool(WHY), reason=WHY)]


def libraries(paths: list[Path]) -> set[Path]:
    """What these programs and modules load, and what loads it."""
    found: set[Path] = set()
    for path in paths:
        told = subprocess.run(["ldd", path], capture_output=True, text=True, check=False).stdout
        found |= {Path(word) for line in told.splitlines() for word in line.split() if word.startswith("/")}
    return found


def lay_out(root: Path) -> None:
    """A root with Python and pip in it."""
    prefix, inside = Path(sys.base_prefix), root / sys.base_prefix.lstrip("/")
    version = f"python{sys.version_info[0]}.{sys.version_info[1]}"
    shutil.copytree(
        prefix / "lib" / version, inside / "lib" / version, ignore=shutil.ignore_patterns(*_LEFT_OUT), symlinks=True
    )
    shutil.copytree(Path(pip.__file__).parent, inside / "lib" / version / "site-packages" / "pip")
    program = Path(os.path.realpath(sys.executable))
    (inside / "bin").mkdir()
    shutil.copy2(program, inside / "bin" / "python")
    modules = [program, *(prefix / "lib" / version / "lib-dynload").glob("*.so")]
    for name in ("lib", "lib64"):
        (root / "usr" / name).mkdir(parents=True)
        (root / name).symlink_to(f"usr/{name}")
    loaded = libraries(modules) | {Path("/usr/lib/x86_64-linux-gnu") / name for name in _MANYLINUX}
    for path in sorted(loaded):
        goal = root / os.fspath(path).lstrip("/")
        goal.parent.mkdir(parents=True, exist_ok=True)
        if path.exists() and not goal.exists():
            shutil.copy2(path, goal)
    shutil.copytree(WHEELS, root / "wheels")
    (root / "etc").mkdir(exist_ok=True)
    (root / "etc" / "pip.conf").write_text("[global]\nno-index = true\nfind-links = /wheels\n", encoding="utf-8")
    for name in ("proc", "dev", "tmp", "sys"):
        (root / name).mkdir(exist_ok=True)


# Becomes a process of the image as a runtime would start it: what the image says, and every limit that can be set.
RUNTIME = """
import ctypes, json, os, subprocess, sys
root, told = sys.argv[1], json.loads(sys.argv[2])
for words in (["--bind", root, root], ["-o", "remount,ro,bind", root], ["-t", "proc", "proc", root + "/proc"],
              ["--rbind", "/dev", root + "/dev"]):
    subprocess.run(["mount", *words], check=True)
os.chroot(root)
os.chdir(told["folder"])
user, group = map(int, told["user"].split(":"))
os.setgroups([])
os.setgid(group)
os.setuid(user)
assert ctypes.CDLL(None).prctl(38, 1, 0, 0, 0) == 0  # no new privileges
os.execvpe(told["command"][0], told["command"], told["variables"])
"""


class Image:
    """An image by buildah; `root` is its mounted file system."""

    def __init__(self, name: str, root: str) -> None:
        told = json.loads(buildah("inspect", "--type", "image", name))
        self.name = name
        self.root = root
        self.config: dict[str, Any] = told["Docker"]["config"]

    def start(self, *words: str, entry: list[str] | None = None, **more: Any) -> subprocess.Popen[str]:
        """Run the entry, or what is given in its place, with the image's own words or these."""
        command = (self.config["Entrypoint"] if entry is None else entry) + (list(words) or self.config["Cmd"])
        variables = dict(pair.split("=", 1) for pair in self.config["Env"]) | more.pop("variables", {})
        told = {"command": command, "variables": variables, "user": self.config["User"]}
        told["folder"] = self.config["WorkingDir"]
        inside = [sys.executable, "-I", "-c", RUNTIME, self.root, json.dumps(told)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT} | more
        return subprocess.Popen(["unshare", "--mount", *inside], text=True, **pipes)

    def run(self, *words: str, entry: list[str] | None = None, **variables: str) -> tuple[int, str]:
        """Exit code and output."""
        process = self.start(*words, entry=entry, variables=variables)
        said, _ = process.communicate(timeout=300)
        return process.returncode, said


def buildah(*words: str) -> str:
    return subprocess.run(["buildah", *words], capture_output=True, text=True, check=True, timeout=900).stdout.strip()


def own_storage(folder: Path, patch: pytest.MonkeyPatch) -> None:
    """Images below `folder`, as layers where the kernel has them, else as copies, which takes a minute longer."""
    for driver in ("overlay", "vfs"):
        settings = f'[storage]\ndriver = "{driver}"\nrunroot = "{folder}/run"\ngraphroot = "{folder}/{driver}"\n'
        (folder / "storage.conf").write_text(settings, encoding="utf-8")
        patch.setenv("CONTAINERS_STORAGE_CONF", f"{folder}/storage.conf")
        patch.setenv("STORAGE_DRIVER", driver)
        try:
            probe = buildah("from", "scratch")
            buildah("mount", probe)
            buildah("umount", probe)
            buildah("rm", probe)
        except subprocess.CalledProcessError:
            continue
        return


@pytest.fixture(scope="module")
def image(own_world: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Image]:
    """The image with the starter model, by the command that people use."""
    folder = tmp_path_factory.mktemp("images")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("BUILDAH_ISOLATION", "chroot")
        own_storage(folder, patch)
        lay_out(folder / "base")
        made = buildah("from", "scratch")
        buildah("add", "--quiet", made, f"{folder}/base", "/")
        buildah("config", "--env", f"PATH={sys.base_prefix}/bin", made)
        buildah("commit", "--quiet", "--rm", made, f"localhost/{NAME}-base:1")
        shutil.rmtree(folder / "base")
        words = ["--engine", "buildah", "--base", f"localhost/{NAME}-base:1", "--run", "starter", "--tag", f"{NAME}:1"]
        done = dogbreed("image", "build", *words, "--yes", "--json", "--no-config", cwd=folder, timeout=900)
        assert done.returncode == 0, done.stderr
        assert json.loads(done.stdout)["changed"]
        again = dogbreed("image", "build", *words, "--yes", "--json", "--no-config", cwd=folder)
        assert not json.loads(again.stdout)["changed"]
        assert "nothing to change" in again.stderr
        container = buildah("from", "--pull-never", f"localhost/{NAME}:1")
        try:
            yield Image(f"localhost/{NAME}:1", buildah("mount", container))
        finally:
            buildah("umount", container)
            buildah("rm", container)
            shutil.rmtree(folder, ignore_errors=True)


def ask(url: str, body: bytes | None = None) -> tuple[int, bytes]:
    request = urllib.request.Request(url, body, {"Content-Type": "image/jpeg"} if body else {})
    try:
        with urllib.request.urlopen(request, timeout=300) as response:
            return response.status, response.read()
    except urllib.error.HTTPError as error:
        return error.code, error.read()
    except OSError:
        return 0, b""


def says_as_much(answer: bytes, photo: bytes, run: Run) -> None:
    """Check an answer of the service against the predictor of this machine."""
    mine, (theirs,) = Predictor.open(run).predict(photo).to_json(), json.loads(answer)
    assert [one["breed"] for one in theirs["top"]] == [one["breed"] for one in mine["top"]]
    for one, other in zip(theirs["top"], mine["top"], strict=True):
        assert one["probability"] == pytest.approx(other["probability"], abs=1e-3)


def test_the_service_answers_as_the_predictor_does_without_any_right(image: Image, tmp_path: Path) -> None:
    def text() -> str:
        return (tmp_path / "log").read_text()

    with open(tmp_path / "log", "w") as log:
        process = image.start(variables={"DOGBREED_SERVE_PORT": "0"}, stdout=log)
    try:
        # It takes a port that is free, and says which.
        said = until(lambda: re.search(r"^http://\S+:(\d+)\n", text(), re.MULTILINE) or process.poll() is not None)
        assert process.poll() is None, text()
        port = said[1]
        assert ask(f"http://127.0.0.1:{port}/ping")[0] == 200
        status = Path(f"/proc/{process.pid}/status").read_text()
        assert "Uid:\t10001\t10001\t10001\t10001\n" in status
        assert "CapEff:\t0000000000000000\n" in status
        assert "NoNewPrivs:\t1\n" in status

        photo = jpeg(7)
        code, body = ask(f"http://127.0.0.1:{port}/invocations", photo)
        assert code == 200, body
        says_as_much(body, photo, Run.open(STARTER))

        kind, *check = image.config["Healthcheck"]["Test"]
        assert kind == "CMD"
        check = [word.replace("8080", port) for word in check]
        assert image.run(*check[1:], entry=check[:1]) == (0, "")
    finally:
        process.send_signal(signal.SIGTERM)
    assert process.wait(300) == 0, text()
    assert image.run(*check[1:], entry=check[:1])[0] == 1


def test_nothing_of_the_image_can_be_written(image: Image) -> None:
    places = ["/opt/dogbreed/x", "/opt/ml/model/x", "/tmp/x", "/x"]
    code = "import sys\nfor place in sys.argv[1:]:\n try: open(place, 'w'); print(place)\n except OSError: pass"
    assert image.run("-c", code, *places, entry=["python"]) == (0, "")


def test_it_is_what_it_says_and_no_more(image: Image) -> None:
    config = image.config
    assert config["Entrypoint"] == ["python", "-m", "dogbreed.serve.image.entry"]
    assert config["StopSignal"] == "SIGTERM"
    assert list(config["ExposedPorts"]) == ["8080/tcp"]
    code, said = image.run("train")
    assert code == 1
    assert "this image has no command 'train'" in said
    code, said = image.run("serve", "--run", "/nowhere")
    assert code != 0
    assert "Traceback" not in said
    # A folder of modules that is compiled, and of which nothing is left out.
    heavy = "import sys, dogbreed.serve.server; sys.exit(any(name in sys.modules for name in ('boto3', 'torch')))"
    assert image.run("-c", heavy, entry=["python"]) == (0, "")


def test_inside_lambda_the_runtime_client_is_what_begins(image: Image) -> None:
    """It asks Lambda for the first event, which here nobody answers."""
    with socket.create_server(("127.0.0.1", 0)) as lambda_:
        address = f"127.0.0.1:{lambda_.getsockname()[1]}"
        process = image.start("serve", variables={"AWS_LAMBDA_RUNTIME_API": address})
        try:
            lambda_.settimeout(300)
            asking, _ = lambda_.accept()
            with asking:
                asked = asking.recv(1000).decode()
        finally:
            process.kill()
            process.communicate()
    assert asked.startswith("GET /2018-06-01/runtime/invocation/next "), asked


@pytest.fixture(scope="module")
def built(image: Image, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Server, str]]:
    """A stand-in that is told of a base, and the image that its CodeBuild makes of it.

    The steps are those of the build before, which buildah has kept.
    """
    base = f"localhost/{NAME}-base:1"
    with StandIn(**QUICK, REHEARSE_IMAGE_BASE=base) as server:
        words = ["image", "build", "--base", base, "--run", "starter", "--yes", "--json", "--no-config"]
        done = dogbreed(*words, cwd=tmp_path_factory.mktemp("built"), timeout=900, **server.environment)
        assert done.returncode == 0, done.stderr
        yield server, json.loads(done.stdout)["image"]
    assert "rehearse" not in buildah("containers", "--format", "{{.ContainerName}}")


def test_the_stand_in_builds_it_as_well_and_gives_its_whole_file_system(
    image: Image, built: tuple[Server, str]
) -> None:
    server, uri = built
    held = server.ask("image", uri=uri)
    whole = Image(image.name, held["root"])
    code = "import dogbreed.serve.server, onnxruntime; print(dogbreed.__file__)"
    assert whole.run("-c", code, entry=["python"]) == (0, "/opt/dogbreed/dogbreed/__init__.py\n")
    model = Path(held["root"]) / "opt/ml/model/model.onnx"
    assert model.read_bytes() == (Path(held["files"]) / "opt/ml/model/model.onnx").read_bytes()


def inside(root: Path) -> list[int]:
    """The processes whose whole file system is this one."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with suppress(OSError):  # it has ended meanwhile
            if (path / "root").samefile(root):
                found.append(int(path.name))
    return found


@pytest.mark.skipif(bool(sandbox.missing()), reason=sandbox.missing() or "no namespaces")
def test_an_endpoint_runs_in_the_files_of_the_image_and_as_its_user(
    built: tuple[Server, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Deployed by the command, with a model that is not the one in the image; its container has no other Python."""
    server, uri = built
    for name, value in server.environment.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)
    root, other = Path(server.ask("image", uri=uri)["root"]), another(tmp_path / "other")
    assert inside(root) == []
    server.ask("speed", speed=20)
    words = ["deploy", "--to", "endpoint", "--run", other.path, "--image", uri, "--no-front", "--no-config"]
    done = dogbreed(*words, "--yes", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr

    processes = inside(root)
    assert processes
    for pid in processes:
        assert "Uid:\t10001\t10001\t10001\t10001\n" in Path(f"/proc/{pid}/status").read_text()
        assert os.statvfs(f"/proc/{pid}/root").f_flag & os.ST_RDONLY
        assert Path(f"/proc/{pid}/exe").samefile(root / sys.base_prefix.lstrip("/") / "bin/python")

    photo, name = jpeg(11), json.loads(done.stdout)["name"]
    runtime = boto3.client("sagemaker-runtime")
    answer = runtime.invoke_endpoint(EndpointName=name, ContentType="image/jpeg", Body=photo)
    says_as_much(answer["Body"].read(), photo, other)

    boto3.client("sagemaker").delete_endpoint(EndpointName=name)
    until(lambda: inside(root) == [])
