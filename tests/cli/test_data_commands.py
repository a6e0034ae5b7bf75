from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from photos import save, tree


@pytest.fixture(autouse=True)
def settings(tmp_path: Path, tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGBREED_CACHE_DIR", str(tmp_path_factory.mktemp("cache")))
    monkeypatch.chdir(tmp_path)


def dogbreed(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dogbreed", "data", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, check=False, env=os.environ | {"CI": "1"})


def test_check_names_every_file_and_fails_for_faults(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos", {"pug": 4, "boxer": 4})
    save(root / "pug" / "really.jpg", 50, format="WEBP")
    odd = dogbreed("check", root)
    assert odd.returncode == 0, odd.stderr
    assert odd.stdout.splitlines() == [
        f"wrong-extension\todd\t{root}/pug/really.jpg\tits content is not what .jpg says; used by its content"
    ]
    (root / "pug" / "empty.jpg").touch()
    wrong = dogbreed("check", root, "--json")
    report = json.loads(wrong.stdout)
    assert wrong.returncode == 3
    assert not report["ok"] and report["kinds"] == {"empty": 1, "wrong-extension": 1}
    assert {(Path(item["path"]).name, item["mend"]) for item in report["problems"]} == {
        ("empty.jpg", True),
        ("really.jpg", False),
    }
    assert report["breeds"]["boxer"] == {"original": "boxer", "train": 2, "valid": 1, "test": 1}


def test_split_writes_once_and_says_how_to_split_again(tmp_path: Path) -> None:
    root = tree(tmp_path / "photos", {"pug": 10, "boxer": 10})
    plan = dogbreed("split", root, "--to", "out", "--test", "0.3", "--dry-run")
    assert plan.returncode == 0 and plan.stdout.split() == ["train", "10", "valid", "4", "test", "6"]
    assert not (tmp_path / "out").exists()
    done = dogbreed("split", root, "--to", "out", "--test", "0.3", "--link", "--json")
    assert json.loads(done.stdout)["splits"] == {"train": 10, "valid": 4, "test": 6}
    assert len(list((tmp_path / "out" / "test").rglob("*.jpg"))) == 6
    second = dogbreed("split", root, "--to", "out")
    assert second.returncode == 2 and "not empty" in second.stderr
    refused = dogbreed("split", "out", "--to", "again")
    assert refused.returncode == 2 and "--again" in refused.stderr
    assert dogbreed("split", "out", "--to", "again", "--again").returncode == 0


def test_split_names_a_breed_with_one_photo(tmp_path: Path) -> None:
    result = dogbreed("split", tree(tmp_path / "photos", {"pug": 4, "boxer": 1}), "--to", "out")
    assert result.returncode == 1
    assert "error: boxer has one usable photo\nhint: add photos" in result.stderr


def test_sample_says_that_it_is_drawn(tmp_path: Path) -> None:
    result = dogbreed("sample", "drawn", "--breeds", "2", "--photos", "3")
    assert result.returncode == 0 and result.stdout == "drawn\n"
    assert "not photographs" in result.stderr
    assert len(list((tmp_path / "drawn").rglob("*.jpg"))) == 6
    assert json.loads(dogbreed("check", "drawn", "--json").stdout)["drawn"] is True
    assert dogbreed("sample", "drawn").returncode == 2


def test_download_lists_terms_and_refuses_unknown_names() -> None:
    listed = dogbreed("download")
    assert [line.split("\t")[0] for line in listed.stdout.splitlines()] == [
        "stanford-dogs",
        "oxford-iiit-pet",
        "udacity-dogs",
    ]
    plan = dogbreed("download", "stanford-dogs", "--dry-run")
    assert plan.returncode == 0 and "non-commercial" in plan.stderr
    unknown = dogbreed("download", "poodles")
    assert unknown.returncode == 2 and "stanford-dogs" in unknown.stderr


def test_a_set_that_is_here_is_not_fetched_again(tmp_path: Path) -> None:
    (tmp_path / "pets").mkdir()
    (tmp_path / "pets" / "download.json").write_text('{"set": "oxford-iiit-pet"}')
    result = dogbreed("download", "oxford-iiit-pet", "--to", "pets")
    assert result.returncode == 0 and "nothing to do" in result.stderr


def test_help_needs_neither_numpy_nor_pillow() -> None:
    code = (
        "import sys; sys.argv = ['dogbreed', 'data', 'check', '--help']\n"
        "from dogbreed.cli import main\n"
        "try:\n    main.main()\nexcept SystemExit:\n    pass\n"
        "print(sorted({'numpy', 'PIL', 'rich.progress'} & set(sys.modules)), file=sys.stderr)"
    )
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert "Exit code 3" in result.stdout
    assert result.stderr.strip() == "[]"
