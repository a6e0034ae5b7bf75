from __future__ import annotations

import io
import tarfile
import zipfile
from pathlib import Path

import pytest

from dogbreed.data.archive import unpack
from dogbreed.errors import DogbreedError


def make_tar(path: Path, members: list[tarfile.TarInfo | tuple[str, bytes]], mode: str = "w:gz") -> Path:
    with tarfile.open(path, mode) as file:  # type: ignore[call-overload]
        for member in members:
            if isinstance(member, tarfile.TarInfo):
                file.addfile(member)
            else:
                info = tarfile.TarInfo(member[0])
                info.size = len(member[1])
                file.addfile(info, io.BytesIO(member[1]))
    return path


def make_zip(path: Path, members: list[tuple[str | zipfile.ZipInfo, bytes]]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, data in members:
            file.writestr(name, data)
    return path


def _special(name: str, kind: bytes, target: str = "") -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def _zip_link(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name)
    info.create_system = 3
    info.external_attr = 0o120777 << 16
    return info


@pytest.mark.parametrize("kind", ["tar", "tar.gz", "zip"])
def test_good_archives_are_unpacked(tmp_path: Path, kind: str) -> None:
    members = [("Images/pug/a.jpg", b"a" * 5000), ("./Images/pug/b.jpg", b"b")]
    archive = tmp_path / f"set.{kind}"
    if kind == "zip":
        make_zip(archive, list(members))
    else:
        make_tar(archive, list(members), "w" if kind == "tar" else "w:gz")
    assert len(list(unpack(archive, tmp_path / "out", limit=5001))) == 2
    assert (tmp_path / "out" / "Images" / "pug" / "a.jpg").read_bytes() == b"a" * 5000
    assert (tmp_path / "out" / "Images" / "pug" / "b.jpg").read_bytes() == b"b"


EVIL_TARS = {
    "dots": ("../escaped.txt", b"x"),
    "inner dots": ("Images/../../escaped.txt", b"x"),
    "absolute": ("/tmp/escaped-dogbreed.txt", b"x"),
    "backslash": ("..\\escaped.txt", b"x"),
    "drive": ("C:escaped.txt", b"x"),
    "symlink": _special("Images/out", tarfile.SYMTYPE, "../../.."),
    "hard link": _special("Images/out", tarfile.LNKTYPE, "../../secret"),
    "device": _special("Images/null", tarfile.CHRTYPE),
    "pipe": _special("Images/pipe", tarfile.FIFOTYPE),
}


@pytest.mark.parametrize("evil", EVIL_TARS)
def test_evil_tars_are_refused(tmp_path: Path, evil: str) -> None:
    archive = make_tar(tmp_path / "set.tar.gz", [("fine.txt", b"x"), EVIL_TARS[evil]])
    with pytest.raises(DogbreedError, match="refused to unpack"):
        list(unpack(archive, tmp_path / "in" / "out", limit=1000))
    left = {str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*") if not path.is_dir()}
    assert left == {"set.tar.gz", "in/out/fine.txt"}
    assert not Path("/tmp/escaped-dogbreed.txt").exists()


@pytest.mark.parametrize("name", ["../escaped.txt", "/tmp/escaped-dogbreed.txt", "a/../../escaped.txt", _zip_link("l")])
def test_evil_zips_are_refused(tmp_path: Path, name: str | zipfile.ZipInfo) -> None:
    archive = make_zip(tmp_path / "set.zip", [(name, b"../..")])
    with pytest.raises(DogbreedError, match="refused to unpack"):
        list(unpack(archive, tmp_path / "out", limit=1000))
    assert {path.name for path in tmp_path.iterdir()} == {"set.zip"}


def test_bombs_are_refused(tmp_path: Path) -> None:
    zeros = b"\0" * 3_000_000
    with pytest.raises(DogbreedError, match="more than"):
        list(unpack(make_zip(tmp_path / "bomb.zip", [("a", zeros)]), tmp_path / "one", limit=2_000_000))
    assert not (tmp_path / "one").exists()
    with pytest.raises(DogbreedError, match="more than"):
        list(unpack(make_tar(tmp_path / "bomb.tar.gz", [("a", zeros)]), tmp_path / "two", limit=2_000_000))
    assert sum(path.stat().st_size for path in (tmp_path / "two").rglob("*")) <= 2_000_000


def test_a_member_that_comes_twice_is_refused(tmp_path: Path) -> None:
    archive = make_tar(tmp_path / "set.tar.gz", [("a", b"1"), ("a", b"2")])
    with pytest.raises(DogbreedError, match="comes twice"):
        list(unpack(archive, tmp_path / "out", limit=1000))


@pytest.mark.parametrize("kind", ["tar.gz", "zip"])
def test_damaged_archives_are_named(tmp_path: Path, kind: str) -> None:
    data = bytes(range(256)) * 200
    archive = tmp_path / f"set.{kind}"
    made = make_zip(archive, [("a", data)]) if kind == "zip" else make_tar(archive, [("a", data)])
    content = bytearray(made.read_bytes())
    content[len(content) // 2] ^= 0xFF
    archive.write_bytes(bytes(content))
    with pytest.raises(DogbreedError, match="is damaged"):
        list(unpack(archive, tmp_path / "out", limit=10**6))
