"""Print how long audit-iam takes and how often it disagrees with what AWS calls clean.

usage: python tests/benchmarks/bench_audit.py

CPU seconds of this process, so that what else the machine does counts less; the first line of each pair includes
reading the facts of the services that are named.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from dogbreed.audit import engine, managed
from dogbreed.audit.document import make_policy
from dogbreed.audit.finding import Category, Finding, Severity
from dogbreed.audit.model import NOWHERE, Corpus, Kind, Policy
from dogbreed.audit.validity.check import look_at_policy

FLAGGED = (Path(__file__).parent.parent / "audit" / "flagged_by_aws.txt").read_text().split()


def timed(label: str, work: Callable[[], Any]) -> Any:
    """What `work` returns, after printing how long it took."""
    started = time.process_time()
    result = work()
    print(f"{label}: {time.process_time() - started:.2f} s")
    return result


def policy(name: str, document: Any) -> Policy:
    """An identity policy that stands alone."""
    return make_policy(document, Kind.IDENTITY, name, NOWHERE)


def long_policy(count: int) -> Policy:
    """A policy of so many statements, no two alike."""
    body = [
        {"Effect": "Allow", "Action": ["s3:GetObject", "sqs:Send*"], "Resource": f"arn:aws:s3:::b{number}/*"}
        for number in range(count)
    ]
    return policy("long", {"Version": "2012-10-17", "Statement": body})


def main() -> None:
    """Print the figures."""
    started = time.perf_counter()
    subprocess.run([sys.executable, "-m", "dogbreed", "audit-iam", "--help"], check=True, capture_output=True)
    print(f"audit-iam --help, a process of its own: {time.perf_counter() - started:.2f} s")
    engine.load_rules()
    texts = managed._data()["policies"]
    policies = [policy(name, json.loads(text)) for name, text in texts.items()]
    every = Corpus(policies=policies[::12][:100])
    for run in ("first", "second"):
        timed(f"{len(every.policies)} managed policies, all rules, {run} time", lambda: engine.audit(every))
    for count in (1_000, 10_000):
        one = long_policy(count)
        timed(f"validity of a policy of {count} statements", lambda one=one: look_at_policy(one))
    report = timed(f"{len(policies)} managed policies, all rules", lambda: engine.audit(Corpus(policies=policies)))
    clean = {one.name for one in policies if one.name.rpartition("/")[2] not in FLAGGED}
    said = {one.subject for one in report.findings if one.category is Category.INVALID_POLICY} & clean
    print(f"invalid-policy findings in {len(said)} of {len(clean)} policies that AWS called clean (some changed since)")
    high = {one.subject for one in report.findings if one.severity.reaches(Severity.HIGH)}
    invalid = {one.subject for one in report.findings if is_invalid_and_high(one)}
    print(f"high or critical in {len(high)} of {len(policies)}, of them invalid-policy in {len(invalid)}")


def is_invalid_and_high(finding: Finding) -> bool:
    """Whether it is about validity and high."""
    return finding.category is Category.INVALID_POLICY and finding.severity.reaches(Severity.HIGH)


if __name__ == "__main__":
    main()
