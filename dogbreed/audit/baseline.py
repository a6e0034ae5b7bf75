"""Fingerprints of findings, and the baseline of those that are known: only new ones fail.

A fingerprint is made of rule, file, subject and words, not of lines, so that a finding which moved is still known.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

from dogbreed.audit.finding import Finding
from dogbreed.errors import DogbreedError, UsageError

_VERSION = 1
# What moves with the lines: `file:12:7`, and the number of a statement that has no Sid.
_PLACE = re.compile(r"(?<=\w):\d+:\d+(?!\d|:)|(?<=\bstatement )\d+")


def fingerprints(findings: Sequence[Finding]) -> list[str]:
    """A fingerprint for each finding; of several that are alike in all but the place, the second ends in -2."""
    seen: Counter[str] = Counter()
    made = []
    for finding in findings:
        file = finding.location.file.replace("\\", "/").removeprefix("./")
        words = (_PLACE.sub("", text) for text in (finding.message, *finding.path))
        what = "\0".join((finding.rule, file, finding.subject, *finding.actions, "", *words))
        digest = hashlib.sha256(what.encode("utf-8", "surrogatepass")).hexdigest()[:24]
        seen[digest] += 1
        made.append(digest if seen[digest] == 1 else f"{digest}-{seen[digest]}")
    return made


def read_baseline(path: Path) -> frozenset[str]:
    """The fingerprints in a baseline; raises UsageError when it cannot be read."""
    hint = f"make it with: dogbreed audit-iam --write-baseline {path}"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["version"] != _VERSION:
            raise UsageError(f"{path} is a baseline of the version {content['version']}, not {_VERSION}", hint)
        return frozenset(str(one["fingerprint"]) for one in content["findings"])
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", hint) from error
    except (ValueError, KeyError, TypeError) as error:
        raise UsageError(f"{path} is no baseline", "make one: dogbreed audit-iam --write-baseline NEWFILE") from error


def write_baseline(path: Path, findings: Sequence[Finding]) -> None:
    """Write the baseline of these findings, readable in a review; the same findings give the same bytes.

    Raises UsageError where another file would be lost, such as a policy that was named by mistake.
    """
    # A pipe such as /dev/stdout holds nothing, and reading it would wait for ever.
    if path.is_file() and not _is_baseline(path):
        raise UsageError(f"{path} is there, and is no baseline", "name a new file, or remove it")
    rows = [
        {"fingerprint": print_, "rule": one.rule, "file": one.location.file, "subject": one.subject}
        for one, print_ in zip(findings, fingerprints(findings), strict=True)
    ]
    rows.sort(key=lambda row: (row["file"], row["rule"], row["subject"], row["fingerprint"]))
    text = json.dumps({"version": _VERSION, "findings": rows}, indent=1, ensure_ascii=False) + "\n"
    try:
        path.write_text(text, encoding="utf-8")
    except OSError as error:
        raise DogbreedError(f"{path} cannot be written: {error.strerror}", "give another file") from error


def _is_baseline(path: Path) -> bool:
    """Whether a file is empty, or a baseline of any version."""
    try:
        text = path.read_text(encoding="utf-8")
        return not text.strip() or set(json.loads(text)) == {"version", "findings"}
    except (OSError, ValueError, TypeError):
        return False


def split_known(findings: Sequence[Finding], known: frozenset[str]) -> tuple[list[Finding], list[Finding]]:
    """The new findings and the known ones."""
    new: list[Finding] = []
    old: list[Finding] = []
    for finding, print_ in zip(findings, fingerprints(findings), strict=True):
        (old if print_ in known else new).append(finding)
    return new, old
