"""status, destroy and iam policy, as people run them, against the stand-in cloud."""

from __future__ import annotations

import json
import socket
import subprocess
import threading
from pathlib import Path
from typing import Any

import pytest
from program import dogbreed
from standin import until

from dogbreed import plan
from dogbreed.cli.main import COMMANDS
from dogbreed.cloud import inventory, people, people_commands
from dogbreed.cloud.bucket import Bucket
from dogbreed.cloud.network import SecurityGroup, look
from dogbreed.cloud.policies import EC2_TRAINING, KINDS, SAGEMAKER_TRAINING
from dogbreed.cloud.policy_parts import Scope
from dogbreed.cloud.roles import InstanceProfile, Role
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings
from dogbreed.rehearse.state import Server


def made(project: str = "dogbreed") -> Aws:
    """An account in which this project has made what training needs."""
    aws = Aws(AwsSettings(project=project))
    role = Role(aws, EC2_TRAINING)
    wanted = [Bucket(aws), Role(aws, SAGEMAKER_TRAINING), role, InstanceProfile(aws, role)]
    for _ in plan.make([*wanted, SecurityGroup(aws, look(aws).vpc)]).apply():
        pass
    aws.client("s3").put_object(Bucket=aws.bucket, Key="runs/1/photo", Body=b"1")
    return aws


def machine(aws: Aws) -> str:
    """A machine of this project that runs until it is ended."""
    ec2 = aws.client("ec2")
    tags = [{"Key": key, "Value": value} for key, value in aws.tags("training", "run-1").items()]
    images = ec2.describe_images(Owners=["amazon"])["Images"]
    image = next(one for one in images if one["Architecture"] == "x86_64" and "Windows" not in one["Name"])
    answer = ec2.run_instances(
        ImageId=image["ImageId"],
        InstanceType="m5.large",
        MinCount=1,
        MaxCount=1,
        SecurityGroupIds=[SecurityGroup(aws, look(aws).vpc).id()],
        TagSpecifications=[
            {"ResourceType": kind, "Tags": tags} for kind in ("instance", "volume", "network-interface")
        ],
    )
    return str(answer["Instances"][0]["InstanceId"])


def listed(where: Path, *words: str) -> dict[str, Any]:
    done = dogbreed("status", "--json", *words, cwd=where)
    assert done.returncode == 0, done.stderr
    return dict(json.loads(done.stdout))


def kinds(answer: dict[str, Any]) -> list[str]:
    return sorted(one["kind"] for one in answer["resources"])


def there(project: str = "dogbreed") -> list[str]:
    """The kinds of what the project has, without another process."""
    rows = inventory.look(inventory.resources(Aws(AwsSettings(project=project))))
    return sorted(row.resource.kind for row in rows)


def test_an_account_without_anything(account: Server, tmp_path: Path) -> None:
    done = dogbreed("status", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, "")
    assert "has nothing in account" in done.stderr
    assert kinds(listed(tmp_path)) == []
    done = dogbreed("destroy", "--yes", cwd=tmp_path)
    assert (done.returncode, "nothing to remove" in done.stderr) == (0, True)


def test_status_shows_what_is_there_and_what_it_costs(account: Server, tmp_path: Path) -> None:
    aws = made()
    name = machine(aws)
    answer = listed(tmp_path)
    assert kinds(answer) == ["bucket", "instance profile", "machine", "role", "role", "security group"]
    assert (answer["project"], answer["account"], answer["also_tagged"]) == ("dogbreed", aws.account, [])
    (seen,) = (one for one in answer["resources"] if one["kind"] == "machine")
    assert (seen["name"], seen["details"]["type"], seen["details"]["run"]) == (name, "m5.large", "run-1")
    assert 0 <= seen["age_seconds"] < 600
    # No price is known for this region, so neither is the sum.
    assert seen["usd_per_hour"] is None and answer["usd_per_hour"] is None
    done = dogbreed("status", cwd=tmp_path)
    row = next(line for line in done.stdout.splitlines() if line.startswith("machine"))
    assert row.split("\t")[1] == f"{name} (1 x m5.large) (run run-1)"
    assert "unknown" in row and "what this costs by the hour is not known" in done.stderr


def test_destroy_asks_and_only_shows_without_a_yes(account: Server, tmp_path: Path) -> None:
    made()
    done = dogbreed("destroy", cwd=tmp_path)
    assert (done.returncode, "add --yes" in done.stderr) == (2, True)
    done = dogbreed("destroy", "--dry-run", "--json", cwd=tmp_path)
    assert done.returncode == 0
    signs = {one["kind"]: one["step"] for one in json.loads(done.stdout)["steps"]}
    assert signs == {"bucket": "=", "role": "-", "instance profile": "-", "security group": "-"}
    assert len(there()) == 5


