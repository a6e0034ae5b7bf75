"""Files -> the model: finds what can be audited, reads it, and says what is broken."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from dogbreed.audit import limits
from dogbreed.audit.finding import BrokenInput, Location
from dogbreed.audit.model import Corpus
from dogbreed.audit.parse import files


def read(paths: Iterable[Path] = ()) -> Corpus:
    """Everything auditable in files and folders, in the working folder when none are given.

    A broken file never ends the audit: it is in `Corpus.errors`, as is a file that was named and holds nothing.
    """
    from dogbreed.audit.parse import documents

    corpus = Corpus()
    modules: dict[Path, list[Path]] = {}
    for path, named in files.find(list(paths) or [Path()], corpus.errors):
        try:
            kind = files.kind(path, named)
        except OSError as error:
            corpus.errors.append(BrokenInput(Location(files.shown(path)), f"cannot be read: {error.strerror or error}"))
            continue
        if kind == "hcl":
            modules.setdefault(path.parent, []).append(path)
            continue
        found = documents.read_file(path, kind, named) if kind else None
        if found is not None:
            corpus.add(found)
        elif named:
            message = "is too large" if path.stat().st_size > files.LARGEST else "holds nothing that can be audited"
            corpus.errors.append(BrokenInput(Location(files.shown(path)), message))
    if modules:
        from dogbreed.audit.parse import terraform

        found = terraform.read_modules(modules)
        # A policy's file that a module reads is judged where it is attached, not once more alone.
        taken = {one.at().file for policy in found.every_policy() for one in policy.statements}
        corpus.policies = [policy for policy in corpus.policies if policy.location.file not in taken]
        corpus.add(found)
    limits.bind(corpus)
    return corpus
