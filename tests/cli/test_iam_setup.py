"""`dogbreed iam setup`: an administrator makes the roles once, and who trains needs no right to."""

from __future__ import annotations

import json
from pathlib import Path

from program import dogbreed

from dogbreed.cloud.policies import KINDS
from dogbreed.rehearse.state import Server


def test_roles_are_made_once(account: Server, tmp_path: Path) -> None:
    # All roles, and two of them in a profile, for machines.
    count = len(KINDS) + 2
    planned = dogbreed("iam", "setup", "--dry-run", cwd=tmp_path)
    assert planned.returncode == 0 and f"{count} to create" in planned.stderr
    made = dogbreed("iam", "setup", "--yes", "--json", cwd=tmp_path)
    assert made.returncode == 0, made.stderr
    assert [step["step"] for step in json.loads(made.stdout)["steps"]] == ["+"] * count
    again = dogbreed("iam", "setup", "--yes", cwd=tmp_path)
    assert again.returncode == 0 and "nothing to change" in again.stderr
    removed = dogbreed("destroy", "--yes", cwd=tmp_path)
    assert removed.returncode == 0 and f"{count} to delete" in removed.stderr, removed.stderr


def test_who_may_not_make_roles_is_told_who_does(account: Server, tmp_path: Path) -> None:
    account.ask("fault", kind="deny", target="iam:CreateRole")
    refused = dogbreed("iam", "setup", "--yes", cwd=tmp_path)
    assert refused.returncode == 4
    assert "not allowed: iam:CreateRole" in refused.stderr and "an administrator" in refused.stderr
