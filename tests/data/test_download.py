from __future__ import annotations

import hashlib
import re
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from photos import picture
from test_archive import make_tar, make_zip

from dogbreed.data import download as downloads
from dogbreed.data.download import Event, download, is_here, partial_folder
from dogbreed.data.known_sets import SETS, Archive, KnownSet, known_set
from dogbreed.data.photoset import PhotoSet
from dogbreed.errors import DogbreedError, UsageError


class Server(ThreadingHTTPServer):
    """Serves one file on loopback; `plan` holds, per request, how many bytes to send before the line goes dead."""

    daemon_threads = True

    def __init__(self, content: bytes) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.content = content
        self.ranges = True
        self.plan: list[int] = []
        self.statuses: list[int] = []
        self.asked: list[str | None] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/set.tar.gz"


class _Handler(BaseHTTPRequestHandler):
    server: Server

    def log_message(self, *_: object) -> None:
        pass

    def do_GET(self) -> None:
        wanted = self.headers.get("Range")
        self.server.asked.append(wanted)
        if self.server.statuses:
            self.send_error(self.server.statuses.pop(0))
            return
        content, start = self.server.content, 0
        match = re.fullmatch(r"bytes=(\d+)-", wanted or "")
        if match and self.server.ranges:
            start = int(match[1])
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        self.send_header("Content-Length", str(len(content) - start))
        self.end_headers()
        limit = self.server.plan.pop(0) if self.server.plan else len(content)
        self.wfile.write(content[start : start + limit])


@pytest.fixture
def content(tmp_path: Path) -> bytes:
    members = []
    for number in range(8):
        path = tmp_path / "one.jpg"
        picture(number, (200, 150)).save(path, quality=95)
        members.append((f"Images/n0208562{number % 2}-{('Pug', 'Boxer')[number % 2]}/{number}.jpg", path.read_bytes()))
    return make_tar(tmp_path / "content.tar.gz", list(members)).read_bytes()


@pytest.fixture
def server(content: bytes) -> Iterator[Server]:
    server = Server(content)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    yield server
    server.shutdown()
    server.server_close()


def known(server: Server, *, sha256: str | None = "right", size: int | None = None) -> KnownSet:
    if sha256 == "right":
        sha256 = hashlib.sha256(server.content).hexdigest()
    archive = Archive(server.url, size or len(server.content), sha256)
    return KnownSet("test-set", "Test set", "8 photos", "page", "terms of the test set", (archive,), 10**7)


def run(wanted: KnownSet, to: Path, waits: list[float] | None = None) -> list[Event]:
    return list(download(wanted, to, sleep=(waits if waits is not None else []).append))


def test_it_fetches_checks_and_unpacks(server: Server, tmp_path: Path, look_at: Callable[..., PhotoSet]) -> None:
    events = run(known(server), tmp_path / "set")
    photos = look_at(tmp_path / "set")
    assert (photos.layout, len(photos.photos), photos.problems) == ("stanford-dogs", 8, ())
    assert [event.words for event in events if event.kind == "checked"] == [hashlib.sha256(server.content).hexdigest()]
    done = [event.done for event in events if event.kind == "bytes"]
    assert done == sorted(done) and done[-1] == len(server.content)
    assert is_here(known(server), tmp_path / "set")
    assert not partial_folder(tmp_path / "set").exists()


def test_dropped_connections_are_resumed_with_back_off(server: Server, tmp_path: Path) -> None:
    server.plan = [1000, 0, 0, 500]
    waits: list[float] = []
    run(known(server), tmp_path / "set", waits)
    assert server.asked == [None, "bytes=1000-", "bytes=1000-", "bytes=1000-", "bytes=1500-"]
    assert waits == [1, 2, 4, 1]
    assert is_here(known(server), tmp_path / "set")


def test_a_server_that_ignores_range_sends_everything_again(server: Server, tmp_path: Path) -> None:
    server.plan, server.ranges = [1000], False
    run(known(server), tmp_path / "set")
    assert server.asked == [None, "bytes=1000-"]
    assert is_here(known(server), tmp_path / "set")


