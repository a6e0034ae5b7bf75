"""`dogbreed predict` as people run it: what it prints, where, and how it ends."""

from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from photos import save
from PIL import Image, ImageDraw
from program import terminal

from dogbreed.run import STARTER

HEAVY = ("torch", "boto3", "botocore", "sagemaker")
pytestmark = pytest.mark.skipif(not (STARTER / "model.json").is_file(), reason="the starter model is not there")


@pytest.fixture
def here(tmp_path: Path) -> Path:
    for number, name in enumerate(("one.jpg", "sub/two.png", "=1+1.jpg")):
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        image = Image.new("RGB", (90, 70), (40 * number, 120, 60))
        ImageDraw.Draw(image).ellipse((10, 10, 60, 60), fill=(200, 180, 90))
        image.save(path)
    (tmp_path / "bad.jpg").write_bytes(b"\xff\xd8\xff nothing")
    return tmp_path


def dogbreed(
    folder: Path, *words: str, stdin: bytes = b"", code: int = 0, **environment: str
) -> subprocess.CompletedProcess[str]:
    clean = {key: value for key, value in os.environ.items() if not key.startswith("DOGBREED_")}
    command = [sys.executable, "-m", "dogbreed", *words]
    environment = {**clean, **environment}
    done = subprocess.run(
        command, cwd=folder, input=stdin, capture_output=True, env=environment, timeout=300, check=False
    )
    result = subprocess.CompletedProcess(command, done.returncode, done.stdout.decode(), done.stderr.decode())
    assert result.returncode == code, result.stderr
    assert "Traceback" not in result.stderr
    return result


def test_a_pipe_gets_tabs_and_stderr_says_which_model(here: Path) -> None:
    result = dogbreed(here, "predict", "one.jpg")
    file, breed, confidence, sure = result.stdout.rstrip("\n").split("\t")
    assert file == "one.jpg"
    assert breed
    assert 0 < float(confidence) <= 1
    assert sure in ("sure", "unsure")
    assert "the bundled starter model" in result.stderr
    assert dogbreed(here, "predict", "one.jpg", "--quiet").stderr == ""


def test_json_is_one_list_and_one_bad_file_does_not_spoil_it(here: Path) -> None:
    result = dogbreed(here, "predict", "one.jpg", "bad.jpg", "gone.jpg", "sub", "--json", "--top-k", "3", code=1)
    answers = json.loads(result.stdout)
    assert [answer["file"] for answer in answers] == ["one.jpg", "bad.jpg", "gone.jpg", "sub/two.png"]
    assert [answer["error"] is None for answer in answers] == [True, False, False, True]
    assert list(answers[0]) == ["file", "breed", "confidence", "unsure", "top", "error"]
    assert len(answers[0]["top"]) == 3
    assert answers[1]["breed"] is None
    assert "No such file" in answers[2]["error"]


def test_csv_has_a_header_and_no_formulas(here: Path) -> None:
    result = dogbreed(here, "predict", "=1+1.jpg", "bad.jpg", "--csv", code=1)
    rows = list(csv.reader(io.StringIO(result.stdout)))
    assert rows[0] == ["file", "breed", "confidence", "unsure", "error"]
    assert rows[1][0] == "./=1+1.jpg"
    assert rows[1][3] in ("true", "false")
    assert rows[2][:4] == ["bad.jpg", "", "", ""]
    assert rows[2][4]
    wide = dogbreed(here, "predict", "one.jpg", "--csv", "--top-k", "2").stdout.splitlines()
    assert wide[0] == "file,breed,confidence,unsure,error,breed_2,confidence_2"


def test_all_styles_say_the_same(here: Path) -> None:
    (answer,) = json.loads(dogbreed(here, "predict", "one.jpg", "--json").stdout)
    row = dogbreed(here, "predict", "one.jpg", "--csv").stdout.splitlines()[1].split(",")
    tabs = dogbreed(here, "predict", "one.jpg").stdout.split("\t")
    assert row[1] == tabs[1] == answer["breed"]
    assert float(row[2]) == answer["confidence"] == pytest.approx(float(tabs[2]), abs=1e-4)


def test_stdin(here: Path) -> None:
    result = dogbreed(here, "predict", "-", stdin=(here / "one.jpg").read_bytes())
    assert result.stdout.startswith("-\t")
    assert "nothing came on standard input" in dogbreed(here, "predict", "-", code=1).stderr


def test_a_failure_names_the_file_on_stderr(here: Path) -> None:
    result = dogbreed(here, "predict", "gone.jpg", "one.jpg", code=1)
    assert "error: gone.jpg: No such file" in result.stderr
    assert "1 of 2 got no answer" in result.stderr
    assert len(result.stdout.splitlines()) == 1


def test_patterns_and_an_address_of_this_machine(here: Path) -> None:
    assert len(dogbreed(here, "predict", "**/*.png", "o*.jpg").stdout.splitlines()) == 2
    result = dogbreed(here, "predict", "http://127.0.0.1:9/dog.jpg", code=1)
    assert "not on the public internet" in result.stderr
    assert "--allow-private" in result.stderr


@pytest.mark.parametrize(
    ("words", "hint"),
    [
        (["one.jpg", "--json", "--csv"], "one of them"),
        (["one.jpg", "--top-k", "0"], "--top-k"),
        (["one.jpg", "--top-k", "many"], "--help"),
        (["-", "-"], "once"),
        (["one.jpg", "--run", "nowhere"], "dogbreed runs"),
        ([], "--help"),
        (["one.jpg", "--colour"], "--help"),
    ],
)
def test_wrong_usage_is_2_with_a_hint(here: Path, words: list[str], hint: str) -> None:
    assert hint in dogbreed(here, "predict", *words, code=2).stderr


