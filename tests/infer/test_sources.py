"""What PATH may be: files, folders, patterns, stdin."""

from __future__ import annotations

import io
import os
import sys
from pathlib import Path

import pytest

from dogbreed.errors import PhotoError
from dogbreed.infer.sources import expand


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in ("b.jpg", "a.JPG", "sub/c.png", "sub/deep/d.webp", "notes.txt", ".hidden.jpg", ".git/e.jpg"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "empty").mkdir()
    return tmp_path


def names(*paths: str) -> list[str]:
    return [source.name for source in expand(paths)]


def problem(*paths: str) -> PhotoError:
    (source,) = expand(paths)
    with pytest.raises(PhotoError) as caught:
        source.read()
    return caught.value


def test_files_keep_their_spelling_and_order(here: Path) -> None:
    assert names("./b.jpg", "notes.txt", "b.jpg", "./b.jpg") == ["./b.jpg", "notes.txt", "b.jpg", "./b.jpg"]


def test_a_folder_gives_its_photos_sorted_and_nothing_else(here: Path) -> None:
    assert names("sub") == ["sub/c.png", "sub/deep/d.webp"]
    assert names(".") == ["./a.JPG", "./b.jpg", "./sub/c.png", "./sub/deep/d.webp"]


def test_a_folder_without_photos_and_a_missing_path_have_their_own_errors(here: Path) -> None:
    assert "no photos" in problem("empty").message
    assert "No such file" in problem("gone.jpg").message
    assert "no photo matches" in problem("*.tif").message


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("*.jpg", ["b.jpg"]),
        ("*", ["a.JPG", "b.jpg", "sub/c.png", "sub/deep/d.webp"]),
        ("[ab].*", ["a.JPG", "b.jpg"]),
        ("**/*.png", ["sub/c.png"]),
        ("**/*.*", ["a.JPG", "b.jpg", "sub/c.png", "sub/deep/d.webp"]),
        ("**", ["a.JPG", "b.jpg", "sub/c.png", "sub/deep/d.webp"]),
        ("sub/**/*.webp", ["sub/deep/d.webp"]),
        ("s*/**/d*", ["sub/deep/d.webp"]),
        ("*.jpeg", ["a.JPG", "b.jpg"]),
        ("*/*.PNG", ["sub/c.png"]),
    ],
)
def test_patterns_that_the_shell_left_alone(here: Path, pattern: str, expected: list[str]) -> None:
    assert names(pattern) == expected


def test_a_file_whose_name_looks_like_a_pattern_is_that_file(here: Path) -> None:
    (here / "dog[1].jpg").write_bytes(b"x")
    assert names("dog[1].jpg") == ["dog[1].jpg"]


def test_links_in_a_circle_end(here: Path) -> None:
    (here / "sub" / "up").symlink_to("..")
    (here / "sub" / "other").symlink_to("deep")
    assert sorted(map(os.path.basename, names("sub"))) == ["a.JPG", "b.jpg", "c.png", "d.webp"]
    assert names("**/d.webp") == ["sub/deep/d.webp"]


def test_a_broken_link_in_a_folder_is_an_error_of_its_own(here: Path) -> None:
    (here / "empty" / "link.jpg").symlink_to("gone.jpg")
    assert "No such file" in problem("empty").message


def test_a_pipe_in_a_folder_is_left_out(here: Path) -> None:
    os.mkfifo(here / "empty" / "pipe.jpg")
    assert "no photos" in problem("empty").message


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_folder_that_may_not_be_read_is_said(here: Path) -> None:
    (here / "empty").chmod(0)
    assert "denied" in problem("empty").message


def test_a_folder_is_walked_as_the_caller_goes_on(here: Path) -> None:
    sources = expand([".", "gone"])
    assert next(sources).name == "./a.JPG"
    (here / "sub" / "z.jpg").write_bytes(b"x")
    assert [source.name for source in sources][-2:] == ["./sub/z.jpg", "gone"]


class Stdin:
    def __init__(self, data: bytes, terminal: bool = False) -> None:
        self.buffer = io.BytesIO(data)
        self.isatty = lambda: terminal


def test_stdin(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", Stdin(b"photo"))
    (source,) = expand(["-"])
    assert (source.name, source.read()) == ("-", b"photo")
    assert "nothing came" in problem("-").message
    monkeypatch.setattr(sys, "stdin", Stdin(b"", terminal=True))
    assert "terminal" in problem("-").message