def test_destroy_wants_the_name_of_the_project(account: Server, tmp_path: Path) -> None:
    import os
    import pty
    import sys

    made()

    def typed(words: str) -> str:
        pid, end = pty.fork()
        if pid == 0:
            os.chdir(tmp_path)
            os.execv(sys.executable, [sys.executable, "-m", "dogbreed", "destroy"])
        said = b""
        try:
            while piece := os.read(end, 4096):
                said += piece
                if b"type dogbreed: " in said and words:
                    os.write(end, f"{words}\n".encode())
                    words = ""
        except OSError:
            pass
        os.waitpid(pid, 0)
        return said.decode()

    assert "nothing was changed" in typed("yes")
    assert len(there()) == 5
    assert "nothing else of this project is left" in typed("dogbreed")
    assert there() == ["bucket"]


def test_destroy_ends_what_runs_and_keeps_the_photos(account: Server, tmp_path: Path) -> None:
    aws = made()
    name = machine(aws)
    done = dogbreed("destroy", "--yes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    lines = done.stderr.splitlines()
    assert lines.index(f"delete machine {name}") < lines.index("delete security group dogbreed-machines")
    assert any(line.startswith("kept: bucket") for line in lines)
    assert aws.client("s3").list_objects_v2(Bucket=aws.bucket)["KeyCount"] == 1
    assert there() == ["bucket"]
    done = dogbreed("destroy", "--yes", "--data", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert (json.loads(done.stdout)["removed"], json.loads(done.stdout)["left"]) == (1, [])
    assert there() == []


def test_two_projects_in_one_account_do_not_touch_each_other(account: Server, tmp_path: Path) -> None:
    made("mine")
    made("theirs")
    done = dogbreed("destroy", "--yes", "--data", cwd=tmp_path, DOGBREED_AWS_PROJECT="mine")
    assert done.returncode == 0, done.stderr
    assert (
        len(kinds(dict(json.loads(dogbreed("status", "--json", cwd=tmp_path, DOGBREED_AWS_PROJECT="theirs").stdout))))
        == 5
    )


def test_what_cannot_be_removed_is_named_and_fails(account: Server, tmp_path: Path) -> None:
    made()
    account.ask("fault", kind="deny", target="iam:DeleteRole")
    done = dogbreed("destroy", "--yes", cwd=tmp_path)
    assert done.returncode == 4
    assert "not allowed: iam:DeleteRole on arn:aws:iam::123456789012:role/dogbreed-" in done.stderr
    account.ask("clear")
    done = dogbreed("destroy", "--yes", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert there() == ["bucket"]


def test_a_group_that_is_still_used_is_no_traceback(account: Server, tmp_path: Path) -> None:
    aws = made()
    group = SecurityGroup(aws, look(aws).vpc).id()
    ec2 = aws.client("ec2")
    ec2.create_network_interface(SubnetId=look(aws).subnets[0].id, Groups=[group])
    done = dogbreed("destroy", "--yes", cwd=tmp_path)
    assert "Traceback" not in done.stderr
    assert done.returncode in (0, 1)


@pytest.mark.slow
def test_throttling_and_faults_do_not_stop_it(account: Server, tmp_path: Path) -> None:
    made()
    for kind in ("throttle", "s3-500"):
        account.ask("fault", kind=kind, share=0.1, seed=5)
    done = dogbreed("destroy", "--yes", "--data", cwd=tmp_path)
    assert done.returncode == 0, done.stderr


def test_tagged_things_that_are_none_of_these_are_named(account: Server, tmp_path: Path) -> None:
    aws = made()
    tags = [{"Key": "dogbreed:project", "Value": "dogbreed"}]
    volume = aws.client("ec2").create_volume(
        AvailabilityZone="eu-west-1a",
        Size=1,
        TagSpecifications=[{"ResourceType": "volume", "Tags": tags}],
    )
    assert [arn.split("/")[-1] for arn in listed(tmp_path)["also_tagged"]] == [volume["VolumeId"]]


# -- without access


@pytest.mark.parametrize("command", ["status", "destroy"])
def test_no_credentials_at_all(tmp_path: Path, command: str) -> None:
    done = dogbreed(command, *(["--yes"] if command == "destroy" else []), cwd=tmp_path)
    assert done.returncode == 4
    assert done.stderr.splitlines()[0] == "error: no AWS credentials were found"
    assert "rehearse up" in done.stderr.splitlines()[1]


def test_no_credentials_and_a_metadata_service_that_never_answers(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        asked = []

        def accept() -> None:
            while True:
                try:
                    asked.append(silent.accept()[0])
                except OSError:
                    return

        threading.Thread(target=accept, daemon=True).start()
        address = f"http://127.0.0.1:{silent.getsockname()[1]}"
        done = dogbreed(
            "status", cwd=tmp_path, AWS_EC2_METADATA_DISABLED="false", AWS_EC2_METADATA_SERVICE_ENDPOINT=address
        )
        assert done.returncode == 4
        until(lambda: asked)
        assert len(asked) <= 2


def test_no_region(account: Server, tmp_path: Path) -> None:
    done = dogbreed("status", cwd=tmp_path, AWS_REGION="", AWS_DEFAULT_REGION="")
    assert done.returncode == 2
    assert "no AWS region is set" in done.stderr
    assert dogbreed("status", "--region", "eu-west-1", cwd=tmp_path, AWS_REGION="").returncode == 0


def test_a_denied_look_is_exit_4_and_names_action_and_resource(account: Server, tmp_path: Path) -> None:
    made()
    account.ask("fault", kind="deny", target="iam:GetRole")
    done = dogbreed("status", "--json", cwd=tmp_path)
    assert done.returncode == 4
    said = json.loads(done.stderr)
    assert said["exit_code"] == 4
    assert "iam:GetRole on arn:aws:iam::123456789012:role/dogbreed-" in said["error"]


# -- policies


def policy(where: Path, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
    return dogbreed("iam", "policy", "--for", *words, cwd=where, **environment)


@pytest.mark.parametrize(
    "purpose", ["train-sagemaker", "train-ec2", "deploy-endpoint", "invoke", "status", "destroy", "audit"]
)
def test_a_policy_without_an_account(tmp_path: Path, purpose: str) -> None:
    done = policy(tmp_path, purpose, "--account", "210987654321", "--region", "eu-west-1")
    assert done.returncode == 0, done.stderr
    said = json.loads(done.stdout)
    assert said["Version"] == "2012-10-17"
    assert "<" not in done.stdout
    arns = [one for statement in said["Statement"] for one in statement["Resource"] if one.startswith("arn:")]
    # Buckets and AWS's own images and parameters have no account in their ARNs.
    named = [one for one in arns if not one.startswith(("arn:aws:s3:", "arn:aws:ec2:eu-west-1::", "arn:aws:ssm:"))]
    assert all(":210987654321:" in one for one in named)


def test_every_command_has_a_policy_or_needs_none(tmp_path: Path) -> None:
    for command in COMMANDS.keys() - {"iam"}:
        assert people_commands.policy_of(command, "endpoint") is not None, command
    where = ("--account", "210987654321", "--region", "eu-west-1")
    same = policy(tmp_path, "rollback", *where)
    assert same.stdout == policy(tmp_path, "deploy-endpoint", *where).stdout
    assert "deploy-endpoint" in same.stderr
    none = policy(tmp_path, "recommend")
    assert (none.returncode, "no policy" in none.stderr) == (2, True)


def test_placeholders_only_for_what_is_not_known(tmp_path: Path) -> None:
    done = policy(tmp_path, "invoke")
    assert done.returncode == 0
    assert "arn:aws:sagemaker:<REGION>:<ACCOUNT>:endpoint/dogbreed-*" in done.stdout
    assert "--account" in done.stderr
    assert "<REGION>" not in policy(tmp_path, "invoke", "--region", "eu-west-1").stdout


def test_the_credentials_account_and_the_settings_are_used(account: Server, tmp_path: Path) -> None:
    (tmp_path / "dogbreed.toml").write_text(
        '[aws]\nproject = "dogs"\nbucket = "my-photos"\nsubnets = "subnet-0123456789abcdef0"\n'
        'kms_key = "arn:aws:kms:eu-west-1:123456789012:key/12345678-1234-1234-1234-123456789012"\n'
    )
    done = policy(tmp_path, "train-sagemaker")
    assert done.returncode == 0, done.stderr
    for part in ("training-job/dogs-*", "arn:aws:s3:::my-photos", "kms:GenerateDataKey", "key/12345678"):
        assert part in done.stdout
    assert "ec2:CreateNetworkInterface" in policy(tmp_path, "role:sagemaker-training").stdout


def test_wrong_words(tmp_path: Path) -> None:
    done = policy(tmp_path, "everything")
    assert (done.returncode, "train-sagemaker" in done.stderr) == (2, True)
    assert policy(tmp_path, "invoke", "--account", "12").returncode == 2


def test_audit_iam_finds_nothing_in_what_jobs_run_as(tmp_path: Path) -> None:
    scope = Scope("123456789012", "eu-west-1", "dogs", "dogs-photos", subnets=("subnet-0123456789abcdef0",))
    made = {f"role-{name}": kind.policy for name, kind in KINDS.items()}
    made |= {name: people.POLICIES[name] for name in ("invoke", "status", "destroy", "audit")}
    for name, policy_of in made.items():
        (tmp_path / f"{name}.json").write_text(json.dumps(policy_of(scope)))
    done = dogbreed("audit-iam", tmp_path, cwd=tmp_path)
    assert (done.returncode, done.stdout) == (0, ""), done.stdout
