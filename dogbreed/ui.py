"""The only thing that prints or asks: answers go to stdout, everything else to stderr.

Rich is loaded when a terminal wants it, with markup, emoji and highlighting off, since foreign text such as
`[/aws/sagemaker]` would otherwise be read as a tag.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Protocol

from dogbreed.errors import DogbreedError, UsageError

if TYPE_CHECKING:
    from rich.console import Console

_LINE_EVERY_S = 30.0
_BAR = 30  # characters of a full bar


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
        if not sys.stdout.isatty():
            for row in rows:
                self.line("\t".join(str(cell) for cell in row))
            return
        from rich.table import Table
        from rich.text import Text

        table = Table(box=None, pad_edge=False, header_style="bold")
        for name in columns:
            table.add_column(name, justify="right" if name in numbers else "left", overflow="fold")
        for row in rows:
            table.add_row(*(Text(str(cell)) for cell in row))
        self.console(stderr=False).print(table)

    @property
    def terminal(self) -> bool:
        """Whether a person in a terminal reads the answers."""
        return sys.stdout.isatty()

    def bars(self, rows: Sequence[tuple[str, float]]) -> None:
        """A labelled bar and per cent for each share in 0..1."""
        from shutil import get_terminal_size

        labels = [printable(label) for label, _ in rows]
        width = max(map(len, labels), default=0)
        room = max(4, min(_BAR, get_terminal_size().columns - width - 14))
        for label, (_, share) in zip(labels, rows, strict=True):
            bar = self._paint(_blocks(share, room, sys.stdout.encoding), "36")
            self.line(f"  {label:<{width}}  {bar} {share:6.1%}")

    # -- talk

    def note(self, text: str, *, style: str = "") -> None:
        """A line on stderr, silent under --quiet."""
        if not self.quiet:
            self._talk(text, style)

    def warn(self, text: str) -> None:
        """`warning: ...` on stderr, also under --quiet."""
        self._talk(f"warning: {text}", "yellow")

    def error(self, error: DogbreedError) -> None:
        """`error:` and `hint:` on stderr, or one JSON object under --json."""
        if self.json:
            value = {"error": error.message, "hint": error.hint, "exit_code": error.exit_code}
            _write(sys.stderr, json.dumps(value, ensure_ascii=False))
        else:
            self._talk(f"error: {error.message}", "bold red")
            if error.hint:
                self._talk(f"hint: {error.hint}", "")
        if self.verbose:
            import traceback

            _write(sys.stderr, "".join(traceback.format_exception(error)))

    def bug(self, error: Exception, version: str) -> None:
        """An error that is ours: one line, and the traceback only with --verbose."""
        hint = "this is a bug in dogbreed; run again with --verbose for the traceback and report it"
        self.error(DogbreedError(f"{type(error).__name__}: {error} (dogbreed {version})", hint))

    def confirm(self, question: str, *, yes: bool) -> bool:
        """Ask y/N; without a terminal (or in CI) a UsageError names --yes instead."""
        if yes:
            return True
        if not sys.stdin.isatty() or os.environ.get("CI"):
            raise UsageError("this needs a yes, and there is no terminal to ask on", "add --yes")
        _write(sys.stderr, f"{question} [y/N] ", end="")
        return sys.stdin.readline().strip().lower() in ("y", "yes")

    @contextmanager
    def progress(self, label: str, total: int | None, unit: str = "", *, when: bool = True) -> Iterator[Advance]:
        """A bar with rate and time left in a terminal, else a line each 30 s; nothing unless `when`."""
        if self.quiet or not when:
            yield lambda step=1, words="": None
        elif sys.stderr.isatty() and os.environ.get("TERM") != "dumb":
            with _bar(self.console(stderr=True), label, total, unit) as advance:
                yield advance
        else:
            yield _lines(self, label, total, unit)

    def console(self, *, stderr: bool) -> Console:
        """A Rich console with markup off."""
        from rich.console import Console

        no_color = True if not self.colour or os.environ.get("NO_COLOR") else None
        return Console(stderr=stderr, markup=False, emoji=False, highlight=False, no_color=no_color, soft_wrap=True)

    def _paint(self, text: str, code: str) -> str:
        return f"\x1b[{code}m{text}\x1b[0m" if self.colour and _may_colour(sys.stdout) else text

    def _talk(self, text: str, style: str) -> None:
        if style and self.colour and _may_colour(sys.stderr):
            self.console(stderr=True).print(text, style=style)
        else:
            _write(sys.stderr, text)


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


def _may_colour(stream: Any) -> bool:
    if os.environ.get("NO_COLOR"):
        return False
    if os.environ.get("FORCE_COLOR"):
        return True
    return stream.isatty() and os.environ.get("TERM") != "dumb"


def _write(stream: Any, text: str, end: str = "\n") -> None:
    try:
        stream.write(text + end)
    except UnicodeEncodeError:
        # A terminal that cannot show a character gets a stand-in, never a crash.
        stream.write(text.encode(stream.encoding, "replace").decode(stream.encoding) + end)
    stream.flush()


@contextmanager
def _bar(console: Console, label: str, total: int | None, unit: str) -> Iterator[Advance]:
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, ProgressColumn, Task, TextColumn
    from rich.progress import TimeRemainingColumn
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text(f"{task.speed:.0f} {unit}/s" if task.speed else "")

    columns = (TextColumn("{task.description}", markup=False), BarColumn(), MofNCompleteColumn(), Rate())
    words_column = TextColumn("{task.fields[words]}", markup=False)
    with Progress(*columns, TimeRemainingColumn(), words_column, console=console, transient=True) as bars:
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
            ui.note(f"{label}: {done}{f' of {total}' if total else ''} {unit} ({rate:.0f}/s{left}) {words}".rstrip())

    return advance


ui = Ui()
