"""The training worker, read from top to bottom: `python -m dogbreed.train.loop RUN`.

The same module is one process, one of N on this machine, or one of N on machines elsewhere; rank and world size come
from the environment, nothing else differs. It does what RUN/job.json says, goes on from RUN/checkpoints if there are
any, and tells of its progress in JSON lines on stdout (rank 0 only).
"""

from __future__ import annotations

import argparse
import json
import math
import os
import platform
import signal
import sys
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn.parallel import DistributedDataParallel
from torch.optim import SGD, AdamW, Optimizer

from dogbreed import __version__
from dogbreed.config import TrainSettings
from dogbreed.errors import DogbreedError
from dogbreed.evaluate.calibration import softmax
from dogbreed.evaluate.metrics import report
from dogbreed.run import METRICS, write_atomically
from dogbreed.train import checkpoint, finish, model, tasks
from dogbreed.train.checkpoint import Progress
from dogbreed.train.dataset import evaluation_batches
from dogbreed.train.distributed import World
from dogbreed.train.features import StoppedError
from dogbreed.train.job import Job
from dogbreed.train.rebase import rebase

_TELL_EVERY_S = 0.5
_GRACE_S = 60
_REBASE_PHOTOS = 400
_NESTEROV_MOMENTUM = 0.9


def main() -> None:
    """Parse the arguments, train, and turn an error into an event."""
    parser = argparse.ArgumentParser()
    parser.add_argument("run", type=Path)
    parser.add_argument("--photos", type=Path, help="where the photos lie on this machine")
    parser.add_argument("--follow-parent", action="store_true", help="stop when stdin closes")
    arguments = parser.parse_args()
    stop = stop_on_sigterm()
    if arguments.follow_parent:
        threading.Thread(target=_stop_with_parent, args=(stop,), daemon=True).start()
    try:
        train(arguments.run, arguments.photos, stop)
    except DogbreedError as error:
        tell("error", message=error.message, hint=error.hint, exit_code=error.exit_code)
        sys.exit(1)


def stop_on_sigterm() -> threading.Event:
    """The note that the loop reads between two steps; a signal's handler may not write or exchange anything itself."""
    stop = threading.Event()
    signal.signal(signal.SIGTERM, lambda *_: stop.set())
    return stop


def tell(event: str, **values: Any) -> None:
    """One line of progress; when nobody listens any more, the checkpoint still has to be written."""
    with suppress(BrokenPipeError):
        # One write, so that the lines of several ranks do not mix.
        sys.stdout.write(json.dumps({"event": event, **values}) + "\n")
        sys.stdout.flush()


