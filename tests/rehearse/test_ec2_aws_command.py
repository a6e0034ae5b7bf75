"""The machines' `aws` command: copies, syncs, parameters from words, answers as text, exit codes."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import Any

import boto3
import instances
import pytest
import standin
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dogbreed.rehearse import aws_command
from dogbreed.rehearse.state import Server


@pytest.fixture
def bucket(account: Server) -> str:
    return standin.bucket()


def aws(capfd: pytest.CaptureFixture[str], *words: str, code: int = 0) -> str:
    """What the command prints; standard error where another exit code is expected."""
    capfd.readouterr()
    assert aws_command.main(list(words)) == code, capfd.readouterr()
    told = capfd.readouterr()
    return told.err if code else told.out


def keys() -> list[str]:
    return [one["Key"] for one in boto3.client("s3").list_objects_v2(Bucket="photos").get("Contents", [])]


Capture = pytest.CaptureFixture[str]


def test_cp_goes_up_and_down_and_keeps_names(bucket: str, tmp_path: Path, capfd: Capture) -> None:
    file = tmp_path / "a.bin"
    file.write_bytes(os.urandom(100_000))
    aws(capfd, "s3", "cp", str(file), "s3://photos")
    aws(capfd, "s3", "cp", str(file), "s3://photos/folder/")
    aws(capfd, "s3", "cp", str(file), "s3://photos/other.bin", "--sse", "aws:kms", "--sse-kms-key-id", "alias/k")
    assert keys() == ["a.bin", "folder/a.bin", "other.bin"]
    head = boto3.client("s3").head_object(Bucket="photos", Key="other.bin")
    assert (head["ServerSideEncryption"], head["SSEKMSKeyId"]) == ("aws:kms", "alias/k")
    (tmp_path / "down").mkdir()
    aws(capfd, "s3", "cp", "s3://photos/folder/a.bin", str(tmp_path / "down"))
    aws(capfd, "s3", "cp", "s3://photos/folder/a.bin", str(tmp_path / "new" / "name"))
    assert (tmp_path / "down" / "a.bin").read_bytes() == file.read_bytes() == (tmp_path / "new" / "name").read_bytes()


def test_cp_of_folders_with_filters(bucket: str, tmp_path: Path, capfd: Capture) -> None:
    for name in ("x/1.jpg", "x/2.txt", "3.jpg"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name)
    words = ("--recursive", "--exclude", "*", "--include", "*.jpg", "--only-show-errors")
    assert aws(capfd, "s3", "cp", str(tmp_path / "in"), "s3://photos/p", *words) == ""
    assert keys() == ["p/3.jpg", "p/x/1.jpg"]
    shown = aws(capfd, "s3", "ls", "s3://photos/p/")
    assert "PRE x/" in shown and shown.endswith(" 5 3.jpg\n")
    aws(capfd, "s3", "rm", "s3://photos/p", "--recursive")
    assert keys() == []


files = st.dictionaries(
    st.text("abc", min_size=1, max_size=3).map(lambda name: f"f{name}"), st.binary(max_size=20), min_size=1, max_size=5
)


@settings(max_examples=4, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(content=files)
def test_sync_there_and_back_is_the_same_folder(
    content: dict[str, bytes], bucket: str, tmp_path_factory: pytest.TempPathFactory, capfd: Capture
) -> None:
    folder = tmp_path_factory.mktemp("sync")
    # Its own place: of two files of one size and one second, sync takes the second to be there already.
    place = f"s3://photos/{folder.name}"
    (folder / "in" / "deep").mkdir(parents=True)
    for name, body in content.items():
        (folder / "in" / "deep" / name).write_bytes(body)
    aws(capfd, "s3", "sync", str(folder / "in"), place, "--delete")
    assert aws(capfd, "s3", "sync", str(folder / "in"), place, "--delete") == ""
    aws(capfd, "s3", "sync", place, str(folder / "out"))
    assert {path.name: path.read_bytes() for path in (folder / "out" / "deep").iterdir()} == content
    assert aws(capfd, "s3", "sync", place, str(folder / "out"), "--exact-timestamps") == ""


def test_sync_sends_what_is_newer(bucket: str, tmp_path: Path, capfd: Capture) -> None:
    file = tmp_path / "a"
    file.write_text("one")
    aws(capfd, "s3", "sync", str(tmp_path), "s3://photos/s")
    sent = boto3.client("s3").head_object(Bucket="photos", Key="s/a")["LastModified"].timestamp()
    file.write_text("two")
    os.utime(file, (sent - 100, sent - 100))
    assert aws(capfd, "s3", "sync", str(tmp_path), "s3://photos/s") == ""
    os.utime(file, (sent + 100, sent + 100))
    assert "upload: " in aws(capfd, "s3", "sync", str(tmp_path), "s3://photos/s")


def test_what_fails_in_s3_ends_with_1(bucket: str, tmp_path: Path, capfd: Capture) -> None:
    assert '(404) when calling the HeadObject operation: Key "no" does not exist' in aws(
        capfd, "s3", "cp", "s3://photos/no", str(tmp_path), code=1
    )
    (tmp_path / "a").write_text("x")
    assert "upload failed: " in aws(capfd, "s3", "cp", str(tmp_path / "a"), "s3://nowhere/a", code=1)
    aws(capfd, "s3", "ls", "s3://photos/none", code=1)


def test_parameters_come_from_words_json_and_files(account: Server, tmp_path: Path, capfd: Capture) -> None:
    aws(capfd, "logs", "create-log-group", "--log-group-name", "g", "--tags", "a=1,b=2")
    aws(capfd, "logs", "create-log-stream", "--log-group-name=g", "--log-stream-name", "s")
    now = int(time.time() * 1000)
    events = [{"timestamp": now - number, "message": f"line {number}, with = and ,"} for number in (2, 1)]
    (tmp_path / "events").write_text(json.dumps(events))
    names = ("--log-group-name", "g", "--log-stream-name", "s")
    aws(capfd, "logs", "put-log-events", *names, "--log-events", f"file://{tmp_path / 'events'}")
    query = ("--query", "events[].message", "--output", "text")
    assert aws(capfd, "logs", "get-log-events", *names, *query) == "line 2, with = and ,\tline 1, with = and ,\n"
    told = json.dumps({"logGroupName": "g", "retentionInDays": 7})
    aws(capfd, "logs", "put-retention-policy", "--cli-input-json", told)
    assert json.loads(aws(capfd, "logs", "describe-log-groups"))["logGroups"][0]["retentionInDays"] == 7
    data = [{"MetricName": "m", "Value": 1.5, "Dimensions": [{"Name": "run", "Value": "r"}]}]
    aws(capfd, "cloudwatch", "put-metric-data", "--namespace", "n", "--metric-data", json.dumps(data))
    short = "MetricName=k,Value=2,Unit=Count"
    aws(capfd, "cloudwatch", "put-metric-data", "--namespace", "n", "--metric-data", short)
    found = aws(capfd, "cloudwatch", "list-metrics", "--query", "Metrics[].MetricName", "--output", "text")
    assert set(found.split()) == {"m", "k"}


def test_filters_and_tags_in_shorthand(account: Server, capfd: Capture) -> None:
    (name,) = instances.run("true", 1)
    aws(capfd, "ec2", "create-tags", "--resources", name, "--tags", "Key=run,Value=r", "Key=b,Value=2")
    words = ("--filters", "Name=tag:run,Values=r,q", "Name=instance-state-name,Values=pending,running")
    query = ("--query", "Reservations[].Instances[].InstanceId", "--output", "text")
    assert aws(capfd, "ec2", "describe-instances", *words, *query) == f"{name}\n"
    aws(capfd, "ec2", "wait", "instance-running", "--instance-ids", name)
    refused = aws(capfd, "ec2", "terminate-instances", "--instance-ids", name, "--dry-run", code=254)
    assert "(DryRunOperation) when calling the TerminateInstances operation" in refused


@pytest.mark.parametrize(
    ("words", "code"),
    [
        (["ec2"], 252),
        (["nothing", "at-all"], 252),
        (["ec2", "do-nothing"], 252),
        (["ec2", "describe-instances", "--colour", "red"], 252),
        (["ec2", "terminate-instances"], 252),
        (["s3", "cp", "a", "b"], 252),
        (["s3", "fly"], 252),
        (["ec2", "terminate-instances", "--instance-ids", "i-0123456789abcdef0"], 254),
    ],
)
def test_exit_codes_are_those_of_the_real_one(account: Server, capfd: Capture, words: list[str], code: int) -> None:
    assert aws(capfd, *words, code=code).strip()


def test_nobody_is_told_to_sign_in(account: Server, capfd: Capture, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
        monkeypatch.delenv(name)
    assert "Unable to locate credentials" in aws(capfd, "sts", "get-caller-identity", code=253)


@pytest.mark.parametrize(
    ("answer", "lines"),
    [
        ("x", ["x"]),
        (None, ["None"]),
        (["a", "b"], ["a\tb"]),
        ([["a", 1], ["b", 2]], ["a\t1", "b\t2"]),
        ({"B": 1, "A": "x"}, ["x\t1"]),
        ({"Groups": [{"Id": "g", "Name": "n"}]}, ["GROUPS\tg\tn"]),
        ({"Names": ["a", "b"]}, ["NAMES\ta", "NAMES\tb"]),
        (True, ["True"]),
    ],
)
def test_text_output(answer: Any, lines: list[str]) -> None:
    assert list(aws_command._lines(answer)) == lines
