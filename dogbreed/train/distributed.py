"""N processes that train one model: who I am, what we agree on, and statistics over all of us."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.nn.functional import all_reduce as differentiable_all_reduce

from dogbreed.processors import processors

_TIMEOUT = timedelta(minutes=30)
_CHUNK = 2**26  # bytes that are sent at once


@dataclass(frozen=True)
class World:
    """Rank, size and device; rank and size come from the environment that torchrun sets, else a world of one."""

    rank: int
    size: int
    device: torch.device

    @classmethod
    def join(cls) -> World:
        """Join the other processes: NCCL where each has a GPU, gloo otherwise."""
        rank, size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
        local, local_size = int(os.environ.get("LOCAL_RANK", "0")), int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
        gpu = torch.cuda.is_available() and torch.cuda.device_count() >= local_size
        device = torch.device("cuda", local) if gpu else torch.device("cpu")
        torch.set_num_threads(max(1, processors() // local_size))
        if gpu:
            torch.cuda.set_device(device)
        if size > 1:
            backend, of = ("nccl", device) if gpu else ("gloo", None)
            dist.init_process_group(
                backend, store=_meeting_point(), rank=rank, world_size=size, timeout=_TIMEOUT, device_id=of
            )
        return cls(rank, size, device)

    def leave(self) -> None:
        """Part from the other processes; the caller has let go of its DistributedDataParallel.

        If that is the last to hold the group, torch 2.13 ends the group's threads while it keeps Python's lock, and
        when one of them still needs the lock, both wait for ever.
        """
        if self.size > 1:
            gc.collect()
            dist.destroy_process_group()

    def mean_and_flag(self, value: Tensor, flag: bool) -> tuple[float, bool]:
        """The mean of `value` over all ranks, and whether any rank raised `flag`; one exchange for both."""
        both = torch.stack([value.detach().float().to(self.device), torch.tensor(float(flag), device=self.device)])
        if self.size > 1:
            dist.all_reduce(both)
        mean, flags = both.tolist()
        return mean / self.size, flags > 0

    def sum(self, values: list[float]) -> list[float]:
        """Sums over all ranks."""
        total = torch.tensor(values, dtype=torch.float64, device=self.device)
        if self.size > 1:
            dist.all_reduce(total)
        result: list[float] = total.tolist()
        return result

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            dist.barrier()

    def share(self, count: int) -> range:
        """The indices 0..count-1 that are this rank's: every one belongs to exactly one rank."""
        return range(self.rank, count, self.size)

    def gather(self, mine: Tensor, count: int) -> Tensor:
        """Rows [count, ...] in order, from each rank's for its `share(count)`; where `mine` lies, so do they."""
        if self.size == 1:
            return mine
        longest = -(-count // self.size)
        # NCCL takes nothing that lies in the memory of the host.
        padded = mine.new_zeros((longest, *mine.shape[1:]), device=self.device)
        padded[: len(mine)] = mine
        parts = [torch.empty_like(padded) for _ in range(self.size)]
        dist.all_gather(parts, padded)
        return torch.stack(parts, dim=1).flatten(0, 1)[:count].to(mine.device)

    def broadcast(self, rows: Tensor) -> Tensor:
        """Rank 0's `rows` (three dimensions, float32) on every rank."""
        if self.size == 1:
            return rows
        shape = [int(size) for size in self.sum([float(size) for size in rows.shape] if self.rank == 0 else [0.0] * 3)]
        held = rows.to(self.device).contiguous() if self.rank == 0 else torch.empty(shape, device=self.device)
        dist.broadcast(held, 0)
        return held.cpu()

    def broadcast_bytes(self, data: bytes | None) -> bytes | None:
        """Rank 0's `data` on every rank; None as well. Such as the checkpoint, which only rank 0's machine has."""
        if self.size == 1:
            return data
        size = int(self.sum([float(-1 if data is None else len(data)) if self.rank == 0 else 0.0])[0])
        if size < 0:
            return None
        held = bytearray(data or bytes(size))
        for start in range(0, size, _CHUNK):
            part = torch.frombuffer(held, dtype=torch.uint8, offset=start, count=min(_CHUNK, size - start))
            sent = part.to(self.device)
            dist.broadcast(sent, 0)
            part.copy_(sent)
        return bytes(held)

    def exchange(self, model: nn.Module) -> None:
        """Add up the gradients of `model` over all ranks, as each training step does."""
        gradients = [parameter.grad.flatten() for parameter in model.parameters() if parameter.grad is not None]
        if self.size > 1:
            dist.all_reduce(torch.cat(gradients))

    def efficiency(self, alone: Callable[[], None], together: Callable[[], None]) -> float | None:
        """How much of N times one worker's speed N workers reach: 1.0 is perfect, 1/N is no gain at all.

        Rank 0 works `alone` with all cores of its machine, as a world of one would, while the others wait; then all
        work `together`, exchange included, on as much each. None in a world of one.
        """
        if self.size == 1:
            return None
        threads = torch.get_num_threads()
        self.wait()
        torch.set_num_threads(threads * int(os.environ.get("LOCAL_WORLD_SIZE", "1")))
        one = _timed(alone) if self.rank == 0 else 0.0
        torch.set_num_threads(threads)
        self.wait()
        all_ = _timed(together)
        ones, alls = self.sum([one, all_ / self.size])
        return ones / alls


def _meeting_point() -> dist.Store:
    """Where the ranks find each other: torchrun's own store, apart for each restart.

    torch 2.13 lets a restarted worker read the addresses that dead ones left there, and it waits for them in vain.
    """
    address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
    agent_serves = os.environ.get("TORCHELASTIC_USE_AGENT_STORE") == "True"
    store = dist.TCPStore(address, port, is_master=not agent_serves and os.environ["RANK"] == "0", timeout=_TIMEOUT)
    return dist.PrefixStore(f"dogbreed/{os.environ.get('TORCHELASTIC_RESTART_COUNT', '0')}", store)


def _timed(work: Callable[[], None]) -> float:
    """Seconds of the middle one of three times, after one that is not counted: buffers and threads are new in it."""
    times = []
    for _ in range(4):
        started = time.perf_counter()
        work()
        if torch.cuda.is_available():
            torch.cuda.synchronize()
        times.append(time.perf_counter() - started)
    return sorted(times[1:])[1]


class SyncedBatchNorm2d(nn.BatchNorm2d):
    """Batch normalisation over the batches of all ranks, so that N ranks train as one does.

    torch's own SyncBatchNorm works on GPUs only. All ranks must hold batches of one size.
    """

    def forward(self, images: Tensor) -> Tensor:
        """Normalised with the moments over all ranks while training."""
        if not self.training or not dist.is_initialized():
            return super().forward(images)
        images = images.float()
        own_variance, own_mean = torch.var_mean(images, dim=(0, 2, 3), correction=0)
        # Double precision, since the difference of two squares loses digits; these are short vectors.
        own_mean, own_variance = own_mean.double(), own_variance.double()
        moments = torch.cat([own_mean, own_variance + own_mean.square()])
        total: Tensor = differentiable_all_reduce(moments)  # type: ignore[no-untyped-call]
        mean, square = (total / dist.get_world_size()).chunk(2)
        mean, variance = mean.float(), (square - mean.square()).clamp_min(0).float()
        self._remember(mean.detach(), variance.detach(), images.numel() // images.shape[1] * dist.get_world_size())
        scale = torch.rsqrt(variance + self.eps)
        normal = (images - mean[:, None, None]) * scale[:, None, None]
        result: Tensor = normal * self.weight[:, None, None] + self.bias[:, None, None]
        return result

    def _remember(self, mean: Tensor, variance: Tensor, count: int) -> None:
        momentum = 0.1 if self.momentum is None else self.momentum
        assert self.running_mean is not None and self.running_var is not None
        self.running_mean.lerp_(mean, momentum)
        self.running_var.lerp_(variance * count / max(1, count - 1), momentum)
        if self.num_batches_tracked is not None:
            self.num_batches_tracked.add_(1)


def sync_batch_norms(model: nn.Module) -> None:
    """Let every BatchNorm2d of `model` take its statistics over all ranks."""
    for layer in model.modules():
        if type(layer) is nn.BatchNorm2d:
            layer.__class__ = SyncedBatchNorm2d
