"""`dogbreed runs` on runs that are finished, unfinished and damaged."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from program import dogbreed, terminal

from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, sealed

pytestmark = pytest.mark.skipif(not (STARTER / "model.json").is_file(), reason="the starter model is not there")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    runs = tmp_path / "runs"
    for name in ("a-done", "b-broken", "c-begun", "no-run"):
        (runs / name).mkdir(parents=True)
    info = json.loads((STARTER / "model.json").read_text())
    test = {"photos": 100, "top1": 0.875, "top1_interval": [0.8, 0.93], "top5": 0.99}
    info |= {"created": "2020-01-02T03:04:05Z", "backbone": "resnet50", "metrics": {"test": test}}
    info |= {"settings": {"train": {"method": "finetune"}}, "data": {"drawn": True}, "world_size": 2}
    (runs / "a-done" / "model.json").write_text(json.dumps(sealed(info)))
    (runs / "b-broken" / "model.json").write_text("{")
    job = {
        "settings": {"train": {"backbone": "starter", "method": "head"}},
        "data": {"breeds": ["a", "b"], "drawn": False},
    }
    (runs / "c-begun" / "job.json").write_text(json.dumps(job))
    return tmp_path


def test_every_run_is_listed_with_its_state_and_what_to_do(here: Path) -> None:
    result = dogbreed("runs", "--json", cwd=here)
    assert result.returncode == 0, result.stderr
    runs = {Path(one["run"]).name: one for one in json.loads(result.stdout)}
    assert set(runs) == {"a-done", "b-broken", "c-begun"}
    done = runs["a-done"]
    assert (done["top1"], done["breeds"], done["backbone"], done["method"]) == (0.875, 121, "resnet50", "finetune")
    assert (done["state"], done["hint"], done["drawn"], done["world_size"]) == ("finished", "", True, 2)
    assert runs["b-broken"]["state"] == "damaged"
    assert runs["c-begun"]["state"] == "unfinished" and "--resume runs/c-begun" in runs["c-begun"]["hint"]
    assert (runs["c-begun"]["breeds"], runs["c-begun"]["top1"]) == (2, None)


def test_for_people(here: Path) -> None:
    result = dogbreed("runs", cwd=here)
    assert "runs/a-done\t2020-01-02 03:04\tfinished\t87.5%\t121 drawn\tresnet50\tfinetune" in result.stdout
    assert "dogbreed train --resume runs/c-begun" in result.stderr
    assert "87.5%" in terminal("runs", cwd=here)


def test_nowhere(here: Path) -> None:
    result = dogbreed("runs", cwd=here / "runs")
    assert (result.returncode, result.stdout) == (0, "") and "dogbreed train" in result.stderr
    assert dogbreed("runs", "nowhere", cwd=here).returncode == 2
    assert json.loads(dogbreed("runs", "--json", cwd=here / "runs").stdout) == []


def test_a_run_whose_bucket_is_no_more_is_gone(account: Server, here: Path) -> None:
    remote = dict.fromkeys(("price_per_hour", "ceiling_usd")) | dict.fromkeys(("data", "code", "image"), "x")
    remote |= {"backend": "ec2", "project": "dogbreed", "account": "123456789012", "region": "eu-west-1"}
    remote |= {"instances": 1, "instance_type": "m5.xlarge", "spot": False, "price_date": "", "max_seconds": 60}
    remote |= {"created": "2020-01-02T03:04:05Z", "more": {}}
    remote["attempts"] = [{"name": "1", "created": "2020-01-02T03:04:05Z", "status": "running"}]
    for name, owner in (("mine", "123456789012"), ("anothers", "210987654321")):
        folder = here / "runs" / name
        folder.mkdir()
        (folder / "job.json").write_text((here / "runs" / "c-begun" / "job.json").read_text())
        (folder / "remote.json").write_text(json.dumps(remote | {"id": name, "bucket": f"dogbreed-{owner}-eu-west-1"}))
    runs = {Path(one["run"]).name: one for one in json.loads(dogbreed("runs", "--json", cwd=here).stdout)}
    assert (runs["mine"]["state"], runs["anothers"]["state"]) == ("gone", "running")
    assert runs["c-begun"]["state"] == "unfinished"