def test_the_run_may_be_named_and_the_newest_is_the_default(here: Path) -> None:
    assert "no finished run" in dogbreed(here, "predict", "one.jpg", "--run", "latest", code=1).stderr
    run = here / "runs" / "mine"
    run.mkdir(parents=True)
    for name in ("model.json", "model.onnx"):
        (run / name).write_bytes((STARTER / name).read_bytes())
    for words in ([], ["--run", "latest"], ["--run", "mine"], ["--run", "runs/mine"]):
        assert "run runs/mine" in dogbreed(here, "predict", "one.jpg", *words).stderr
    assert "starter" in dogbreed(here, "predict", "one.jpg", DOGBREED_PREDICT_RUN="starter").stderr
    (run / "model.onnx").write_bytes(b"changed")
    result = dogbreed(here, "predict", "one.jpg", "sub", "--json", code=1)
    assert "sha256" in json.loads(result.stderr.splitlines()[-1])["error"]
    assert result.stdout == ""


def test_a_terminal_gets_five_bars(here: Path) -> None:
    shown = terminal("predict", "one.jpg", cwd=here, NO_COLOR="1")
    lines = shown.splitlines()
    at = lines.index("one.jpg")
    assert sum(line.endswith("%") for line in lines[at + 1 : at + 6]) == 5
    assert "_" not in "".join(lines[at + 1 : at + 6])
    assert "\x1b" not in shown
    assert "\x1b" in terminal("predict", "one.jpg", cwd=here)
    assert "\x1b" not in terminal("predict", "one.jpg", cwd=here, TERM="dumb")


def test_bars_without_unicode(here: Path) -> None:
    shown = terminal("predict", "one.jpg", cwd=here, PYTHONIOENCODING="ascii", NO_COLOR="1")
    assert "#" in shown
    assert shown.isascii()


def test_a_file_name_does_not_steer_the_terminal(here: Path) -> None:
    (here / "one.jpg").rename(here / "a\x1b[2J\nb.jpg")
    assert "\x1b[2J" not in terminal("predict", "a\x1b[2J\nb.jpg", cwd=here)
    assert len(dogbreed(here, "predict", "a\x1b[2J\nb.jpg").stdout.splitlines()) == 1


def test_a_reader_that_goes_away_is_no_error(here: Path) -> None:
    # Quiet, since how far it has come is told every half minute.
    command = f"{sys.executable} -m dogbreed predict --quiet {'one.jpg ' * 40} | head -1"
    done = subprocess.run(["bash", "-c", command], cwd=here, capture_output=True, text=True, timeout=300, check=False)
    assert done.stdout.startswith("one.jpg\t")
    assert done.stderr == ""


def test_an_interrupt_ends_the_list_and_says_130(here: Path) -> None:
    (here / "many").mkdir()
    for number in range(1500):
        (here / "many" / f"{number}.jpg").symlink_to(here / "one.jpg")
    command = [sys.executable, "-m", "dogbreed", "predict", "many", "--json"]
    with subprocess.Popen(command, cwd=here, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdout
        begun = process.stdout.readline() + process.stdout.readline()
        process.send_signal(signal.SIGINT)
        rest, errors = process.communicate(timeout=300)
    assert process.returncode == 130, errors
    assert errors.splitlines()[-1] == b"interrupted"
    assert 1 <= len(json.loads(begun + rest)) < 1500


LOADED = """
import sys
sys.argv = ["dogbreed", *{words!r}]
from dogbreed.cli.start import main
try:
    main()
finally:
    print(*sorted({{name.split(".")[0] for name in sys.modules}}), file=sys.stderr)
"""


def loaded(folder: Path, *words: str) -> set[str]:
    command = [sys.executable, "-c", LOADED.format(words=list(words))]
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=300, check=False)
    return set(done.stderr.splitlines()[-1].split())


@pytest.mark.parametrize("words", [["one.jpg"], [".", "--json"], ["one.jpg", "--run", "starter"]])
def test_predict_loads_nothing_of_training_or_the_cloud(here: Path, words: list[str]) -> None:
    modules = loaded(here, "predict", *words)
    assert "onnxruntime" in modules
    assert modules.isdisjoint(HEAVY)


def test_a_plain_prediction_loads_no_parser_no_network_and_no_rich(here: Path) -> None:
    modules = loaded(here, "predict", "one.jpg")
    assert modules.isdisjoint({"typer", "rich", "pydantic", "ssl", "http", "asyncio", "csv", "glob", "tomllib"})


@pytest.mark.parametrize("words", [["--help"], ["predict", "--help"]])
def test_help_loads_nothing_heavy(here: Path, words: list[str]) -> None:
    assert loaded(here, *words).isdisjoint({*HEAVY, "numpy", "onnxruntime", "PIL"})


def test_a_prediction_tells_nobody_and_leaves_nothing(tmp_path: Path) -> None:
    """ONNX Runtime would write a device id below the home folder, and tell Microsoft of the model."""
    home = tmp_path / "home"
    home.mkdir()
    save(tmp_path / "photo.jpg", 1)
    dogbreed(tmp_path, "predict", "photo.jpg", "--run", "starter", HOME=str(home), XDG_CACHE_HOME=str(home))
    assert list(home.rglob("*")) == []
    for setting, kept in (("", "1"), ("0", "0")):
        words = "import os, dogbreed; print(os.environ['ORT_DISABLE_TELEMETRY'])"
        own = {"ORT_DISABLE_TELEMETRY": setting} if setting else {}
        rest = {name: value for name, value in os.environ.items() if name != "ORT_DISABLE_TELEMETRY"}
        said = subprocess.run([sys.executable, "-c", words], env=rest | own, capture_output=True, text=True, check=True)
        assert said.stdout.strip() == kept
