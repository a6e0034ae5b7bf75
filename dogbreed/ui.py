"""The only thing that prints or asks: answers go to stdout, everything else to stderr.

Rich is loaded for tables and bars in a terminal only, with markup, emoji and highlighting off, since foreign text such
as `[/aws/sagemaker]` would otherwise be read as a tag.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from dogbreed.errors import DogbreedError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

_LINE_EVERY_S = 30.0
_BAR = 30  # characters of a full bar
_RED, _YELLOW, _CYAN = "1;31", "33", "36"


class Advance(Protocol):
    """Moves a progress bar: by `step` units, with a few words of what is going on."""

    def __call__(self, step: int = 1, words: str = "") -> None: ...  # noqa: D102


class Ui:
    """One per process; the options --json, --quiet, --verbose and --no-color set its fields."""

    def __init__(self) -> None:
        self.json = False
        self.quiet = False
        self.verbose = False
        self.colour = True

    # -- answers

    def answer(self, value: object) -> None:
        """One JSON value on stdout."""
        self.line(json.dumps(value, indent=2, ensure_ascii=False, default=str))

    def line(self, text: str = "") -> None:
        """One line of the answer."""
        _write(sys.stdout, text)

    def table(self, columns: Sequence[str], rows: Sequence[Sequence[object]], numbers: Sequence[str] = ()) -> None:
        """A table in a terminal; tab-separated without a header elsewhere. `numbers` are right-aligned columns."""
        if not self.terminal:
            for row in rows:
                self.line("\t".join(printable(str(cell)) for cell in row))
            return
        if not rows:
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            # What a row is about is what people copy: the first column is never broken.
            first = name == columns[0]
            table.add_column(name, justify="right" if name in numbers else "left", overflow="fold", no_wrap=first)
        for row in rows:
            table.add_row(*(Text(printable(str(cell))) for cell in row))
        self.console(stderr=False).print(table)

    @property
    def terminal(self) -> bool:
        """Whether a person in a terminal reads the answers."""
        return _is_terminal(sys.stdout)

    def bars(self, rows: Sequence[tuple[str, float]]) -> None:
        """A labelled bar and per cent for each share in 0..1."""
        from shutil import get_terminal_size

        labels = [printable(label) for label, _ in rows]
        width = max(map(len, labels), default=0)
        room = max(4, min(_BAR, get_terminal_size().columns - width - 14))
        for label, (_, share) in zip(labels, rows, strict=True):
            bar = self._paint(_blocks(share, room, sys.stdout.encoding), _CYAN)
            self.line(f"  {label:<{width}}  {bar} {share:6.1%}")

    # -- talk

    def note(self, text: str) -> None:
        """A line on stderr, silent under --quiet."""
        if not self.quiet:
            self._talk(text)

    def warn(self, text: str) -> None:
        """`warning: ...` on stderr, also under --quiet."""
        self._talk(f"warning: {text}", _YELLOW)

    def error(self, error: DogbreedError) -> None:
        """`error:` and `hint:` on stderr, or one JSON object under --json; under --verbose after the traceback."""
        if self.verbose:
            import traceback

            _write(sys.stderr, "".join(traceback.format_exception(error)), end="")
        if self.json:
            value = {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
            _write(sys.stderr, json.dumps(value, ensure_ascii=False))
            return
        self._talk(f"error: {error.message}", _RED)
        if error.hint:
            self._talk(f"hint: {error.hint}")

    def bug(self, error: Exception, version: str) -> None:
        """An error that is ours: one line, and the traceback only with --verbose."""
        hint = "this is a bug in dogbreed; run again with --verbose for the traceback and report it"
        told = DogbreedError(f"{type(error).__name__}: {error} (dogbreed {version})", hint)
        told.__cause__ = error
        self.error(told)

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Ask y/N; without a terminal (or in CI) a UsageError names --yes instead."""
        if yes:
            return True
        if not _is_terminal(sys.stdin) or os.environ.get("CI"):
            raise UsageError("this needs a yes, and there is no terminal to ask on", "add --yes")
        _write(sys.stderr, f"{question} [y/N] ", end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    def confirm_name(self, deed: str, name: str, *, yes: bool) -> bool:
        """Ask that `name` be typed, for what cannot be undone; without a terminal a UsageError names --yes instead."""
        if yes:
            return True
        if not _is_terminal(sys.stdin) or os.environ.get("CI"):
            raise UsageError("this needs a yes, and there is no terminal to ask on", "add --yes")
        _write(sys.stderr, f"to {deed}, type {name}: ", end="")
        return sys.stdin.readline().strip() == name

    @contextmanager
    def progress(self, label: str, total: int | None, unit: str = "", *, when: bool = True) -> Iterator[Advance]:
        """A bar with rate and time left in a terminal, else a line each 30 s; nothing unless `when`."""
        if self.quiet or not when:
            yield lambda step=1, words="": None
        elif _is_terminal(sys.stderr) and os.environ.get("TERM") != "dumb":
            with _bar(self.console(stderr=True), label, total, unit) as advance:
                yield advance
        else:
            yield _lines(self, label, total, unit)

    def console(self, *, stderr: bool) -> Console:
        """A Rich console with markup off; without colour it writes no bold or underlining either."""
        from rich.console import Console

        plain = not self.may_colour(sys.stderr if stderr else sys.stdout)
        # What Rich calls no colour still has bold; without a colour system it has nothing at all.
        system: Literal["auto"] | None = None if plain else "auto"
        return Console(stderr=stderr, markup=False, emoji=False, highlight=False, color_system=system, soft_wrap=True)

    def _paint(self, text: str, code: str, stream: Any = None) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.may_colour(stream or sys.stdout) else text

    def may_colour(self, stream: Any) -> bool:
        """Whether colour and bold are wanted on `stream`."""
        if not self.colour or os.environ.get("NO_COLOR"):
            return False
        return bool(os.environ.get("FORCE_COLOR")) or (_is_terminal(stream) and os.environ.get("TERM") != "dumb")

    def _talk(self, text: str, code: str = "") -> None:
        # A message may hold the name of a file, or what another program said.
        clean = "\n".join(printable(line) for line in text.splitlines())
        _write(sys.stderr, self._paint(clean, code, sys.stderr) if code else clean)


def printable(text: str) -> str:
    """`text` without control characters: a file's name must not steer the terminal, nor break a line of the answer."""
    if text.isprintable():
        return text
    return "".join(sign if sign.isprintable() else sign.encode("unicode_escape").decode() for sign in text)


def _blocks(share: float, room: int, encoding: str) -> str:
    """A bar of `room` characters, in eighths where the encoding has such blocks."""
    eighths = round(min(max(share, 0.0), 1.0) * room * 8)
    bar = "█" * (eighths // 8) + (" ▏▎▍▌▋▊▉"[eighths % 8] if eighths % 8 else "")
    try:
        bar.encode(encoding)
    except UnicodeEncodeError:
        bar = "#" * round(eighths / 8)
    return bar.ljust(room)


def _is_terminal(stream: Any) -> bool:
    # None: closed from the start (`>&-`).
    return stream is not None and stream.isatty()


def _write(stream: Any, text: str, end: str = "\n") -> None:
    if stream is None:
        return
    try:
        try:
            stream.write(text + end)
        except UnicodeEncodeError:
            # A terminal that cannot show a character gets a stand-in, never a crash.
            stream.write(text.encode(stream.encoding, "replace").decode(stream.encoding) + end)
        stream.flush()
    except BrokenPipeError:
        raise
    except OSError as error:
        if stream is sys.stdout:  # where stderr is full, nobody can be told
            raise DogbreedError(f"the answer could not be written: {error.strerror}", "free some space") from error


@contextmanager
def _bar(console: Console, label: str, total: int | None, unit: str) -> Iterator[Advance]:
    from rich import progress as columns
    from rich.text import Text

    class Rate(columns.ProgressColumn):
        def render(self, task: columns.Task) -> Text:
            return Text(f"{task.speed:.{0 if task.speed >= 10 else 1}f} {unit}/s" if task.speed else "")

    amounts: tuple[columns.ProgressColumn, ...] = (columns.MofNCompleteColumn(), Rate())
    if unit == "bytes":
        amounts = (columns.DownloadColumn(), columns.TransferSpeedColumn())
    label_column = columns.TextColumn("{task.description}", markup=False)
    words_column = columns.TextColumn("{task.fields[words]}", markup=False)
    shown = (label_column, columns.BarColumn(), *amounts, columns.TimeRemainingColumn(), words_column)
    with columns.Progress(*shown, console=console, transient=True) as bars:
        task = bars.add_task(label, total=total, words="")

        def advance(step: int = 1, words: str = "") -> None:
            bars.update(task, advance=step, words=words)

        yield advance


def _lines(ui: Ui, label: str, total: int | None, unit: str) -> Advance:
    started = last = time.monotonic()
    done = 0

    def advance(step: int = 1, words: str = "") -> None:
        nonlocal done, last
        done += step
        now = time.monotonic()
        if now - last >= _LINE_EVERY_S:
            last = now
            rate = done / (now - started)
            left = f", {(total - done) / rate:.0f} s left" if total and rate else ""
            of = f" of {_amount(total, unit)}" if total else ""
            ui.note(f"{label}: {_amount(done, unit)}{of} ({_amount(rate, unit)}/s{left}) {words}".rstrip())

    return advance


def _amount(number: float, unit: str) -> str:
    return f"{number / 1e6:.1f} MB" if unit == "bytes" else f"{number:.0f} {unit}".rstrip()


ui = Ui()
