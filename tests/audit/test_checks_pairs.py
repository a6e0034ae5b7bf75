"""Each check of settings tells what fails from what passes, in every form in which it can be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from forms import FORMS
from pairs import PAIRS, Pair

from dogbreed.audit import engine
from dogbreed.audit.parse import read


def judged(folder: Path, name: str, text: str) -> engine.Report:
    (folder / name).write_text(text, encoding="utf-8")
    return engine.audit(read([folder / name]))


CASES = [
    pytest.param(pair, form, id=f"{pair.rule}-{pair.type.split('::')[1]}-{form}")
    for pair in PAIRS
    for form in FORMS
    if any(FORMS[form](pair.type, one) for one in pair.bad)
]


@pytest.mark.parametrize(("pair", "form"), CASES)
def test_every_pair_is_told_apart(pair: Pair, form: str, tmp_path: Path) -> None:
    make: Any = FORMS[form]
    for number, properties in enumerate([*pair.bad, *pair.good]):
        if (made := make(pair.type, properties)) is None:
            continue
        folder = tmp_path / str(number)
        folder.mkdir()
        report = judged(folder, *made)
        assert not report.errors, (report.errors, made)
        found = [one for one in report.findings if one.rule == pair.rule]
        unsure = [one for one in report.undecided if one.rule == pair.rule]
        assert not unsure, (unsure, made)
        assert bool(found) == (number < len(pair.bad)), made
        for one in found:
            assert one.location.line, one
            assert one.message.endswith(".") and one.fix
