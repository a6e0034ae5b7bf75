"""Makes the pages, and parts of pages, that follow from the code: `python tests/readme.py --write`."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

from dogbreed import config
from dogbreed.errors import EXIT_CODES

ROOT = Path(__file__).parent.parent
README = ROOT / "README.md"
COMMANDS_PAGE = ROOT / "docs" / "commands.md"
FILES_PAGE = ROOT / "docs" / "files.md"
SETTINGS = ROOT / "docs" / "settings.md"
HELP = ("", "data", "data check", "data split", "data sample", "data download", "train", "train-sagemaker", "train-ec2")
HELP += (
    "runs",
    "logs",
    "stop",
    "pull",
    "predict",
    "serve",
    "image",
    "image build",
    "image push",
    "deploy",
    "rollback",
    "loadtest",
    "scale",
    "status",
    "cost",
    "leftovers",
    "recommend",
    "destroy",
    "rehearse",
)
HELP += ("rehearse up", "rehearse down", "rehearse status", "rehearse run", "rehearse speed")
HELP += ("rehearse fault", "rehearse calls")
HELP += ("audit-iam", "iam", "iam policy", "iam setup", "config", "doctor")
_SEPARATOR = "=== next ==="
_MADE = "Made by `python tests/readme.py --write`."
# What the tree says of files that have no docstring.
OTHERS = {
    "docs/audit.md": "audit-iam: rules, reports, suppressions, CI",
    "docs/commands.md": "the help of every command",
    "docs/files.md": "every file and what it is",
    "docs/performance.md": "what made it faster, and what did not",
    "docs/scaling.md": "what the simulator of scaling assumes, and from where",
    "docs/settings.md": "every setting and its meaning",
    "docs/starter.md": "the model card of the starter: origin, licences, data, figures, limits",
    "pyproject.toml": "what to install, and the settings of ruff, mypy and pytest",
    ".ci/run": "what CI runs, here as there",
    ".github/workflows/ci.yml": "the same on GitHub",
    "LICENSE": "Apache 2.0",
    "NOTICE": "whose work the starter model builds on",
    "dogbreed/starter/model.json": "the starter model: labels, preprocessing, figures, sha256 of its files",
    "dogbreed/starter/model.onnx": "what predicts",
    "dogbreed/starter/model.safetensors": "where training starts",
}


def stale() -> list[str]:
    """The files that are not what they would be if they were written now."""
    return [str(path.relative_to(ROOT)) for path, text in _pages().items() if _read(path) != text]


def second_command() -> str:
    """The README's command that installs what the tests need and runs them, on one line."""
    match = re.search(r"<!-- second command -->\n```sh\n(.*?)```", _read(README), re.DOTALL)
    assert match, "the README lacks its second command"
    return re.sub(r"\s*\\\n\s*", " ", match[1]).strip()


def _pages() -> dict[Path, str]:
    text = _read(README)
    for name, block in _blocks().items():
        begin, end = f"<!-- {name} -->", f"<!-- end of {name} -->"
        assert text.count(begin) == text.count(end) == 1, f"the README lacks {begin} ... {end}"
        before, rest = text.split(begin)
        text = f"{before}{begin}\n{block}\n{end}{rest.split(end)[1]}"
    return {README: text, COMMANDS_PAGE: _commands(), FILES_PAGE: _files(), SETTINGS: _settings()}


def _files() -> str:
    rules = "What a folder may import, and more rules: `tests/test_style.py`."
    return f"# Files\n\n{_MADE} {rules}\n\n```text\n{_tree()}\n```\n"


def _blocks() -> dict[str, str]:
    codes = "\n".join(f"| {code} | {meaning} |" for code, meaning in EXIT_CODES.items())
    folders = "\n".join(
        f"{path.relative_to(ROOT).as_posix() + '/':<20} {_about(path / '__init__.py')}"
        for path in sorted((ROOT / "dogbreed").rglob("*"))
        if (path / "__init__.py").is_file() and len(path.relative_to(ROOT).parts) == 2
    )
    return {
        "exit codes": f"| code | meaning |\n| --- | --- |\n{codes}",
        "folders": f"```text\n{folders}\n```",
    }


def _commands() -> str:
    parts = [f"## {f'dogbreed {words}'.strip()}\n\n```text\n{text}\n```" for words, text in _help().items()]
    return "\n\n".join(["# Commands", _MADE, *parts]) + "\n"


