"""The pre-commit hook and the GitHub Action, run as their users run them."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import subprocess
import sys
import sysconfig
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parent.parent.parent
WIDE = '{"Version": "2012-10-17", "Statement": [{"Effect": "allow", "Action": "*", "Resource": "*"}]}'
SOUND = """{"Version": "2012-10-17", "Statement": [
  {"Effect": "Allow", "Action": "s3:GetObject", "Resource": "arn:aws:s3:::photos-of-dogs/*"}]}"""
# Installing from a folder without the network: what is needed is taken from the environment of the tests.
OFFLINE = {
    "PIP_NO_INDEX": "1",
    "PIP_NO_DEPS": "1",
    "PIP_NO_BUILD_ISOLATION": "0",
    "PIP_CONFIG_FILE": os.devnull,
    "PYTHONPATH": os.pathsep.join([sysconfig.get_path("purelib"), os.environ.get("PYTHONPATH", "")]),
}
BUILDS = pytest.mark.skipif(not find_spec("hatchling"), reason="hatchling builds the package")


def run(*command: object, cwd: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    words = list(map(str, command))
    env = os.environ | environment
    return subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=False, timeout=900)


def repository(folder: Path, **files: str) -> Path:
    """A git repository with one commit."""
    folder.mkdir(parents=True)
    for name, text in files.items():
        (folder / name.replace("__", ".")).write_text(text)
    for words in ("init -q", "add -A", "-c user.name=a -c user.email=a@b commit -q -m first"):
        done = run("git", *words.split(), cwd=folder)
        assert done.returncode == 0, done.stderr
    return folder


@pytest.fixture(scope="session")
def package(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This repository as somebody else clones it: what is tracked, with the changes of now."""
    folder = tmp_path_factory.mktemp("clone") / "dogbreed"
    listed = run("git", "ls-files", "--cached", "--others", "--exclude-standard", "--", "dogbreed", "configs", cwd=ROOT)
    names = [
        *listed.stdout.splitlines(),
        "pyproject.toml",
        "README.md",
        "LICENSE",
        ".pre-commit-hooks.yaml",
        "action.yml",
    ]
    for name in names:
        if (ROOT / name).is_file() and not name.endswith((".onnx", ".safetensors")):
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(ROOT / name, folder / name)
    return folder


def definition() -> dict[str, Any]:
    (hook,) = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
    return hook


@pytest.mark.parametrize(("policy", "code"), [(WIDE, 3), (SOUND, 0)])
def test_the_entry_of_the_hook(tmp_path: Path, policy: str, code: int) -> None:
    repository(tmp_path / "theirs", policy__json=policy)
    command, *words = shlex.split(definition()["entry"])
    done = run(Path(sys.executable).with_name(command), *words, cwd=tmp_path / "theirs")
    assert done.returncode == code, done.stdout + done.stderr
    assert ("policy.json:1:" in done.stdout) == bool(code)


def test_the_hook_looks_at_the_files_that_it_should() -> None:
    import re

    wanted = re.compile(definition()["files"])
    for name in ("iam/policy.json", "template.yaml", "main.tf", "sam.YML", "plan.tf.json", "dogbreed.toml"):
        assert wanted.search(name), name
    assert not wanted.search("photo.jpg")


@BUILDS
@pytest.mark.slow
@pytest.mark.skipif(not find_spec("pre_commit"), reason="pre-commit runs the hook")
def test_the_hook_in_pre_commit(tmp_path: Path, package: Path) -> None:
    ours = tmp_path / "ours"
    shutil.copytree(package, ours)
    for words in ("init -q", "add -A", "-c user.name=a -c user.email=a@b commit -q -m all"):
        assert run("git", *words.split(), cwd=ours).returncode == 0
    revision = run("git", "rev-parse", "HEAD", cwd=ours).stdout.strip()
    config = {"repos": [{"repo": str(ours), "rev": revision, "hooks": [{"id": "dogbreed-audit-iam"}]}]}
    theirs = repository(tmp_path / "theirs", policy__json=SOUND)
    (theirs / ".pre-commit-config.yaml").write_text(yaml.safe_dump(config))
    assert run("git", "add", "-A", cwd=theirs).returncode == 0
    environment = OFFLINE | {"PRE_COMMIT_HOME": str(tmp_path / "home"), "VIRTUALENV_NO_DOWNLOAD": "1"}
    command = (sys.executable, "-m", "pre_commit", "run", "--all-files", "--verbose")
    clean = run(*command, cwd=theirs, **environment)
    assert clean.returncode == 0, clean.stdout + clean.stderr
    (theirs / "policy.json").write_text(WIDE)
    dirty = run(*command, cwd=theirs, **environment)
    assert dirty.returncode == 1
    assert "- exit code: 3" in dirty.stdout
    assert "policy.json:1:" in dirty.stdout


