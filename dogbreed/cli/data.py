"""`dogbreed data`: check a folder of photos, split it, draw a sample set, download a known one."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli.options import Config, DryRun, NoConfig
from dogbreed.errors import EXIT_FOUND, UsageError
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.config import DataSettings
    from dogbreed.data.download import Event
    from dogbreed.data.photoset import PhotoSet
    from dogbreed.data.scan import Progress

Directory = Annotated[Path, typer.Argument(metavar="DIR", help="Folder of photos.", show_default=False)]
Cats = Annotated[bool, typer.Option("--cats", help="Use the cat breeds of Oxford-IIIT Pet as well.")]
Valid = Annotated[float | None, typer.Option(help="Share of each breed for validation; setting data.valid.")]
Test = Annotated[float | None, typer.Option(help="Share of each breed for the test; setting data.test.")]
Seed = Annotated[int | None, typer.Option(min=0, help="Seed; setting data.seed.")]


def add(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(
        help="Photos: check a folder, split it, draw a sample set, download a known one.", no_args_is_help=True
    )
    for command in (check, split, sample, download):
        group.command()(command)
    app.add_typer(group, name="data", rich_help_panel="Data")


def check(
    folder: Directory,
    every: Annotated[bool, typer.Option("--all", help="Name every file, not the first of each kind.")] = False,
    cats: Cats = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Look at every photo: can it be read, is it there twice, has its breed enough of them?

    Exit code 3 when something must be mended: files that cannot be read, dead links, leaks between splits, one photo
    under two breeds, breeds without enough photos. 0 when all is well or merely odd (a wrong extension, CMYK, grey,
    an animation, copies within one breed, stray or hidden files): that is named, and reading copes with it.

    Example: dogbreed data check photos
    """
    photos = _read(folder, _settings(config, no_config), cats=cats)
    wrong = [problem for problem in photos.problems if problem.must_be_mended]
    if ui.json:
        ui.answer(_report(photos))
    else:
        _say_set(photos)
        _say_problems(photos, every=every)
    if wrong:
        words = f"{len(wrong)} must be mended; each is named by: dogbreed data check {folder} --all"
        ui.note(words if not ui.json else words.split(";", maxsplit=1)[0])
        raise typer.Exit(EXIT_FOUND)
    ui.note(f"nothing must be mended. next: dogbreed train {folder}")