def _help() -> dict[str, str]:
    """What each command's --help prints in a terminal of 80 columns without colour."""
    code = f"""
import sys
from dogbreed.cli import main
main.load([])
for words in {HELP!r}:
    sys.argv = ["dogbreed", *words.split(), "--help"]
    main.run()
    print({_SEPARATOR!r}, flush=True)
"""
    look = {"COLUMNS": "80", "TERM": "dumb", "NO_COLOR": "1", "PYTHONIOENCODING": "utf-8"}
    plain = {key: value for key, value in os.environ.items() if key not in ("FORCE_COLOR", "GITHUB_ACTIONS")}
    result = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, encoding="utf-8", check=True, env=plain | look, timeout=300
    )
    texts = result.stdout.split(_SEPARATOR)[: len(HELP)]
    lines = (re.sub(r" +\n", "\n", text).strip() for text in texts)
    return dict(zip(HELP, lines, strict=True))


# -- the file tree


def _tree() -> str:
    """One line per file of the package and its recipes, and per file of the tests."""
    paths = [path for top in ("configs", "dogbreed", "tests") for path in (ROOT / top).rglob("*")]
    paths = [path for path in paths if "fixtures" not in path.parts]
    paths.sort(key=lambda path: (path.parent, path.name))
    shown = [path for path in paths if path.suffix in (".py", ".toml") or str(path.relative_to(ROOT)) in OTHERS]
    shown += [ROOT / name for name in OTHERS if ROOT / name not in shown and (ROOT / name).is_file()]
    lines, folder = [], Path()
    for path in shown:
        inside = path.relative_to(ROOT)
        about = _about(path)
        if inside.parent != folder:
            folder = inside.parent
            lines.append(f"{folder}/" if folder != Path() else "")
        if about:
            lines.append(f"{'  ' * (folder != Path())}{path.name:<{24 + 2 * (folder == Path())}} {about}".rstrip())
    return "\n".join(line for line in lines if line)


def _about(path: Path) -> str:
    """The first sentence of a file; "" for an empty __init__.py."""
    if note := OTHERS.get(str(path.relative_to(ROOT))):
        return note
    text = _read(path)
    if path.suffix == ".toml":
        words = " ".join(line.lstrip("# ") for line in text.split("\n#   ")[0].splitlines() if line.startswith("#"))
    else:
        words = " ".join((ast.get_docstring(ast.parse(text)) or "").split("\n\n")[0].split())
    sentence = re.split(r"(?<=[.?])\s", words, maxsplit=1)[0]
    return sentence if sentence or path.name in ("__init__.py", "conftest.py") else path.stem.replace("_", " ")


# -- the page of settings


def _settings() -> str:
    comments = _comments()
    lines = ["# Settings", *_SETTINGS_HEAD.splitlines()]
    for section, kind in config.SECTIONS.items():
        lines += ["", f"## [{section}]", "", "| setting | default | meaning |", "| --- | --- | --- |"]
        for item in fields(kind):
            default = str(item.default).lower() if isinstance(item.default, bool) else item.default
            shown = f"`{default}`" if default != "" else "empty"
            lines.append(f"| `{item.name}` | {shown} | {comments[section][item.name]} |")
    return "\n".join(lines) + "\n"


_SETTINGS_HEAD = """
Made from `dogbreed/settings.py` by `python tests/readme.py --write`.

A flag wins over the environment, that over a settings file, that over the default. `[train] batch_size` in a file is
`DOGBREED_TRAIN_BATCH_SIZE` in the environment and, where the command has it, `--batch-size`. The file is the one that
`--config` names (a path, or a recipe of `configs/`), else the first `dogbreed.toml` in this folder or one above it.
`--no-config` reads none. An unknown setting is an error. `dogbreed config` shows every value and where it came from.

`DOGBREED_CACHE_DIR` is the folder for what can be made again: scans of photo folders, features, the drawn set.
Other variables that are honoured: `NO_COLOR`, `FORCE_COLOR`, `TERM=dumb`, `CI` (never ask), `COLUMNS`.
"""


def _comments() -> dict[str, dict[str, str]]:
    """The comment above each setting, by section and name."""
    classes = {kind.__name__: section for section, kind in config.SECTIONS.items()}
    found: dict[str, dict[str, str]] = {section: {} for section in config.SECTIONS}
    section, above = "", []
    for line in _read(ROOT / "dogbreed" / "settings.py").splitlines():
        if match := re.match(r"class (\w+)", line):
            section = classes.get(match[1], "")
        elif line.startswith("    # "):
            above = above if line.startswith("    # --") else [*above, line.strip("# ")]
        elif match := re.match(r"    (\w+): .* = ", line):
            if section:
                # A setting without a comment of its own shares the one before it, or says all by its name.
                found[section][match[1]] = " ".join(above)
            above = []
    return found


def _read(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def main() -> int:
    """Write the pages, or name those that are stale."""
    if "--write" in sys.argv:
        for path, text in _pages().items():
            path.write_text(text, encoding="utf-8")
        return 0
    names = stale()
    print(*names, sep="\n")
    return bool(names)


if __name__ == "__main__":
    sys.exit(main())
