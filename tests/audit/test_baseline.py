"""Baseline and suppressions: what is known or accepted does not fail, and nothing stays hidden by accident."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from reports import AWKWARD, ELSEWHERE, EMPTY, ESCALATION, REPORT, findings

from dogbreed.audit.baseline import fingerprints, read_baseline, split_known, write_baseline
from dogbreed.audit.engine import load_rules
from dogbreed.audit.finding import Finding, Severity
from dogbreed.audit.outcome import settle, threshold
from dogbreed.audit.suppress import Suppression, apply, read_suppressions
from dogbreed.errors import UsageError

TODAY = date(2026, 11, 25)
load_rules()


@given(st.lists(findings, max_size=6), st.integers(0, 1000), st.integers(0, 99))
def test_a_fingerprint_survives_moved_lines(found: list[Finding], lines: int, columns: int) -> None:
    moved = [
        replace(one, location=one.location._replace(line=one.location.line + lines, column=columns)) for one in found
    ]
    assert fingerprints(moved) == fingerprints(found)
    assert len(set(fingerprints(found))) == len(found)


def test_a_baseline_replaces_a_baseline_and_no_other_file(tmp_path: Path) -> None:
    policy = tmp_path / "policy.json"
    policy.write_text('{"Version": "2012-10-17", "Statement": []}')
    with pytest.raises(UsageError) as read:
        read_baseline(policy)
    assert str(policy) not in read.value.hint
    with pytest.raises(UsageError, match="is no baseline"):
        write_baseline(policy, [ESCALATION])
    assert "Statement" in policy.read_text()
    known = tmp_path / "known.json"
    for found in ([ESCALATION], []):
        write_baseline(known, found)
        assert read_baseline(known) == frozenset(fingerprints(found))


@pytest.mark.skipif(sys.platform == "win32", reason="pipes with a name are Unix's")
def test_a_baseline_may_go_into_a_pipe(tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    # Open at both ends, so that nothing waits for another process.
    end = os.open(pipe, os.O_RDWR)
    try:
        write_baseline(pipe, [ESCALATION])
        assert fingerprints([ESCALATION])[0] in os.read(end, 10_000).decode()
    finally:
        os.close(end)


def test_places_in_the_steps_of_a_path_may_move_too() -> None:
    def steps(*places: str) -> Finding:
        return replace(ESCALATION, path=tuple(f"iam:PassRole, by {place}" for place in places))

    before = steps(
        "statement 1 of inline (infra/roles.yaml:17:17)", "statement 'Pass' of arn:aws:iam::123456789012:role/x"
    )
    after = steps(
        "statement 2 of inline (infra/roles.yaml:29:17)", "statement 'Pass' of arn:aws:iam::123456789012:role/x"
    )
    other = steps(
        "statement 1 of inline (infra/roles.yaml:17:17)", "statement 'Pass' of arn:aws:iam::210987654321:role/x"
    )
    assert fingerprints([before]) == fingerprints([after])
    assert fingerprints([before]) != fingerprints([other])


def test_a_fingerprint_tells_findings_apart() -> None:
    others = [
        replace(ESCALATION, rule="lambda-002"),
        replace(ESCALATION, subject="other"),
        replace(ESCALATION, message="other"),
        replace(ESCALATION, location=ESCALATION.location._replace(file="other.yaml")),
        replace(ESCALATION, path=("other",)),
    ]
    assert len(set(fingerprints([ESCALATION, *others]))) == 6
    # How bad it is may change with the rules of a new version.
    assert fingerprints([ESCALATION]) == fingerprints([replace(ESCALATION, severity=Severity.LOW)])


def test_only_new_findings_are_new(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    write_baseline(file, [AWKWARD, ESCALATION])
    first = file.read_bytes()
    write_baseline(file, [ESCALATION, AWKWARD])
    assert file.read_bytes() == first
    new, old = split_known([ESCALATION, AWKWARD, ELSEWHERE], read_baseline(file))
    assert (new, old) == ([ELSEWHERE], [ESCALATION, AWKWARD])


def test_a_second_one_of_the_same_kind_is_new(tmp_path: Path) -> None:
    file = tmp_path / "known.json"
    write_baseline(file, [ESCALATION])
    again = replace(ESCALATION, location=ESCALATION.location._replace(line=99))
    new, old = split_known([ESCALATION, again], read_baseline(file))
    assert (new, old) == ([again], [ESCALATION])


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"version": 2, "findings": []}', '{"version": 1, "findings": [{}]}'])
def test_a_baseline_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "known.json").write_text(text)
    with pytest.raises(UsageError) as error:
        read_baseline(tmp_path / "known.json")
    assert "--write-baseline" in error.value.hint


# -- suppressions


def test_a_suppression_hides_what_matches_all_of_it() -> None:
    found = [ESCALATION, AWKWARD, ELSEWHERE]
    for one, hidden in (
        (Suppression("lambda-001", "sandbox"), 1),
        (Suppression("lambda-*", "sandbox", path="infra/*"), 1),
        (Suppression("lambda-001", "sandbox", path="src/*"), 0),
        (Suppression("*", "sandbox", subject="*role/builder"), 1),
        (Suppression("*", "sandbox"), 3),
        (Suppression("lambda-001", "sandbox", until=TODAY), 1),
        (Suppression("lambda-001", "sandbox", until=date(2026, 11, 24)), 0),
    ):
        assert apply([one], found, [], TODAY).hidden == hidden, one


def test_expired_unused_and_endless_ones_are_named() -> None:
    over = Suppression("lambda-001", "sandbox", until=date(2026, 1, 1))
    idle = Suppression("SM-*", "none here", path="x/*", until=date(2027, 1, 1))
    endless = Suppression("AA-*", "later")
    result = apply([over, idle, endless], [ESCALATION, AWKWARD], [], TODAY)
    assert (result.expired, result.unused, result.endless) == ([over], [idle], [endless])
    assert result.findings == [ESCALATION]


def test_what_was_not_decided_can_be_accepted_too() -> None:
    result = apply([Suppression("SM-NB-VPC", "a parameter")], [], REPORT.undecided, TODAY)
    assert result.undecided == []


def test_a_file_of_suppressions(tmp_path: Path) -> None:
    file = tmp_path / ".dogbreed-audit.toml"
    file.write_text('[[suppress]]\nrule = "SM-NB-ROOT"\npath = "infra/*"\nreason = "lab"\nuntil = 2027-01-31\n')
    assert read_suppressions(file) == [Suppression("SM-NB-ROOT", "lab", "infra/*", "*", date(2027, 1, 31))]


@pytest.mark.parametrize(
    "text",
    [
        '[[suppress]]\nrule = "A"\n',
        '[[suppress]]\nreason = "A"\n',
        '[[suppress]]\nrule = "A"\nreason = " "\n',
        '[[suppress]]\nrule = "A"\nreason = "b"\nuntil = "2027-01-31"\n',
        '[[suppress]]\nrule = "A"\nreason = "b"\nuntil = 2027-01-31T00:00:00\n',
        '[[suppress]]\nrule = "A"\nreason = "b"\npaths = "c"\n',
        '[suppress]\nrule = "A"\nreason = "b"\n',
        '[[ignore]]\nrule = "A"\nreason = "b"\n',
        "suppress = 1",
        "{",
    ],
)
def test_a_suppression_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / "s.toml").write_text(text)
    with pytest.raises(UsageError):
        read_suppressions(tmp_path / "s.toml")


# -- the exit code


@pytest.mark.parametrize(
    ("word", "code"), [("critical", 3), ("high", 3), ("medium", 3), ("low", 3), ("info", 3), ("never", 1)]
)
def test_findings_come_before_what_was_not_decided(word: str, code: int) -> None:
    assert settle(REPORT, fail_on=threshold(word), today=TODAY).exit_code == code


def test_exit_codes() -> None:
    def code(report: object, **options: object) -> int:
        return settle(report, fail_on=Severity.HIGH, today=TODAY, **options).exit_code  # type: ignore[arg-type]

    assert code(EMPTY) == 0
    assert code(replace(EMPTY, findings=[ESCALATION])) == 3
    assert code(replace(EMPTY, findings=[AWKWARD])) == 0
    assert code(replace(EMPTY, undecided=REPORT.undecided)) == 1
    assert code(replace(EMPTY, errors=REPORT.errors)) == 1
    known = frozenset(fingerprints([ESCALATION]))
    assert code(replace(EMPTY, findings=[ESCALATION]), known=known) == 0
    assert code(replace(EMPTY, findings=[ESCALATION]), skip=["lambda-*"]) == 0
    assert code(replace(EMPTY, findings=[ESCALATION]), only=["AA-*"]) == 0


@pytest.mark.parametrize("options", [{"only": ["AA-NOSUCH"]}, {"skip": ["NOSUCH-*"]}])
def test_an_unknown_rule_is_wrong_usage(options: dict[str, list[str]]) -> None:
    with pytest.raises(UsageError) as error:
        settle(EMPTY, fail_on=None, today=TODAY, **options)  # type: ignore[arg-type]
    assert "--rules" in error.value.hint


def test_an_unknown_severity_is_wrong_usage() -> None:
    with pytest.raises(UsageError):
        threshold("hgih")