def split(
    folder: Directory,
    to: Annotated[Path, typer.Option(metavar="OUT", help="New folder for train/, valid/ and test/.")],
    valid: Valid = None,
    test: Test = None,
    seed: Seed = None,
    link: Annotated[bool, typer.Option("--link/--copy", help="Hard links take no space; copies stand alone.")] = False,
    again: Annotated[bool, typer.Option("--again", help="Split anew a folder that has splits.")] = False,
    cats: Cats = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Write train/, valid/ and test/ over breed folders; the input stays as it is.

    The split follows from the photos' content: other names, another order or another place give the same one. Copies
    of one photo stay together, and every breed is shared out by itself.

    Example: dogbreed data split photos --to photos-split --test 0.2
    """
    from dogbreed.data import export
    from dogbreed.data.folders import refuse_full
    from dogbreed.data.photoset import require_trainable

    export.refuse_inside(folder, to)
    refuse_full(to)
    settings = _settings(config, no_config, {"data.valid": valid, "data.test": test, "data.seed": seed})
    photos = _read(folder, settings, cats=cats, again=again)
    if photos.given and not again:
        raise UsageError(
            f"{folder} is split already ({', '.join(photos.given)})",
            f"to split it anew: dogbreed data split {folder} --to {to} --again",
        )
    require_trainable(photos)
    counts = {name: len(photos.split(name)) for name in ("train", "valid", "test")}
    left_out = [problem for problem in photos.problems if not problem.used]
    if not dry_run:
        with _progress("writing", "photos") as progress:
            export.write(photos, to, link=link, progress=progress)
    if ui.json:
        answer = {"from": str(folder), "to": str(to), "written": not dry_run, "splits": counts}
        ui.answer(answer | {"digest": photos.digest(), "left_out": [problem.to_json() for problem in left_out]})
    else:
        ui.table(("split", "photos"), list(counts.items()), numbers=("photos",))
        if left_out:
            ui.warn(f"{len(left_out)} files are left out; each is named by: dogbreed data check {folder} --all")
    ui.note(f"dry run: nothing was written to {to}" if dry_run else f"next: dogbreed train {to}")


def sample(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="New folder for the drawings.", show_default=False)],
    breeds: Annotated[int, typer.Option(help="How many breeds: 2 to 12.")] = 8,
    photos: Annotated[int, typer.Option(help="Pictures of each breed.")] = 40,
    seed: Seed = None,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Draw a small set of invented breeds, to try everything without a single photo.

    These are drawings, and the folder says so. The same seed gives the same pictures.

    Example: dogbreed data sample sketches && dogbreed train sketches
    """
    from dogbreed.data.folders import refuse_full
    from dogbreed.data.sample import draw_sample, is_here

    settings = _settings(config, no_config, {"data.seed": seed})
    here = is_here(folder, breeds=breeds, photos=photos, seed=settings.seed)
    if here:
        ui.note(f"nothing to do: {folder} holds this set already")
    else:
        refuse_full(folder)
    if not dry_run and not here:
        with _progress("drawing", "pictures") as progress:
            draw_sample(folder, breeds=breeds, photos=photos, seed=settings.seed, progress=progress)
    ui.note("these are drawings of invented breeds, not photographs")
    facts = {"folder": str(folder), "drawn": True, "written": not (dry_run or here)}
    facts |= {"breeds": breeds, "photos": breeds * photos, "seed": settings.seed}
    if ui.json:
        ui.answer(facts)
    else:
        ui.line(str(folder))
    ui.note(f"dry run: nothing was written to {folder}" if dry_run else f"next: dogbreed train {folder}")


def download(
    name: Annotated[
        str | None, typer.Argument(help="Which set; without it, they are listed.", show_default=False)
    ] = None,
    to: Annotated[Path | None, typer.Option(metavar="DIR", help="New folder; default: the set's name, here.")] = None,
    dry_run: DryRun = False,
) -> None:
    """Download a public photo set: stanford-dogs, oxford-iiit-pet or udacity-dogs.

    It goes on where it was interrupted, and checks size and checksum before anything is unpacked. Mind the terms of
    each set, which are shown first.

    Example: dogbreed data download stanford-dogs --to photos
    """
    from dogbreed.data import download as downloads
    from dogbreed.data.known_sets import SETS, known_set

    if name is None:
        if ui.json:
            ui.answer([{"name": known.name, "about": known.about, "terms": known.terms} for known in SETS.values()])
        else:
            ui.table(("name", "holds", "terms"), [(known.name, known.about, known.terms) for known in SETS.values()])
        return
    known = known_set(name)
    folder = to or Path(known.name)
    ui.note(f"{known.title}: {known.about}\nterms: {known.terms}\nfrom: {known.page}")
    facts: dict[str, Any] = {"set": known.name, "folder": str(folder), "terms": known.terms, "sha256": {}}
    if downloads.is_here(known, folder):
        ui.note(f"nothing to do: {folder} holds it already")
    elif dry_run:
        ui.note("dry run: would fetch " + " and ".join(archive.url for archive in known.archives))
    else:
        total = sum(archive.size for archive in known.archives)
        with ui.progress("downloading", total, "bytes") as advance:
            at: Counter[str] = Counter()
            for event in downloads.download(known, folder):
                advance(_follow(event, at, facts["sha256"]), event.words if event.kind == "unpacked" else "")
    if ui.json:
        ui.answer(facts)
    else:
        ui.line(str(folder))
    if not dry_run:
        ui.note(f"next: dogbreed data check {folder}")


# -- reading, with settings and progress


def _settings(config: str | None, no_config: bool, flags: dict[str, Any] | None = None) -> DataSettings:
    from dogbreed import config as settings_module

    return settings_module.load(flags or {}, config=config, use_file=not no_config).data


def _read(folder: Path, settings: DataSettings, *, cats: bool = False, again: bool = False) -> PhotoSet:
    from dogbreed.data.photoset import read

    with _progress("reading", "photos") as progress:
        return read(
            folder,
            valid=settings.valid,
            test=settings.test,
            seed=settings.seed,
            cats=cats,
            again=again,
            strict=False,
            progress=progress,
        )


@contextmanager
def _progress(label: str, unit: str) -> Iterator[Progress]:
    """A bar that is opened at the first call, when the total is known."""
    from contextlib import ExitStack

    with ExitStack() as stack:
        state: dict[str, Any] = {"done": 0}

        def progress(done: int, total: int) -> None:
            if "advance" not in state:
                state["advance"] = stack.enter_context(ui.progress(label, total, unit))
            state["advance"](done - state["done"])
            state["done"] = done

        yield progress


def _follow(event: Event, at: Counter[str], digests: dict[str, str]) -> int:
    """Say what is worth a line; the number of new bytes."""
    if event.kind in ("retry", "restart"):
        ui.note(f"{event.name}: {event.words}")
    if event.kind == "checked":
        digests[event.name] = event.words
        ui.note(f"{event.name}: SHA-256 {event.words}")
    if event.kind != "bytes":
        return 0
    new = event.done - at[event.name]
    at[event.name] = event.done
    return new


# -- what `check` says


def _say_set(photos: PhotoSet) -> None:
    counts = ", ".join(f"{name} {len(photos.split(name))}" for name in ("train", "valid", "test"))
    drawn = " (drawn, not photographed)" if photos.drawn else ""
    words = f"{photos.root}: {photos.layout}{drawn}, {photos.found} files, {len(photos.breeds)} breeds"
    ui.note(f"{words}, {len(photos.photos)} photos used: {counts}")


def _say_problems(photos: PhotoSet, *, every: bool) -> None:
    import sys

    if every or not sys.stdout.isatty():
        rows = [
            (problem.kind, "mend" if problem.must_be_mended else "odd", problem.path, problem.detail)
            for problem in photos.problems
        ]
        ui.table(("kind", "", "file", "what"), rows)
        return
    kinds = Counter(problem.kind for problem in photos.problems)
    first = {problem.kind: problem for problem in reversed(photos.problems)}
    order = sorted(kinds, key=lambda kind: (not first[kind].must_be_mended, -kinds[kind], kind))
    verdict = {kind: "mend" if first[kind].must_be_mended else "odd" for kind in order}
    rows_of_kinds = [(kind, kinds[kind], verdict[kind], first[kind].path, first[kind].detail) for kind in order]
    if rows_of_kinds:
        ui.table(("kind", "files", "", "first", "what"), rows_of_kinds, numbers=("files",))


def _report(photos: PhotoSet) -> dict[str, Any]:
    splits = Counter((photo.breed, photo.split) for photo in photos.photos)
    breeds = {
        breed: {"original": photos.originals[breed]}
        | {name: splits[breed, name] for name in ("train", "valid", "test")}
        for breed in photos.breeds
    }
    return {
        "folder": str(photos.root),
        "layout": photos.layout,
        "drawn": photos.drawn,
        "ok": not any(problem.must_be_mended for problem in photos.problems),
        "digest": photos.digest(),
        "files": photos.found,
        "photos": len(photos.photos),
        "splits": {name: len(photos.split(name)) for name in ("train", "valid", "test")},
        "breeds": breeds,
        "kinds": dict(Counter(problem.kind for problem in photos.problems)),
        "problems": [problem.to_json() | {"mend": problem.must_be_mended} for problem in photos.problems],
    }
