"""The frame around every command: help, version, mistakes, colour, errors for people and for programs."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from program import dogbreed, terminal

from dogbreed.cli.guard import guarded
from dogbreed.cli.main import COMMANDS
from dogbreed.errors import EXIT_CODES, DogbreedError, UsageError
from dogbreed.ui import Ui, ui

ESCAPE = "\x1b"


def test_help_shows_the_panels_in_the_order_of_the_life_cycle(tmp_path: Path) -> None:
    plain = dogbreed(cwd=tmp_path)
    shown = dogbreed("--help", cwd=tmp_path)
    assert (
        shown.returncode == 0
        and plain.stdout.rstrip() == shown.stdout.rstrip() == dogbreed("-h", cwd=tmp_path).stdout.rstrip()
    )
    assert plain.stderr == "" and plain.returncode == 2
    assert re.findall(r"─ (\w+) ─", shown.stdout) == ["Options", "Data", "Train", "Use", "Ship", "Guard", "Setup"]
    commands = re.findall(r"^│ ([a-z][a-z0-9-]+) ", shown.stdout, re.MULTILINE)
    assert commands == list(COMMANDS)
    words = " ".join(shown.stdout.split())
    assert all(f"{code} {meaning}" in words for code, meaning in EXIT_CODES.items())


def test_version(tmp_path: Path) -> None:
    assert re.fullmatch(r"dogbreed \d+\.\d+\.\d+\n", dogbreed("--version", cwd=tmp_path).stdout)


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["trian"], "Did you mean 'train'"),
        (["train", "--instnaces", "2"], "--instances"),
        (["train", "--instances", "many"], "--instances"),
        (["train", "--instances", "0"], "--instances"),
        (["data", "check"], "DIR"),
        (["data", "chekc", "x"], "check"),
        (["predict"], "PATH"),
    ],
)
def test_mistakes_are_2_with_a_hint_and_one_json_object_under_json(words: list[str], said: str, tmp_path: Path) -> None:
    result = dogbreed(*words, cwd=tmp_path)
    assert result.returncode == 2 and result.stdout == ""
    error, hint = result.stderr.splitlines()[-2:]
    assert error.startswith("error: ") and said in result.stderr
    assert hint.startswith("hint: see dogbreed")
    told = dogbreed(*words, "--json", cwd=tmp_path)
    value = json.loads(told.stderr)
    assert told.stdout == "" and set(value) == {"error", "hint", "exit_code"} and value["exit_code"] == 2


def test_a_word_after_two_dashes_is_no_option(tmp_path: Path) -> None:
    result = dogbreed("data", "check", "--", "--json", cwd=tmp_path)
    assert result.stderr.startswith("error: ")


@pytest.fixture
def fresh_ui() -> Ui:
    before = dict(vars(ui))
    vars(ui).update(vars(Ui()))
    yield ui
    vars(ui).update(before)


def fail(error: BaseException) -> int:
    raise error


def test_an_error_is_two_lines_and_its_exit_code(fresh_ui: Ui, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: fail(UsageError("no such thing", "take another"))) == 2
    assert capsys.readouterr() == ("", "error: no such thing\nhint: take another\n")
    assert guarded(lambda: fail(DogbreedError("it broke"))) == 1
    assert capsys.readouterr().err == "error: it broke\n"


def test_our_bugs_hide_the_traceback_unless_it_is_asked_for(fresh_ui: Ui, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: fail(ZeroDivisionError("by [/b] nothing"))) == 1
    hidden = capsys.readouterr().err
    assert "ZeroDivisionError: by [/b] nothing" in hidden and "--verbose" in hidden and "Traceback" not in hidden
    fresh_ui.verbose = True
    guarded(lambda: fail(ZeroDivisionError("by nothing")))
    shown = capsys.readouterr().err
    assert "Traceback" in shown and "in fail" in shown
    assert shown.splitlines()[-1].startswith("hint: ")
    fresh_ui.json = True
    guarded(lambda: fail(ZeroDivisionError("by nothing")))
    assert json.loads(capsys.readouterr().err.splitlines()[-1])["exit_code"] == 1


def test_an_interrupt_is_130(fresh_ui: Ui, capsys: pytest.CaptureFixture[str]) -> None:
    assert guarded(lambda: fail(KeyboardInterrupt())) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_a_message_does_not_steer_the_terminal(fresh_ui: Ui, capsys: pytest.CaptureFixture[str]) -> None:
    fresh_ui.warn("a\x1b[2Jb\nsecond line")
    assert capsys.readouterr().err == "warning: a\\x1b[2Jb\nsecond line\n"


@pytest.mark.parametrize("plain", [{"NO_COLOR": "1"}, {"TERM": "dumb"}])
def test_no_colour_means_no_escape_code_at_all(plain: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "dogbreed.toml").write_text("[train]\nlr = 'fast'\n")
    for words in (["config", "--no-config"], ["config"], ["--help"], ["doctor"]):
        assert ESCAPE not in terminal(*words, cwd=tmp_path, **plain)
    assert ESCAPE not in terminal("config", "--no-color", cwd=tmp_path)
    assert ESCAPE in terminal("config", cwd=tmp_path)
    assert ESCAPE in terminal("config", "--no-config", cwd=tmp_path)


def test_colour_where_it_is_forced_and_nowhere_else(tmp_path: Path) -> None:
    assert ESCAPE not in dogbreed("trian", cwd=tmp_path).stderr
    assert ESCAPE in dogbreed("trian", cwd=tmp_path, FORCE_COLOR="1").stderr
    assert ESCAPE not in dogbreed("trian", cwd=tmp_path, FORCE_COLOR="1", NO_COLOR="1").stderr
    assert ESCAPE not in dogbreed("trian", "--no-color", cwd=tmp_path, FORCE_COLOR="1").stderr


def test_asking_needs_a_terminal(fresh_ui: Ui, monkeypatch: pytest.MonkeyPatch) -> None:
    assert fresh_ui.confirm("really?", yes=True)
    with pytest.raises(UsageError) as caught:
        fresh_ui.confirm("really?", yes=False)
    assert "--yes" in caught.value.hint


def test_progress_without_a_terminal_is_a_line_each_half_minute(
    fresh_ui: Ui, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    now = 0.0
    monkeypatch.setattr("dogbreed.ui.time.monotonic", lambda: now)
    with fresh_ui.progress("reading", 100, "photos") as advance:
        for _ in range(90):
            now += 1
            advance()
    lines = capsys.readouterr().err.splitlines()
    assert lines[0] == "reading: 30 photos of 100 photos (1 photos/s, 70 s left)"
    assert len(lines) == 3