def test_an_interrupted_download_goes_on_in_the_next_run(server: Server, tmp_path: Path) -> None:
    server.plan = [1200]
    steps = download(known(server), tmp_path / "set", sleep=lambda _: None)
    for event in steps:
        if event.kind == "retry":
            steps.close()
    assert not (tmp_path / "set").exists()
    run(known(server), tmp_path / "set")
    assert server.asked == [None, "bytes=1200-"]
    assert is_here(known(server), tmp_path / "set")


def test_a_part_of_another_file_is_thrown_away(server: Server, tmp_path: Path) -> None:
    part = partial_folder(tmp_path / "set") / "set.tar.gz.part"
    part.parent.mkdir()
    part.write_bytes(b"\0" * 700)
    events = run(known(server), tmp_path / "set")
    assert "restart" in {event.kind for event in events}
    assert server.asked == ["bytes=700-", None]
    assert is_here(known(server), tmp_path / "set")


def test_a_dead_server_ends_in_words_and_keeps_the_part(server: Server, tmp_path: Path) -> None:
    server.plan = [800, *[0] * 20]
    waits: list[float] = []
    with pytest.raises(DogbreedError, match="ended at 800 of") as caught:
        run(known(server), tmp_path / "set", waits)
    assert "goes on where it stopped" in caught.value.hint
    assert len(waits) < 10
    assert (partial_folder(tmp_path / "set") / "set.tar.gz.part").stat().st_size == 800


def test_busy_servers_are_asked_again_and_missing_files_are_not(server: Server, tmp_path: Path) -> None:
    server.statuses = [503, 429]
    run(known(server), tmp_path / "set")
    assert len(server.asked) == 3
    server.statuses = [404] * 5
    with pytest.raises(DogbreedError, match="HTTP 404"):
        run(known(server), tmp_path / "other")
    assert len(server.asked) == 4


def test_a_wrong_checksum_unpacks_nothing(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DogbreedError, match="is not the file that is known"):
        run(known(server, sha256="0" * 64), tmp_path / "set")
    assert not (tmp_path / "set").exists()
    assert list(partial_folder(tmp_path / "set").iterdir()) == []


def test_a_wrong_size_is_noticed_before_anything_is_fetched(server: Server, tmp_path: Path) -> None:
    with pytest.raises(DogbreedError, match="bytes, not the 99999 that are known"):
        run(known(server, size=99_999), tmp_path / "set")
    assert not (tmp_path / "set").exists()


def test_without_a_published_checksum_the_first_file_is_pinned(server: Server, tmp_path: Path) -> None:
    wanted = known(server, sha256=None)
    run(wanted, tmp_path / "one")
    run(wanted, tmp_path / "two")
    server.content = bytes(reversed(server.content))
    with pytest.raises(DogbreedError, match="is not the file that is known"):
        run(wanted, tmp_path / "three")


def test_an_evil_archive_leaves_nothing(server: Server, tmp_path: Path) -> None:
    server.content = make_zip(tmp_path / "evil.zip", [("fine.txt", b"x"), ("../escaped.txt", b"x")]).read_bytes()
    with pytest.raises(DogbreedError, match="leads out of the folder"):
        run(known(server), tmp_path / "in" / "set")
    assert not (tmp_path / "in" / "set").exists()
    assert not list(tmp_path.rglob("escaped.txt")) and not list(tmp_path.rglob("fine.txt"))


def test_a_full_folder_is_refused_and_a_small_disk_too(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "set").mkdir()
    (tmp_path / "set" / "mine").write_text("x")
    with pytest.raises(UsageError, match="not empty"):
        run(known(server), tmp_path / "set")
    monkeypatch.setattr(downloads.shutil, "disk_usage", lambda path: type("Usage", (), {"free": 100})())
    with pytest.raises(DogbreedError, match="are free"):
        run(known(server), tmp_path / "other")
    assert server.asked == []


def test_the_table_makes_nothing_up() -> None:
    assert set(SETS) == {"stanford-dogs", "oxford-iiit-pet", "udacity-dogs"}
    for name, entry in SETS.items():
        assert entry.name == name and entry.terms and entry.unpacked_limit > sum(item.size for item in entry.archives)
        for archive in entry.archives:
            assert archive.sha256 is None or re.fullmatch(r"[0-9a-f]{64}", archive.sha256)
    with pytest.raises(UsageError, match="no photo set poodles"):
        known_set("poodles")
