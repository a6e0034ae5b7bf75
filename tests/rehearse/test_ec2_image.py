"""What a machine is made of: user data as cloud-init reads it, times of its commands, words replaced without a root."""

from __future__ import annotations

import gzip
import subprocess
from email.mime.multipart import MIMEMultipart
from email.mime.text import MIMEText
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.rehearse.image import tools
from dogbreed.rehearse.image.cloud_init import Part, parts
from dogbreed.rehearse.image.disk import Disk

scripts = st.binary(max_size=60).map(lambda rest: b"#!/bin/sh\n" + rest)


@given(scripts)
def test_a_script_is_taken_as_it_is_compressed_or_not(script: bytes) -> None:
    assert parts(script) == parts(gzip.compress(script)) == [Part(script)]


@given(st.lists(st.text("abc \n", max_size=20), min_size=1, max_size=4))
def test_parts_of_a_message_come_in_their_order(texts: list[str]) -> None:
    message = MIMEMultipart()
    for text in texts:
        message.attach(MIMEText(f"#!/bin/sh\n{text}", "x-shellscript"))
    assert [part.text.decode() for part in parts(message.as_bytes())] == [f"#!/bin/sh\n{text}" for text in texts]


def test_a_boothook_comes_first() -> None:
    message = MIMEMultipart()
    message.attach(MIMEText("#!/bin/sh\nlate", "x-shellscript"))
    message.attach(MIMEText("#cloud-boothook\n#!/bin/sh\nearly", "cloud-boothook"))
    assert [part.text for part in parts(message.as_bytes())] == [b"#!/bin/sh\nearly", b"#!/bin/sh\nlate"]


@pytest.mark.parametrize("text", [b"#cloud-config\npackages: [git]", b"echo no first line"])
def test_what_is_not_run_is_said(text: bytes) -> None:
    (part,) = parts(text)
    assert part.refused and not part.text


@pytest.mark.parametrize("text", [b"", b"\n \n"])
def test_no_user_data_is_nothing_to_run(text: bytes) -> None:
    assert parts(text) == []


@given(st.integers(0, 10**6))
def test_shutdown_counts_minutes(minutes: int) -> None:
    assert tools._until(f"+{minutes}") == tools._until(str(minutes)) == 60 * minutes


@given(st.times())
def test_shutdown_at_an_hour_is_within_a_day(when: object) -> None:
    assert 0 < tools._until(f"{when:%H:%M}") <= 86_400


@pytest.mark.parametrize("text", ["soon", "+x", "25:00", ""])
def test_shutdown_at_no_time_is_an_error(text: str) -> None:
    with pytest.raises(ValueError):
        tools._until(text)


@given(st.integers(0, 400), st.integers(0, 59), st.integers(0, 59))
def test_spans_of_systemd(hours: int, minutes: int, seconds: int) -> None:
    whole = 3600 * hours + 60 * minutes + seconds
    assert (
        tools._span(f"{hours}h {minutes}min {seconds}s")
        == tools._span(f"{whole}")
        == tools._span(f"{whole}sec")
        == whole
    )


WORDS = b"/sbin/shutdown -h now; /usr/sbin/poweroff; aws s3 ls; /opt/pytorch/bin/python; "
WORDS += b"curl http://169.254.169.254/latest; /home/me/sbin/shutdown; /usr/local/bin/aws; /opt/pytorch2"


def test_without_a_root_folder_nothing_of_user_data_reaches_this_computers_own(tmp_path: Path) -> None:
    told = Disk(tmp_path, own_root=False)._adapted(WORDS, "http://127.0.0.1:5").decode().split("; ")
    tool = f"{tmp_path}/opt/rehearse/bin"
    assert told == [
        f"{tool}/shutdown -h now",
        f"{tool}/poweroff",
        "aws s3 ls",
        f"{tmp_path}/opt/pytorch/bin/python",
        "curl http://127.0.0.1:5/latest",
        "/home/me/sbin/shutdown",
        f"{tool}/aws",
        "/opt/pytorch2",
    ]


def test_the_look_of_the_image(tmp_path: Path) -> None:
    disk = Disk(tmp_path / "disk with 'signs", own_root=False)
    disk.make("machine")
    environment = disk.environment()
    done = subprocess.run(
        ["/bin/sh", "-c", 'cd "$HOME/../opt/pytorch/bin" && . ./activate && command -v python && python -c "print(3)"'],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
    )
    assert done.stdout.splitlines() == [disk.place("/opt/pytorch/bin/python"), "3"]