def train(
    run: Path,
    photos: Path | None,
    stop: threading.Event,
    *,
    export: bool = True,
    save_every_s: float = math.inf,
) -> bool:
    """Train what RUN/job.json asks for; True when that is done, False when it ended early.

    It ends early once `stop` is set: with a checkpoint, or before the first step with its features in the cache.
    Without `export` the Run is left as `finish.complete` wants it, which a machine without ONNX can do. A checkpoint is
    written at the end of each epoch, and in a long one every `save_every_s`.
    """
    # ---- who we are and what to do
    world = World.join()
    leader = world.rank == 0
    job = Job.read(run, photos)
    settings = job.settings
    say = tell if leader else _silent
    start = model.start(settings.backbone, settings.weights, job.breeds, settings.seed)
    restarts = int(os.environ.get("TORCHELASTIC_RESTART_COUNT", "0"))
    total = len({photo.sha256 for photo in job.photos})
    where = {"device": str(world.device), "gpus": torch.cuda.device_count()}
    say("start", pid=os.getpid(), world=world.size, origin=start.origin, restarts=restarts, **where)

    # ---- the task: a head on features, or the whole model on photos
    if settings.batch_norm == "rebased" and settings.method == "finetune":
        # The same photos on every rank and after every restart, so that all have the same model.
        some = job.split("train")[:: max(1, len(job.split("train")) // _REBASE_PHOTOS)]
        rebase(start.model, evaluation_batches(some, start.preprocessing, 32, torch.get_num_threads()))
    try:
        task = tasks.make(
            job, start, world, lambda count: say("features", count=count * world.size, total=total), stop.is_set
        )
    except StoppedError:
        # There is nothing new for a checkpoint; an earlier one stays as it is.
        say("stopped")
        world.leave()
        return False
    module = task.module
    initial = _copy(module)
    optimizer = _optimizer(module, settings)
    progress, best = checkpoint.read(run, module, optimizer, world)
    kept = [name for name in best if name.startswith(_AVERAGED)]
    averaged = {name.removeprefix(_AVERAGED): best.pop(name).to(world.device) for name in kept}
    if settings.average and not averaged:
        averaged = _copy(module)
    if task.efficiency is not None:
        progress.efficiency = task.efficiency
    net = DistributedDataParallel(module, broadcast_buffers=False) if world.size > 1 else module
    truth = {name: np.asarray(job.truth(job.split(name)), np.int64) for name in ("valid", "test")}
    say("train", epochs=settings.epochs, steps=task.steps, batch=task.batch, epoch=progress.epoch, step=progress.step)

    def save() -> None:
        if not all(bool(value.isfinite().all()) for value in module.state_dict().values()):
            raise _diverged("a weight is no longer finite", run, progress, settings)
        if leader:
            extra = {_AVERAGED + name: value for name, value in averaged.items()}
            checkpoint.write(run, module, optimizer, best | extra, progress)

    def write_down() -> None:
        if leader and progress.history:
            lines = "".join(json.dumps(entry) + "\n" for entry in progress.history)
            write_atomically(run / METRICS, lines.encode())

    # ---- the loop
    # Another machine may have begun this run: of it only the checkpoint came here, perhaps with nothing left to train.
    write_down()
    last_told, last_saved = 0.0, time.perf_counter()
    while progress.epoch < settings.epochs and not _is_stale(progress, settings.patience):
        epoch, first, began = progress.epoch, progress.step, time.perf_counter()
        counted = began
        batches = task.batches(epoch, first)
        for step in range(first, task.steps):
            inputs, targets = next(batches)
            rate = _learning_rate(settings, epoch * task.steps + step, task.steps)
            for group in optimizer.param_groups:
                group["lr"] = rate * group["times"]
            optimizer.zero_grad()
            loss = task.loss(net, inputs, targets, (epoch, step))
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            mean, stopping = world.mean_and_flag(loss, stop.is_set())
            if not math.isfinite(mean):
                raise _diverged(f"the loss became {mean}", run, progress, settings)
            _average(averaged, module, settings.average, epoch * task.steps + step)
            progress.step, progress.loss_sum = step + 1, progress.loss_sum + mean
            progress.photos += task.batch
            now = time.perf_counter()
            if now - last_told > _TELL_EVERY_S:
                last_told = now
                done = (step + 1) * task.batch
                say("step", epoch=epoch + 1, done=done, total=task.steps * task.batch, loss=round(mean, 4))
            if stopping or now - last_saved > save_every_s:
                progress.seconds += now - counted
                counted = last_saved = now
                save()
            if stopping:
                say("stopped", epoch=epoch + 1, step=step + 1)
                del net  # see World.leave
                world.leave()
                return False

        # ---- the end of an epoch: evaluate, remember the best, write down
        ended = time.perf_counter()
        spent = ended - began
        figures = _evaluate(task, averaged, truth["valid"], job.breeds)
        # Without validation photos there is no loss to go by, and the last epoch is the best.
        valid_loss = figures.get("loss")
        if valid_loss is not None and not math.isfinite(valid_loss):
            raise _diverged(f"the validation loss became {valid_loss}", run, progress, settings)
        if valid_loss is None or valid_loss < progress.best_loss:
            progress.best_loss, progress.best_epoch = valid_loss or 0.0, epoch
            best = {name: value.clone() for name, value in averaged.items()} or _copy(module)
        line = {
            "epoch": epoch + 1,
            "train_loss": round(progress.loss_sum / task.steps, 4),
            "valid_loss": valid_loss,
            "valid_top1": figures.get("top1"),
            "lr": _learning_rate(settings, epoch * task.steps + task.steps - 1, task.steps),
            "images_per_second": round((task.steps - first) * task.batch / max(spent, 1e-9), 1),
        }
        progress.history.append(line)
        progress.epoch, progress.step, progress.loss_sum = epoch + 1, 0, 0.0
        progress.seconds += ended - counted
        last_saved = time.perf_counter()
        save()
        write_down()
        say("epoch", **line, best=progress.best_epoch == epoch)

    # ---- the best weights, measured on splits that no step has seen
    final = _blend(best, initial, settings.blend, module)
    module.load_state_dict(_rounded(final) if settings.half else final)
    logits = {name: task.logits(name) for name in ("valid", "test")}
    del net  # see World.leave
    world.leave()
    if leader:
        versions = {"dogbreed": __version__, "python": platform.python_version(), "torch": torch.__version__}
        made = finish.Made(run, job, start, logits, progress, world.size, versions)
        if export:
            say("done", **finish.write(made, lambda stage: say("finish", stage=stage)))
        else:
            finish.leave(made)
            say("trained")
    return True


_AVERAGED = "averaged."


def _silent(event: str, **values: Any) -> None:
    pass


def _stop_with_parent(stop: threading.Event) -> None:
    # Ends when the launcher has gone, even by SIGKILL. Not through sys.stdin, whose lock would outlive this thread.
    agent = os.getppid()
    while os.read(0, 1024):
        pass
    stop.set()
    # A worker that hangs outside the loop reads no note, and one without torchrun has lost the others: nothing may be
    # left running.
    deadline = time.monotonic() + _GRACE_S
    while time.monotonic() < deadline and os.getppid() == agent:
        time.sleep(0.2)
    os._exit(1)


def _diverged(what: str, run: Path, progress: Progress, settings: TrainSettings) -> DogbreedError:
    place = f"epoch {progress.epoch + 1}, step {progress.step + 1}"
    kept = "; the last checkpoint is kept" if (run / checkpoint.FILE).exists() else ""
    return DogbreedError(f"{what} in {place}{kept}", f"a lower --lr (now {settings.lr:g}) usually mends it")


def _optimizer(module: nn.Module, settings: TrainSettings) -> Optimizer:
    """Weight decay acts on matrices and kernels, not on biases and normalisation; the head may learn faster."""
    groups: dict[tuple[float, float], list[nn.Parameter]] = {}
    for name, parameter in module.named_parameters():
        times = settings.head_lr if name.startswith("head.") else 1.0
        decay = settings.weight_decay if parameter.ndim > 1 else 0.0
        groups.setdefault((times, decay), []).append(parameter)
    listed = [{"params": members, "weight_decay": decay, "times": times} for (times, decay), members in groups.items()]
    if settings.optimizer == "sgd":
        return SGD(listed, lr=settings.lr, momentum=_NESTEROV_MOMENTUM, nesterov=True)
    return AdamW(listed, lr=settings.lr)


def _learning_rate(settings: TrainSettings, step: int, steps: int) -> float:
    """Linear warm-up, then half a cosine to zero; `step` counts from the first epoch, `steps` are those of one."""
    warmup, total = settings.warmup_epochs * steps, settings.epochs * steps
    if step < warmup:
        return settings.lr * (step + 1) / max(1.0, warmup)
    return settings.lr * 0.5 * (1 + math.cos(math.pi * (step - warmup) / max(1.0, total - warmup)))


def _is_stale(progress: Progress, patience: int) -> bool:
    return patience > 0 and progress.epoch - 1 - progress.best_epoch >= patience


def _copy(module: nn.Module) -> dict[str, Tensor]:
    return {name: value.detach().clone() for name, value in module.state_dict().items()}


def _average(averaged: dict[str, Tensor], module: nn.Module, decay: float, step: int) -> None:
    """Move the running average towards the weights; early steps count more, as the start should be forgotten."""
    if not averaged:
        return
    decay = min(decay, (step + 1) / (step + 10))
    for name, value in module.state_dict().items():
        if value.is_floating_point():
            averaged[name].lerp_(value, 1 - decay)
        else:
            averaged[name].copy_(value)


def _rounded(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """The values that 16 bits can hold, so that the model is measured as it will be stored."""
    return {name: value.half().to(value.dtype) if value.ndim > 1 else value for name, value in state.items()}


def _evaluate(
    task: tasks.Task, averaged: dict[str, Tensor], truth: np.ndarray[Any, Any], breeds: tuple[str, ...]
) -> dict[str, Any]:
    held = _copy(task.module) if averaged else {}
    if averaged:
        task.module.load_state_dict(averaged)
    logits = task.logits("valid")
    if held:
        task.module.load_state_dict(held)
    return report(softmax(logits.numpy()), truth, breeds)


def _blend(best: dict[str, Tensor], initial: dict[str, Tensor], share: float, module: nn.Module) -> dict[str, Tensor]:
    """The best weights with `share` of the starting ones in them (Wortsman et al. 2022, WiSE-FT)."""
    state = best or _copy(module)
    if not share:
        return state
    return {
        name: value.lerp(initial[name].to(value), share) if value.is_floating_point() else value
        for name, value in state.items()
    }


if __name__ == "__main__":
    main()