# -- the action


def step(number: int) -> dict[str, Any]:
    action = yaml.safe_load((ROOT / "action.yml").read_text())
    assert action["runs"]["using"] == "composite"
    found: dict[str, Any] = action["runs"]["steps"][number]
    return found


def environment_of(number: int, inputs: dict[str, str], source: Path) -> dict[str, str]:
    """What GitHub would put for the expressions of a step."""
    known = yaml.safe_load((ROOT / "action.yml").read_text())["inputs"]
    values = {f"inputs.{name}": inputs.get(name, details["default"]) for name, details in known.items()}
    values["github.action_path"] = str(source)
    return {
        name: values[text.removeprefix("${{").removesuffix("}}").strip()] for name, text in step(number)["env"].items()
    }


@pytest.fixture
def runner(tmp_path: Path) -> dict[str, str]:
    """The files and folders that a runner gives to a step."""
    (tmp_path / "temp").mkdir()
    names = {"GITHUB_OUTPUT": "output", "GITHUB_STEP_SUMMARY": "summary"}
    for name in names.values():
        (tmp_path / name).write_text("")
    paths = {key: str(tmp_path / name) for key, name in names.items()}
    return {"RUNNER_TEMP": str(tmp_path / "temp"), "GITHUB_ACTIONS": "true", **paths}


def shell(script: str, cwd: Path, environment: dict[str, str]) -> subprocess.CompletedProcess[str]:
    """A step with `shell: bash`, as the runner calls it."""
    return run("bash", "--noprofile", "--norc", "-eo", "pipefail", "-c", script, cwd=cwd, **environment)


def as_if_installed(runner: dict[str, str]) -> None:
    folder = Path(runner["RUNNER_TEMP"]) / "dogbreed-audit" / "bin"
    folder.mkdir(parents=True)
    (folder / "dogbreed").symlink_to(Path(sys.executable).with_name("dogbreed"))


@pytest.mark.parametrize(("policy", "fail_on", "code"), [(WIDE, "high", 3), (WIDE, "never", 0), (SOUND, "high", 0)])
def test_the_step_that_audits(tmp_path: Path, runner: dict[str, str], policy: str, fail_on: str, code: int) -> None:
    as_if_installed(runner)
    theirs = repository(tmp_path / "theirs", **{"my policy__json": policy})
    given = environment_of(1, {"fail-on": fail_on, "paths": "my policy.json\n"}, ROOT)
    done = shell(step(1)["run"], theirs, runner | given)
    assert done.returncode == code, done.stdout + done.stderr
    output = dict(line.split("=", 1) for line in Path(runner["GITHUB_OUTPUT"]).read_text().splitlines())
    assert output == {"sarif": "dogbreed-audit.sarif", "exit-code": str(code)}
    report = json.loads((theirs / output["sarif"]).read_text())
    assert bool(report["runs"][0]["results"]) == (policy is WIDE)
    assert "audit-iam" in Path(runner["GITHUB_STEP_SUMMARY"]).read_text()
    assert ("::error file=my policy.json," in done.stdout + done.stderr) == (policy is WIDE)


def test_inputs_are_no_code(tmp_path: Path, runner: dict[str, str]) -> None:
    as_if_installed(runner)
    theirs = repository(tmp_path / "theirs", policy__json=SOUND)
    given = environment_of(1, {"paths": '$(touch hacked)"; touch hacked; "'}, ROOT)
    done = shell(step(1)["run"], theirs, runner | given)
    assert done.returncode == 2
    assert not (theirs / "hacked").exists()
    assert "${{" not in step(0)["run"] + step(1)["run"]


def test_a_baseline_in_the_action(tmp_path: Path, runner: dict[str, str]) -> None:
    as_if_installed(runner)
    theirs = repository(tmp_path / "theirs", policy__json=WIDE)
    dogbreed = Path(sys.executable).with_name("dogbreed")
    assert run(dogbreed, "audit-iam", "--write-baseline", "known.json", cwd=theirs).returncode == 0
    given = environment_of(1, {"baseline": "known.json"}, ROOT)
    assert shell(step(1)["run"], theirs, runner | given).returncode == 0


@BUILDS
@pytest.mark.slow
def test_the_step_that_installs(tmp_path: Path, runner: dict[str, str], package: Path) -> None:
    given = environment_of(0, {"python": sys.executable}, package)
    done = shell(step(0)["run"], tmp_path, runner | given | OFFLINE)
    assert done.returncode == 0, done.stdout + done.stderr
    dogbreed = Path(runner["RUNNER_TEMP"]) / "dogbreed-audit" / "bin" / "dogbreed"
    assert run(dogbreed, "audit-iam", "--help", cwd=tmp_path, **OFFLINE).returncode == 0
