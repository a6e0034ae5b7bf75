"""Settings from every source, `config`, `doctor` and the recipes."""

from __future__ import annotations

import json
import os
import shutil
from importlib import metadata
from pathlib import Path

import pytest
from program import dogbreed, terminal

from dogbreed import config, doctor
from dogbreed.errors import UsageError


@pytest.fixture(autouse=True)
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in os.environ:
        if name.startswith("DOGBREED_") and name != "DOGBREED_CACHE_DIR":
            monkeypatch.delenv(name)
    return tmp_path


def write(text: str, path: str = "dogbreed.toml") -> Path:
    file = Path(path)
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(text)
    return file


def refused(**options: object) -> UsageError:
    with pytest.raises(UsageError) as caught:
        config.load(**options)
    return caught.value


# -- the order of the sources


def test_flag_over_environment_over_file_over_default(monkeypatch: pytest.MonkeyPatch) -> None:
    write("[train]\nlr = 0.1\nepochs = 7\nseed = 3\n")
    monkeypatch.setenv("DOGBREED_TRAIN_LR", "0.2")
    monkeypatch.setenv("DOGBREED_TRAIN_EPOCHS", "8")
    settings = config.load({"train.lr": 0.3, "train.instances": None})
    train = settings.train
    assert (train.lr, train.epochs, train.seed, train.batch_size) == (0.3, 8, 3, 64)
    assert settings.sources == {
        "train.lr": "--lr",
        "train.epochs": "DOGBREED_TRAIN_EPOCHS",
        "train.seed": str(Path.cwd() / "dogbreed.toml"),
    }


def test_the_file_may_stand_above_and_its_folder_counts_from_there(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write("[data]\npath = 'photos'\n")
    assert config.load().data.path == "photos"
    (here / "deep" / "er").mkdir(parents=True)
    monkeypatch.chdir(here / "deep" / "er")
    assert Path(config.load().data.path) == here / "photos"
    assert config.load(use_file=False).data.path == ""
    assert config.load({"data.path": "mine"}).data.path == "mine"


@pytest.mark.parametrize(("text", "value"), [("1", True), ("true", True), ("YES", True), ("off", False), ("0", False)])
def test_yes_and_no_from_the_environment(text: str, value: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGBREED_PREDICT_ALLOW_PRIVATE", text)
    assert config.load().predict.allow_private is value


# -- values that cannot be


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[train]\nlr = 'fast'", "[train] lr = 'fast': input should be a valid number"),
        ("[train]\nlr = nan", "[train] lr"),
        ("[train]\nlr = inf", "[train] lr"),
        ("[train]\nlr = 0", "[train] lr = 0: must be more than 0"),
        ("[train]\nepochs = 1.5", "[train] epochs"),
        ("[train]\nepochs = true", "[train] epochs is true"),
        ("[train]\nepochs = [1]", "[train] epochs"),
        ("[train]\ninstances = 65", "must be 64 or less"),
        ("[train]\nmethod = 'hed'", "'head' or 'finetune'"),
        ("[deploy]\nttl = '8x'", "[deploy] ttl = '8x': no time; such as 8h, 90m or 2d"),
        ("[data]\npath = 3", "[data] path = 3: input should be a valid string"),
        ("[data]\nvalid = 1.0", "less than 1"),
        ("[predict]\nallow_private = 'perhaps'", "[predict] allow_private"),
    ],
)
def test_a_wrong_value_names_its_place_and_what_it_should_be(text: str, said: str) -> None:
    write(text)
    error = refused()
    assert said in error.message and "dogbreed.toml" in error.message
    assert error.exit_code == 2


def test_a_wrong_value_names_the_variable_or_the_flag(monkeypatch: pytest.MonkeyPatch) -> None:
    assert refused(flags={"train.lr": -1.0}).message.startswith("--lr -1.0: must be more than 0")
    monkeypatch.setenv("DOGBREED_TRAIN_LR", "fast")
    error = refused()
    assert error.message.startswith("DOGBREED_TRAIN_LR=fast: input should be a valid number")
    assert "train.lr" in error.hint


# -- keys that do not exist, and files that are none


@pytest.mark.parametrize(
    ("text", "said", "hint"),
    [
        ("[train]\nbatchsize = 3", "unknown setting [train] batchsize", "train.batch_size"),
        ("[train]\n'a.b' = 3", "unknown setting [train] a.b", "train"),
        ("[trian]\nlr = 1", "unknown section [trian]", "train"),
        ("[trian]", "unknown section [trian]", "train"),
        ("lr = 1", "lr stands outside a section", "write it below [train]"),
        ("seed = 1", "seed stands outside a section", "[data] or [train]"),
        ("colour = 1", "colour stands outside a section", "[data], [train], [predict]"),
        ("[[train]]\nlr = 1", "train stands outside a section", "["),
        ("[train\nlr = 1", "is no TOML", "[train]"),
        ("lr: 1", "is no TOML", "[train]"),
    ],
)
def test_what_is_not_known_is_an_error_with_the_closest(text: str, said: str, hint: str) -> None:
    write(text)
    error = refused()
    assert said in error.message and hint in error.hint


def test_a_mistyped_variable_is_an_error_with_the_closest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOGBREED_TRAIN_BATCHSIZE", "3")
    error = refused()
    assert "DOGBREED_TRAIN_BATCHSIZE" in error.message and "DOGBREED_TRAIN_BATCH_SIZE" in error.hint
    monkeypatch.delenv("DOGBREED_TRAIN_BATCHSIZE")
    monkeypatch.setenv("DOGBREED_CACHEDIR", "x")
    assert "DOGBREED_CACHE_DIR" in refused().hint


