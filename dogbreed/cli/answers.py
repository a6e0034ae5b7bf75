"""What `dogbreed predict` does, and how its answers look: bars, tabs, JSON or CSV.

Apart from `cli.predict`, which needs Typer, so that the plain `dogbreed predict photo.jpg` need not load it.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from itertools import chain, islice
from typing import TYPE_CHECKING

from dogbreed import config as settings
from dogbreed.errors import EXIT_FAILED, DogbreedError, UsageError
from dogbreed.run import STARTER, Run, find
from dogbreed.ui import printable, ui

if TYPE_CHECKING:
    from dogbreed.config import AwsSettings
    from dogbreed.infer.answering import Answer, Answering

    Show = Callable[[Answer], None]


def predict(
    paths: Sequence[str],
    run: str | None = None,
    top_k: int | None = None,
    *,
    allow_private: bool = False,
    json: bool = False,
    csv: bool = False,
    elsewhere: Mapping[str, str | None] | None = None,
    region: str | None = None,
    config: str | None = None,
    use_file: bool = True,
) -> int:
    """Answer every photo that `paths` mean, in their order; the exit code.

    `elsewhere`: who is asked in place of a model here, at most one of url, endpoint and function.
    """
    if json and csv:
        raise UsageError("--json and --csv exclude each other", "give one of them")
    if paths.count("-") > 1:
        raise UsageError("- stands for standard input and can be given once only", "give - once")
    flags = {"predict.run": run, "predict.top_k": top_k, "predict.allow_private": allow_private or None}
    asked = {way: name for way, name in (elsewhere or {}).items() if name is not None}
    if len(asked) > 1:
        raise UsageError(f"--{' and --'.join(asked)} exclude each other", "give one of them")
    if asked and run:
        raise UsageError(f"what --{next(iter(asked))} names has a run of its own", "leave out one of them")
    loaded = settings.load({**flags, "aws.region": region}, config=config, use_file=use_file)
    given = loaded.predict
    answering = _elsewhere(*next(iter(asked.items())), loaded.aws) if asked else _here(given.run)

    from dogbreed.infer.sources import expand

    sources = expand(paths, allow_private=given.allow_private)
    first = list(islice(sources, 2))
    several = len(first) > 1
    # One photo alone is decoded here, while the model is being loaded.
    one = (answering.answer(source, given.top_k) for source in first)
    answers = answering.predict_many(chain(first, sources), given.top_k) if several else one
    style = _json() if json else _csv(top_k or 1) if csv else _bars(answering) if ui.terminal else _tabs()
    done = failed = 0
    progress = ui.progress("predicted", None, "photos", when=several and not ui.terminal)
    with closing(answers), progress as advance, style as show:
        for answer in answers:
            show(answer)
            done += 1
            failed += answer.error is not None
            advance()
    if failed and several:
        ui.note(f"{failed} of {done} got no answer")
    return EXIT_FAILED if failed else 0


def _elsewhere(way: str, name: str, account: AwsSettings) -> Answering:
    """Who is asked: `way` is url, endpoint or function."""
    from dogbreed.infer.door import Asking, Door, is_signed

    asking: Asking
    if way == "url" and not is_signed(name):
        asking = Door(name)
    else:
        from dogbreed.cloud.serving import client
        from dogbreed.cloud.session import Aws

        aws = Aws(account)
        if way == "url":
            asking = client.OfUrl(aws, name)
        else:
            asking = client.OfEndpoint(aws, name) if way == "endpoint" else client.OfFunction(aws, name)
    ui.note(f"asking {asking.where}")
    return asking


def _here(run: str) -> Answering:
    chosen = find(run)

    # Nothing here multiplies matrices in numpy, so the threads that it would start for that are only a delay.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from dogbreed.infer.session import Session

    session = Session(chosen)

    from dogbreed.infer.predictor import Predictor

    predictor = Predictor.open(chosen, session=session)
    ui.note(f"model: {_what(chosen)}, {len(predictor.labels)} breeds")
    return predictor


def _what(run: Run) -> str:
    if run.path == STARTER:
        return "the bundled starter model"
    # A model of drawings is what the first steps leave behind; it would name a real dog with much confidence.
    drawn = " (trained on drawings, it knows no real dogs; --run starter does)" if run.info["data"].get("drawn") else ""
    return f"run {run.path}{drawn}"


def _complain(answer: Answer) -> None:
    ui.error(DogbreedError(f"{printable(answer.file)}: {answer.error}", answer.hint))


@contextmanager
def _bars(answering: Answering) -> Iterator[Show]:
    """For people: the best guesses as bars, which should not be relied on, and once what that means."""
    from dogbreed.infer.answering import readable

    unsure = False

    def show(answer: Answer) -> None:
        if answer.error:
            _complain(answer)
            return
        ui.line(printable(answer.file))
        ui.bars([(readable(breed), share) for breed, share in answer.top])
        if answer.unsure:
            nonlocal unsure
            unsure = True
            below = f", below {answering.unsure_below:.0%}" if answering.unsure_below else ""
            ui.line(f"  unsure{below}")

    yield show
    if unsure and answering.unsure_meaning:
        import textwrap
        from shutil import get_terminal_size

        words = answering.unsure_meaning.replace("unsure_below", f"{answering.unsure_below:.0%}")
        ui.line(textwrap.fill(words, max(40, get_terminal_size().columns)))


@contextmanager
def _tabs() -> Iterator[Show]:
    """For pipes: file, breed, confidence and `unsure` or `sure`, apart by tabs; errors go to stderr."""

    def show(answer: Answer) -> None:
        if answer.error:
            _complain(answer)
        else:
            words = "unsure" if answer.unsure else "sure"
            ui.line(f"{printable(answer.file)}\t{answer.breed}\t{answer.confidence:.4f}\t{words}")

    yield show


@contextmanager
def _json() -> Iterator[Show]:
    """One list, written as the answers come and closed whatever happens."""
    from json import dumps

    waiting = ""

    def show(answer: Answer) -> None:
        nonlocal waiting
        ui.line(waiting + "," if waiting else "[")
        waiting = "  " + dumps(answer.to_json(), ensure_ascii=False)

    failed = True
    try:
        yield show
        failed = False
    finally:
        # What failed before the first answer, such as a damaged model, has no list to give.
        if waiting:
            ui.line(waiting)
            ui.line("]")
        elif not failed:
            ui.line("[]")


@contextmanager
def _csv(places: int) -> Iterator[Show]:
    """A header and a line for each photo; with --top-k also the second, third, ... best breed."""
    import csv
    import io

    def line(cells: Sequence[object]) -> None:
        text = io.StringIO()
        csv.writer(text, lineterminator="").writerow(cells)
        ui.line(text.getvalue())

    def show(answer: Answer) -> None:
        # A spreadsheet would run a name such as =HYPERLINK(...) as a formula; with ./ it still names the same file.
        name = f"./{answer.file}" if answer.file[:1] in ("=", "+", "@", "\t", "\r") else answer.file
        name = f"./{name}" if name.startswith("-") and name != "-" else name
        sure = (answer.breed, _share(answer.confidence), "" if answer.unsure is None else str(answer.unsure).lower())
        more = [cell for breed, share in answer.top[1:places] for cell in (breed, _share(share))]
        line([name, *sure, answer.error, *more])

    more = [cell for place in range(2, places + 1) for cell in (f"breed_{place}", f"confidence_{place}")]
    line(["file", "breed", "confidence", "unsure", "error", *more])
    yield show


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.6f}"
