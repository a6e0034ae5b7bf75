"""What a Dockerfile makes, without running anything of it: files that are copied, variables, and how it begins.

Images of the stand-in hold what COPY puts in and what ENV, ENTRYPOINT and the like say. The base image and what RUN
would do are left out: the interpreter and the packages of this machine take their place.
"""

from __future__ import annotations

import json
import re
import shlex
import shutil
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

_VARIABLE = re.compile(r"\$(?:\{(\w+)\}|(\w+))")
_SAYS_NOTHING = {"RUN", "HEALTHCHECK", "SHELL", "VOLUME", "MAINTAINER", "ONBUILD"}
_WORDS = {"ENTRYPOINT": "Entrypoint", "CMD": "Cmd"}
_TEXTS = {"USER": "User", "WORKDIR": "WorkingDir", "STOPSIGNAL": "StopSignal"}


class DockerfileError(Exception):
    """What Docker would say."""


@dataclass
class Stage:
    """One FROM: its files below `folder`, and what an image's configuration says."""

    name: str
    folder: Path
    config: dict[str, Any] = field(default_factory=lambda: {"Env": [], "Labels": {}, "ExposedPorts": {}})

    def take_over(self, other: Stage) -> None:
        """Begin as another stage has ended."""
        shutil.copytree(other.folder, self.folder, dirs_exist_ok=True)
        self.config = json.loads(json.dumps(other.config))


def instructions(text: str) -> Iterator[tuple[str, str]]:
    """Each instruction and what follows it, lines that go on put together."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    whole = re.sub(r"\\[ \t]*\n", " ", "\n".join(lines))
    for line in whole.splitlines():
        if line.strip():
            word, _, rest = line.strip().partition(" ")
            yield word.upper(), " ".join(rest.split())


def make(context: Path, arguments: Mapping[str, str], work: Path, tell: Callable[[str], None]) -> Stage:
    """Go through `context`/Dockerfile; the last stage. Raises DockerfileError."""
    try:
        text = (context / "Dockerfile").read_text(encoding="utf-8")
    except OSError:
        raise DockerfileError("failed to read dockerfile: open Dockerfile: no such file or directory") from None
    steps = list(instructions(text))
    known: dict[str, str] = {}
    stages: list[Stage] = []
    for number, (word, rest) in enumerate(steps, 1):
        tell(f"Step {number}/{len(steps)} : {word} {rest}")
        if word == "ARG":
            name, _, default = rest.partition("=")
            known[name] = arguments.get(name, default or known.get(name, ""))
        elif word == "FROM":
            stages.append(_stage(_filled(rest, known), stages, work))
        elif not stages:
            raise DockerfileError("no build stage in current context")
        elif word in _SAYS_NOTHING:
            tell(" ---> not done in the stand-in")
        else:
            _obey(word, _filled(rest, known | _variables(stages[-1])), stages, context)
    if not stages:
        raise DockerfileError("file with no instructions")
    return stages[-1]


def _stage(rest: str, stages: list[Stage], work: Path) -> Stage:
    words = [word for word in rest.split() if not word.startswith("--")]
    if not words:
        raise DockerfileError("base name should not be blank")
    made = Stage(words[2] if len(words) > 2 else str(len(stages)), work / str(len(stages)))
    made.folder.mkdir(parents=True)
    if before := _named(words[0], stages):
        made.take_over(before)
    return made


def _obey(word: str, rest: str, stages: list[Stage], context: Path) -> None:
    config = stages[-1].config
    if word in ("COPY", "ADD"):
        _copy(_split(rest), stages, context)
    elif word == "ENV":
        config["Env"] += _pairs(rest)
    elif word == "LABEL":
        config["Labels"] |= dict(pair.split("=", 1) for pair in _pairs(rest))
    elif word == "EXPOSE":
        config["ExposedPorts"] |= {port if "/" in port else f"{port}/tcp": {} for port in rest.split()}
    elif word in _WORDS:
        config[_WORDS[word]] = _listed(rest)
    elif word in _TEXTS:
        config[_TEXTS[word]] = rest
    else:
        raise DockerfileError(f"unknown instruction: {word}")


def _copy(words: list[str], stages: list[Stage], context: Path) -> None:
    options = [word for word in words if word.startswith("--")]
    *sources, target = [word for word in words if not word.startswith("--")] or [""]
    if not sources:
        raise DockerfileError("COPY requires at least two arguments, but only one was provided")
    source_of = next((option.removeprefix("--from=") for option in options if option.startswith("--from=")), "")
    root = context
    if source_of:
        stage = _named(source_of, stages)
        if stage is None:
            raise DockerfileError(f"the stand-in copies from stages only, not from {source_of}")
        root = stage.folder
    goal = stages[-1].folder / target.lstrip("/")
    for source in sources:
        path = (root / source.lstrip("/")).resolve()
        if not path.is_relative_to(root.resolve()) or not path.exists():
            raise DockerfileError(f'failed to compute cache key: "/{source.strip("/")}": not found')
        if path.is_dir():
            shutil.copytree(path, goal, dirs_exist_ok=True)
        else:
            into = goal / path.name if target.endswith("/") or len(sources) > 1 else goal
            into.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(path, into)


def _split(rest: str) -> list[str]:
    try:
        return shlex.split(rest)
    except ValueError as error:
        raise DockerfileError(f"{error} in {rest!r}") from error


def _named(name: str, stages: list[Stage]) -> Stage | None:
    return next((stage for stage in stages if stage.name == name), None)


def _pairs(rest: str) -> list[str]:
    found = _split(rest)
    if not all("=" in pair for pair in found):
        raise DockerfileError(f"Syntax error - can't find = in {rest!r}. Must be of the form: name=value")
    return found


def _listed(rest: str) -> list[str]:
    """A JSON list as it is; anything else is for a shell, also what only looks like a list, as Docker has it."""
    try:
        told = json.loads(rest)
    except ValueError:
        told = None
    return told if isinstance(told, list) else ["/bin/sh", "-c", rest]


def _variables(stage: Stage) -> dict[str, str]:
    return dict(pair.split("=", 1) for pair in stage.config["Env"])


def _filled(text: str, known: Mapping[str, str]) -> str:
    return _VARIABLE.sub(lambda found: known.get(found[1] or found[2], ""), text)