def test_files_that_cannot_be_read(here: Path) -> None:
    assert "no settings file nowhere.toml" in refused(config="nowhere.toml").message
    assert "finetune" in refused(config="nowhere.toml").hint
    assert "no settings file" in refused(config=str(here)).message
    write("").write_bytes(b"\xff\xfe[\x00")
    assert "is no TOML" in refused().message
    Path("dogbreed.toml").unlink()
    Path("dogbreed.toml").mkdir()  # a folder of this name is none of ours
    assert config.load() == config.Settings()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_a_file_without_permission() -> None:
    write("[train]\n").chmod(0)
    assert "Permission denied" in refused().message


def test_a_byte_order_mark_is_no_mistake() -> None:
    write("").write_bytes(b"\xef\xbb\xbf[train]\nlr = 0.5\n")
    assert config.load().train.lr == 0.5


# -- recipes


def test_every_recipe_loads_and_says_what_it_is() -> None:
    recipes = config.recipes()
    assert {"tiny", "head", "finetune", "imagenet", "starter"} <= set(recipes)
    for name, path in recipes.items():
        assert config.load(config=name).sources
        assert path.read_text(encoding="utf-8").startswith("# ")


def test_what_the_recipes_comment_out_loads_too() -> None:
    for name, path in config.recipes().items():
        lines = path.read_text(encoding="utf-8").splitlines()
        settings = [line.removeprefix("# ") for line in lines if line.startswith("# ") and " = " in line]
        for line in settings:
            write(f"[train]\n{line}\n", f"{name}.toml")
            config.load(config=f"{name}.toml")


def test_head_is_the_default_spelled_out() -> None:
    assert config.load(config="head").to_json() == config.Settings().to_json()


# -- the commands


def test_config_shows_values_and_sources(here: Path) -> None:
    write("[train]\nmethod = 'finetune'\n")
    result = dogbreed("config", "--json", cwd=here, DOGBREED_PREDICT_ALLOW_PRIVATE="1")
    tree = json.loads(result.stdout)
    assert tree["train"]["method"]["value"] == "finetune"
    assert tree["train"]["method"]["source"].endswith("dogbreed.toml")
    variable = "DOGBREED_PREDICT_ALLOW_PRIVATE"
    assert tree["predict"]["allow_private"] == {"value": True, "source": variable, "variable": variable}
    assert tree["train"]["lr"]["source"] == "default"
    assert {f"{section}.{name}" for section in tree for name in tree[section]} == set(config.KEYS)
    lines = dogbreed("config", "--no-config", cwd=here).stdout.splitlines()
    assert 'train.method\t"head"\tdefault' in lines
    assert "predict.allow_private\tfalse\tdefault" in lines
    assert "setting" in terminal("config", "--config", "finetune", cwd=here)
    wrong = dogbreed("config", "--config", "finetun", cwd=here)
    assert wrong.returncode == 2 and "finetune" in wrong.stderr


def test_doctor_finds_this_installation_well(here: Path) -> None:
    result = dogbreed("doctor", "--json", cwd=here)
    value = json.loads(result.stdout)
    states = {check["name"]: check["state"] for check in value["checks"]}
    assert (result.returncode, value["ok"]) == (0, True), value
    assert states["python"] == states["base"] == states["settings"] == states["cache folder"] == "ok"
    assert dogbreed("doctor", cwd=here).stdout.startswith("python\tok\t")


def test_doctor_finds_what_is_wrong(here: Path) -> None:
    write("[train]\nlr = 'fast'\n")
    result = dogbreed("doctor", cwd=here, DOGBREED_CACHE_DIR="/dev/null/cache")
    assert result.returncode == 3
    assert "settings\twrong\t" in result.stdout and "cache folder\twrong\t" in result.stdout
    assert "DOGBREED_CACHE_DIR" in result.stderr


def test_doctor_notices_a_changed_starter(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    if not (doctor.STARTER / "model.json").is_file():
        pytest.skip("the starter model is not there")
    shutil.copytree(doctor.STARTER, here / "starter")
    monkeypatch.setattr(doctor, "STARTER", here / "starter")
    assert {check.name: check.state for check in doctor.checks()}["starter model"] == "ok"
    with open(here / "starter" / "model.onnx", "r+b") as file:
        file.seek(1000)
        file.write(b"?")
    found = {check.name: check for check in doctor.checks()}["starter model"]
    assert found.state == "wrong" and "sha256" in found.found


@pytest.mark.parametrize(
    ("versions", "state", "words"),
    [
        ({"torch": "2.13.0+cpu", "torchvision": "0.28.0"}, "ok", "beside"),
        ({"torch": "2.12.1", "torchvision": "0.28.0"}, "wrong", "built for torch 2.13.0"),
        ({"torch": "2.13.0"}, "wrong", "only torch"),
        ({}, "absent", "not installed"),
    ],
)
def test_doctor_knows_the_pair(
    versions: dict[str, str], state: str, words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, ""))
    monkeypatch.setattr(metadata, "requires", lambda name: ["numpy", "torch==2.13.0"])
    check = doctor._pair()
    assert check.state == state and words in check.found


def test_doctor_names_what_an_extra_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["rich<16,>=13.7", "torch==2.13.0; extra == 'train'", "onnx<2,>=1; extra == 'train'"]
    monkeypatch.setattr(metadata, "requires", lambda name: lines)
    versions = {"torch": "2.13.0+cpu"}
    monkeypatch.setattr(doctor, "_version", lambda name: versions.get(name, ""))
    assert doctor._packages("base", "").found == "lacks rich"
    assert doctor._packages("x", "train").found == "lacks onnx"
    versions |= {"torch": "2.12.0", "onnx": "1.2"}
    assert doctor._packages("x", "train").found == "torch 2.12.0 is not ==2.13.0"
    versions.clear()
    assert doctor._packages("x", "train").state == "absent"
