"""Print how many photos a second `dogbreed serve` answers, beside plainer services, and what overload does to it.

usage: python tests/benchmarks/bench_serve.py [SECONDS] [SECONDS OF OVERLOAD]

All on this machine, one service at a time, in turn so that a change of the machine's speed meets all alike: a
MobileNetV2 in eager torch behind FastAPI, the same model in bare ONNX Runtime behind Starlette, and dogbreed.
"""

from __future__ import annotations

import os
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bench_predict import draw
from http_load import Answer, Load

from dogbreed.run import ONNX, STARTER

CLIENTS, TURNS, OVERLOAD = 8, 3, 10

EAGER = """
import io, torch, uvicorn
from PIL import Image
from fastapi import FastAPI, Request
from torchvision_cpu import torchvision
vision = torchvision()
model = vision.models.mobilenet_v2().eval()
from torchvision import transforms as t
steps = t.Compose([t.Resize(256), t.CenterCrop(224), t.ToTensor(), t.Normalize([0.5] * 3, [0.5] * 3)])
app = FastAPI()
def work(data):
    with torch.inference_mode():
        shares = model(steps(Image.open(io.BytesIO(data)).convert("RGB"))[None]).softmax(1)[0]
        best = shares.topk(5)
        return [[int(i), float(p)] for i, p in zip(best.indices, best.values)]
@app.post("/predict")
async def predict(request: Request):
    from starlette.concurrency import run_in_threadpool
    return await run_in_threadpool(work, await request.body())
uvicorn.run(app, port=PORT, log_level="error")
"""
BARE = """
import io, numpy, onnxruntime, uvicorn
from PIL import Image
from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.responses import JSONResponse
from starlette.routing import Route
options = onnxruntime.SessionOptions()
options.intra_op_num_threads = 1
session = onnxruntime.InferenceSession(MODEL, options)
def work(data):
    image = Image.open(io.BytesIO(data)).convert("RGB").resize((256, 256)).crop((16, 16, 240, 240))
    pixels = (numpy.asarray(image, numpy.float32) / 127.5 - 1).transpose(2, 0, 1)[None]
    logits = session.run(None, {"input": numpy.ascontiguousarray(pixels)})[0][0]
    shares = numpy.exp(logits - logits.max())
    shares /= shares.sum()
    return [[int(i), float(shares[i])] for i in numpy.argsort(-shares)[:5]]
async def predict(request):
    return JSONResponse(await run_in_threadpool(work, await request.body()))
uvicorn.run(Starlette(routes=[Route("/predict", predict, methods=["POST"])]), port=PORT, log_level="error")
"""


@contextmanager
def service(name: str, folder: Path) -> Iterator[tuple[int, int]]:
    """A running service: its port and process id."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    code = {"eager": EAGER, "bare": BARE}.get(name, "")
    code = code.replace("PORT", str(port)).replace("MODEL", repr(str(STARTER / ONNX)))
    ours = [sys.executable, "-m", "dogbreed", "serve", "--run", "starter", "--port", str(port)]
    path = str(Path(__file__).parents[2] / "dogbreed" / "train")
    with open(folder / "log", "w") as log:
        command = [sys.executable, "-c", code] if code else ours
        process = subprocess.Popen(command, stdout=log, stderr=log, env=os.environ | {"PYTHONPATH": path})
    try:
        deadline = time.monotonic() + 60
        while socket.socket().connect_ex(("127.0.0.1", port)):
            assert process.poll() is None and time.monotonic() < deadline, (folder / "log").read_text()
            time.sleep(0.05)
        yield port, process.pid
    finally:
        process.terminate()
        process.wait()


def memory(pid: int) -> float:
    """MiB that the process holds."""
    text = Path(f"/proc/{pid}/status").read_text()
    return int(text.split("VmRSS:")[1].split()[0]) / 1024


def centile(times: list[float], share: float) -> float:
    """Milliseconds."""
    return sorted(times)[min(len(times) - 1, int(len(times) * share))] * 1000


def told(what: str, answers: list[Answer]) -> None:
    """Print how long these answers took, and until they had arrived."""
    seen, there = [answer.seen for answer in answers], [answer.there for answer in answers]
    words = f"p50 {centile(seen, 0.5):.1f} ms  p99 {centile(seen, 0.99):.1f} ms"
    print(f"{what}: {words}  (in the socket p50 {centile(there, 0.5):.1f} ms  p99 {centile(there, 0.99):.1f} ms)")


def main() -> None:
    seconds = float(sys.argv[1]) if len(sys.argv) > 1 else 8.0
    overload_s = float(sys.argv[2]) if len(sys.argv) > 2 else 60.0
    rates: dict[str, list[float]] = {"eager": [], "bare": [], "dogbreed": []}
    shown: dict[str, str] = {}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        draw(folder / "photo.jpg", 0, (500, 333))
        photo = (folder / "photo.jpg").read_bytes()
        for _ in range(TURNS):
            for kind, figures in rates.items():
                with service(kind, folder) as (port, pid):
                    load = Load(port, photo)
                    load.closed(CLIENTS, 1)
                    answers = load.closed(CLIENTS, seconds)
                    assert {answer.status for answer in answers} == {200}
                    figures.append(len(answers) / seconds)
                    times = [answer.seen for answer in answers]
                    shown[kind] = f"p50 {centile(times, 0.5):.0f} ms  p99 {centile(times, 0.99):.0f} ms"
                    shown[kind] += f"  {memory(pid):.0f} MiB"
        for kind, figures in rates.items():
            print(f"{kind:9s} {statistics.median(figures):6.1f} requests/s  {shown[kind]}")
        for kind in ("eager", "bare"):
            ratio = statistics.median(a / b for a, b in zip(rates["dogbreed"], rates[kind], strict=True))
            print(f"dogbreed / {kind}: {ratio:.2f}")
        with service("dogbreed", folder) as (port, pid):
            load = Load(port, photo)
            load.closed(1, 1)
            told("one client", load.closed(1, max(seconds, 5.0)))
            capacity = statistics.median(rates["dogbreed"])
            before, spent = memory(pid), time.process_time()
            answers = load.opened(OVERLOAD * capacity, overload_s)
            spent = (time.process_time() - spent) / overload_s
            counts = dict(Counter(answer.status for answer in answers))
            print(f"{OVERLOAD} times the capacity for {overload_s:g} s: {counts}", end="  ")
            print(f"memory {before:.0f} -> {memory(pid):.0f} MiB")
            told("accepted", [answer for answer in answers if answer.status == 200])
            told("refused", [answer for answer in answers if answer.status == 503])
            late = centile([answer.late for answer in answers], 0.99)
            print(f"the load itself: {spent:.2f} of a core, p99 of its own delay in sending {late:.1f} ms")
            told("one client again", load.closed(1, max(seconds, 5.0)))


if __name__ == "__main__":
    main()
