"""Print how soon a function that holds the model has answered its first photo, beside the same handler on torch.

usage: python tests/benchmarks/bench_lambda.py

Both run under AWS's own runtime client, awslambdaric, in a process of their own that is started for one photo; the
files are in the disk's cache. What AWS adds before (fetching and unpacking the code) is not in it, nor are processors
limited. Runs alternate, so that a change of the machine's speed meets both alike; shown are medians.
"""

from __future__ import annotations

import base64
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile
from collections.abc import Iterator
from contextlib import contextmanager
from io import BytesIO
from pathlib import Path
from typing import Any

from PIL import Image

from dogbreed.cloud.serving import function_code
from dogbreed.rehearse.function_api import Api, Event
from dogbreed.run import find

RUNS = 9
LIMIT_SHARE = 0.25
BOOT = """
import os, sys
sys.path[:0] = [os.environ["LAMBDA_TASK_ROOT"]]
from awslambdaric.__main__ import main
main(["awslambdaric", os.environ["_HANDLER"]])
"""
# MobileNetV2 as the starter model is one; its weights are random, which take as long.
TORCH = """
import base64, io, json, os, sys
sys.path.append(os.environ["PACKAGE"])
import torch
from dogbreed.train.torchvision_cpu import torchvision
torchvision()
from PIL import Image
from torchvision import models, transforms

ROOT = os.environ["LAMBDA_TASK_ROOT"]
LABELS = json.load(open(ROOT + "/labels.json"))
MODEL = models.mobilenet_v2(weights=None, num_classes=len(LABELS))
MODEL.load_state_dict(torch.load(ROOT + "/model.pth", weights_only=True))
MODEL.eval()
PREPARE = transforms.Compose([
    transforms.Resize(256), transforms.CenterCrop(224), transforms.ToTensor(),
    transforms.Normalize([0.5] * 3, [0.5] * 3),
])

def handler(event, context):
    image = Image.open(io.BytesIO(base64.b64decode(event["body"]))).convert("RGB")
    with torch.inference_mode():
        shares = MODEL(PREPARE(image)[None]).softmax(1)[0]
    top = shares.topk(5)
    names = [{"breed": LABELS[i], "probability": float(p)} for p, i in zip(top.values, top.indices)]
    return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": json.dumps(names)}
"""


def photo() -> str:
    data = BytesIO()
    Image.effect_noise((500, 375), 60).convert("RGB").save(data, "JPEG", quality=88)
    return base64.b64encode(data.getvalue()).decode()


@contextmanager
def started(folder: Path, handler: str) -> Iterator[tuple[Api, subprocess.Popen[bytes]]]:
    api = Api(None)
    environment = {
        "PATH": os.environ["PATH"],
        "AWS_LAMBDA_RUNTIME_API": f"127.0.0.1:{api.port}",
        "AWS_LAMBDA_FUNCTION_NAME": "bench",
        "AWS_LAMBDA_FUNCTION_VERSION": "1",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "1769",
        "LAMBDA_TASK_ROOT": str(folder),
        "PACKAGE": str(Path(__file__).parents[2]),
        "_HANDLER": handler,
    }
    process = subprocess.Popen(
        [sys.executable, "-c", BOOT], env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        yield api, process
    finally:
        process.kill()
        process.wait()
        api.close()


def peak_mib(pid: int) -> float:
    status = Path(f"/proc/{pid}/status").read_text()
    return int(status.split("VmHWM:")[1].split()[0]) / 1024


def measure(folder: Path, handler: str, event: bytes) -> dict[str, float]:
    """Seconds to the first request for an event, from there to the first answer, to the second; peak MiB."""
    begun = time.perf_counter()
    with started(folder, handler) as (api, process):
        assert api.said.get(timeout=120).kind == "next"
        ready = time.perf_counter()
        marks = []
        for number in range(2):
            start = time.perf_counter()
            api.give(Event(str(number), event, "arn:aws:lambda:eu-west-1:123456789012:function:bench", 30))
            said = api.said.get(timeout=120)
            marks.append(time.perf_counter() - start)
            assert said.kind == "response" and json.loads(said.body)["statusCode"] == 200, said.body[:300]
            assert api.said.get(timeout=120).kind == "next"
        return {
            "init": ready - begun,
            "first": marks[0],
            "both": ready - begun + marks[0],
            "second": marks[1],
            "MiB": peak_mib(process.pid),
        }


def torch_folder(root: Path, breeds: list[str]) -> Path:
    import torch

    from dogbreed.train.torchvision_cpu import torchvision

    torchvision()
    from torchvision import models

    folder = root / "torch"
    folder.mkdir()
    torch.save(models.mobilenet_v2(weights=None, num_classes=len(breeds)).state_dict(), folder / "model.pth")
    (folder / "labels.json").write_text(json.dumps(breeds))
    (folder / "torch_handler.py").write_text(TORCH)
    return folder


def main() -> int:
    run = find("starter")
    event = json.dumps({"body": photo(), "isBase64Encoded": True}).encode()
    with tempfile.TemporaryDirectory() as name:
        root = Path(name)
        code = function_code.alone(run, here=True)
        with zipfile.ZipFile(BytesIO(code.data)) as packed:
            size = sum(one.file_size for one in packed.infolist()) / 2**20
            packed.extractall(root / "alone")
        print(f"the zip: {len(code.data) / 2**20:.1f} MiB, unpacked {size:.1f} MiB")
        ways = {
            "dogbreed": (root / "alone", code.handler),
            "torch": (torch_folder(root, list(run.labels)), "torch_handler.handler"),
        }
        seen: dict[str, list[dict[str, Any]]] = {way: [] for way in ways}
        for turn in range(RUNS + 1):
            for way, (folder, handler) in ways.items():
                one = measure(folder, handler, event)
                if turn:  # the first one warms the disk's cache
                    seen[way].append(one)
    medians = {way: {key: statistics.median(one[key] for one in all_) for key in all_[0]} for way, all_ in seen.items()}
    for way, one in medians.items():
        words = ", ".join(f"{key} {value * 1000:.0f} ms" for key, value in one.items() if key != "MiB")
        print(f"{way:<9} {words}, peak {one['MiB']:.0f} MiB")
    share = medians["dogbreed"]["both"] / medians["torch"]["both"]
    print(f"start and first answer: {share:.3f} of torch's, the limit is {LIMIT_SHARE}")
    return 0 if share <= LIMIT_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
