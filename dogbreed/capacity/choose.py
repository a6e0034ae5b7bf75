"""Which machines, and how many: time and cost of a training job on each, from what was measured or from a plain model.

The model, for a step of `batch` photos shared by all workers: forward + max(backward, all-reduce), or the decoding of
the photos where that takes longer. Its numbers are the constants below, each with its source; on a type that was
measured, the measured rate takes the place of the estimate. Estimates are good to a factor of two, not better.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from dogbreed.capacity.backbones import SIZES, UNKNOWN
from dogbreed.pricing import Figure, Instance, Prices

# Training ResNet-50 in mixed precision, photos/s for each GB/s of a GPU's memory. NVIDIA's DeepLearningExamples
# (ResNet50 v1.5 for PyTorch, 21.03) give 1,200 photos/s for a V100 of 900 GB/s and 2,470 for an A100 of 2,039 GB/s:
# 1.33 and 1.21; their inference figures for a T4 (320 GB/s) stand to the V100's as the memories do.
_PHOTOS_PER_GB_S = 1.2
# GB/s, from the data sheets of the GPUs (p4d has the A100 of 40 GB).
_MEMORY_GB_S = {"t4": 320, "a10g": 600, "l4": 300, "v100": 900, "a100": 1555, "h100": 3350}
# Photos in a GPU's share of a batch at which it reaches half of that rate: kernels have a fixed cost each.
_HALF_BATCH = 8
# ResNet-50's billions of multiply-adds. Small networks are bound by memory, not arithmetic: MobileNetV2 with a
# thirteenth of the work trains about 2.5 times as fast, so no network counts as less than this share of ResNet-50.
_REFERENCE_GMACS, _SMALLEST = SIZES["resnet50"][0], 0.4
# The starter on one core of an AMD EPYC (Zen 4), measured: docs/performance.md. A vCPU is half a core.
_CPU_FP32, _CPU_BF16 = 9.5 / 2, 18.5 / 2
_BF16_FAMILIES = ("m7i", "c7i", "m7a", "c7a", "r7i", "m8i", "c8i")
# Features are a forward pass: a third of the work of training; on the CPU measured, 68 photos/s and core against 9.5.
_FORWARD_GPU, _FORWARD_CPU = 3.0, 68 / 9.5
# Decoding and augmenting a JPEG of 500 x 375 (61 kB): 400/s on that core, measured; older vCPUs do less than half.
_DECODES_PER_VCPU, _DECODED_BYTES = 150.0, 61_000
# Ring all-reduce of 32-bit gradients at 70 % of the lasting network rate; within a machine over PCIe, 10 GB/s.
_NETWORK_SHARE, _LATENCY_S, _INSIDE_BYTES_S = 0.7, 100e-6, 10e9
_UNKNOWN_NETWORK_GBPS = 1.0
# A step of a head on cached features.
_HEAD_STEP_S = 0.002
# From the request until training begins, billed or not; assumed, no figure of AWS's: machines, image, libraries.
START_S = {"training": 240.0, "ec2": 180.0}
# What an hour of waiting counts for when options are ranked.
WAITING_USD_PER_HOUR = Decimal(2)
_GB_PER_PHOTO = 0.1  # of GPU memory for a photo of ResNet-50's batch, weights and workspace aside
_GPU_BASE_GB, _MEMORY_GIB = 3.0, 8.0

COUNTS = (1, 2, 4, 8)
_SHOWN = 3
_AS_FAST = 1.1


@dataclass(frozen=True, slots=True)
class Job:
    """What is to be trained: photos of the training split and of all splits, their bytes, and the recipe."""

    train_photos: int
    photos: int
    bytes: int
    epochs: int
    batch: int
    method: Literal["head", "finetune"]
    backbone: str

    @property
    def gmacs(self) -> float:
        """Billions of multiply-adds for a photo."""
        return SIZES.get(self.backbone, UNKNOWN)[0]

    @property
    def weights(self) -> float:
        """How many weights the gradients of a step are for."""
        return 0.0 if self.method == "head" else SIZES.get(self.backbone, UNKNOWN)[1] * 1e6


@dataclass(frozen=True, slots=True)
class Option:
    """`count` machines of a type: seconds until the end, of which `start_s` before training begins; what it costs
    (None: unknown), what limits it, and where the rate comes from.
    """

    instance: str
    count: int
    images_per_second: float
    seconds: float
    start_s: float
    usd: Decimal | None
    limit: str
    source: str
    price: str
    # What the same would cost in another region, where this one's price is unknown: for the order, and said as such.
    usd_elsewhere: Decimal | None = None

    def to_json(self) -> dict[str, object]:
        """For --json."""
        return {
            "instance_type": self.instance,
            "instances": self.count,
            "images_per_second": round(self.images_per_second, 1),
            "minutes": round(self.seconds / 60, 1),
            "usd": None if self.usd is None else str(self.usd),
            "limited_by": self.limit,
            "rate": self.source,
            "price": self.price,
        }

    def words(self) -> str:
        """One line for people."""
        cost = "cost unknown" if self.usd is None else f"${self.usd:.2f}"
        return (
            f"{self.count} x {self.instance}: {self.seconds / 60:.0f} min, {cost}, "
            f"{self.images_per_second:.0f} images/s ({self.source}), limited by {self.limit}; {self.price}"
        )


@dataclass(frozen=True)
class Choice:
    """The options that were left, best first; what to say about them, and why types were left out."""

    options: tuple[Option, ...]
    advice: tuple[str, ...]
    left_out: Mapping[str, str]

    @property
    def best(self) -> tuple[Option, ...]:
        """The best three."""
        return self.options[:_SHOWN]


def choose(
    job: Job,
    prices: Prices,
    region: str,
    *,
    use: Literal["training", "ec2"] = "training",
    counts: Sequence[int] = COUNTS,
    measured: Mapping[str, float] | None = None,
    cpu_rate: float | None = None,
    max_hours: float = float("inf"),
    allowed: Callable[[str, int], str] | None = None,
) -> Choice:
    """Rank every known type times `counts` by cost plus the value of the waiting time.

    `measured`: photos/s of one machine by type (without `ml.`), `cpu_rate`: of one logical CPU of this machine, which
    says something of CPU types only; both as `dogbreed.capacity.measured` has them. `allowed` says why a type may not
    be used that often ("" when it may): a quota, a region that has none. What costs an unknown amount comes last.
    """
    options, left_out = [], {}
    for instance in prices.instances.values():
        name = f"ml.{instance.name}" if use == "training" else instance.name
        if why := _unfit(instance, job, use):
            left_out[name] = why
            continue
        for count in counts:
            if why := allowed(name, count) if allowed else "":
                left_out[name] = why
                break
            if instance.gpus and not _fits(instance, job, count):
                left_out[name] = f"a share of batches of {job.batch} may not fit its GPU"
                continue
            option = estimate(job, instance, count, prices, region, use=use, measured=measured, cpu_rate=cpu_rate)
            if option.seconds > max_hours * 3600:
                left_out[name] = f"{count} of it would take {option.seconds / 3600:.1f} h, more than max_hours"
                continue
            left_out.pop(name, None)
            options.append(option)
    options.sort(key=_rank)
    return Choice(tuple(options), tuple(_advice(options)), left_out)


def estimate(
    job: Job,
    instance: Instance,
    count: int,
    prices: Prices,
    region: str,
    *,
    use: Literal["training", "ec2"] = "training",
    measured: Mapping[str, float] | None = None,
    cpu_rate: float | None = None,
) -> Option:
    """Time and cost of the job on `count` machines of one type, start-up included."""
    name = f"ml.{instance.name}" if use == "training" else instance.name
    known, source = (measured or {}).get(instance.name), "measured"
    if known is None and cpu_rate and not instance.gpus:
        known, source = cpu_rate * instance.vcpu, "scaled from a run on this machine"
    elif known is None:
        source = "estimated"
    training, limit = training_seconds(job, instance, count, known)
    gigabits = instance.network_gbps or _UNKNOWN_NETWORK_GBPS
    start = START_S[use] + job.bytes * 8 / (gigabits * _NETWORK_SHARE * 1e9)
    seconds = start + training
    figure, other = prices.hourly(name, region), prices.elsewhere(name, region)
    machine_hours = count * Decimal(seconds) / 3600
    work = job.photos if job.method == "head" else job.train_photos * job.epochs
    return Option(
        instance=name,
        count=count,
        images_per_second=work / max(training, 1e-9),
        seconds=seconds,
        start_s=start,
        usd=_cost(figure, machine_hours),
        limit="the start-up" if start > training else limit,
        source=source,
        price=prices.words(name, region),
        usd_elsewhere=None if figure else _cost(other, machine_hours),
    )


def training_seconds(job: Job, instance: Instance, count: int, measured: float | None = None) -> tuple[float, str]:
    """Seconds of training alone, and what limits it: the arithmetic, the decoding or the network."""
    workers = count * max(instance.gpus, 1)
    if job.method == "head":
        computing = compute_seconds(job, instance, count, measured)
        decoding = job.photos / (_decodes(job, instance) * count)
        steps = max(1, job.train_photos // job.batch) * job.epochs
        head = steps * (_HEAD_STEP_S + _latency(workers))
        return max(computing, decoding) + head, "decoding" if decoding > computing else "arithmetic"
    steps = max(1, job.train_photos // job.batch) * job.epochs
    computing = compute_seconds(job, instance, count, measured) / steps
    talking = _all_reduce(job, instance, count)
    decoding = job.batch / (_decodes(job, instance) * count)
    step = computing / 3 + max(computing * 2 / 3, talking)
    limits = {"decoding": decoding, "the network": talking, "arithmetic": computing * 2 / 3}
    return steps * max(step, decoding), max(limits, key=lambda name: limits[name])


def compute_seconds(job: Job, instance: Instance, count: int, measured: float | None = None) -> float:
    """Seconds of arithmetic alone: never more with more machines."""
    rate = measured or _rate(job, instance)  # of one machine with full batches
    if job.method == "head":
        return job.photos / (rate * count)
    steps = max(1, job.train_photos // job.batch) * job.epochs
    gpus = max(instance.gpus, 1)
    half = _HALF_BATCH if instance.gpus else 0
    return steps * (job.batch / (count * gpus) + half) / (rate / gpus)


def fewer(option: Option, others: Iterable[Option]) -> str:
    """What to say when fewer machines of the type cost less and are about as fast; else ""."""
    for other in sorted(others, key=lambda one: one.count):
        if other.instance != option.instance or other.count >= option.count:
            continue
        if other.seconds <= option.seconds * _AS_FAST:
            less = "" if option.usd is None or other.usd is None else f" for ${other.usd:.2f}, not ${option.usd:.2f}"
            return f"{other.count} x {other.instance} is about as fast as {option.count}{less}"
    return ""


def _cost(figure: Figure | None, machine_hours: Decimal) -> Decimal | None:
    return None if figure is None else (figure.usd * machine_hours).quantize(Decimal("0.0001"))


def _rank(option: Option) -> tuple[bool, Decimal, float, str, int]:
    hours = Decimal(option.seconds) / 3600
    cost = option.usd_elsewhere if option.usd is None else option.usd
    return (
        option.usd is None,
        (Decimal("Infinity") if cost is None else cost) + hours * WAITING_USD_PER_HOUR,
        option.seconds,
        option.instance,
        option.count,
    )


def _advice(options: Sequence[Option]) -> Iterable[str]:
    if not options:
        return
    best = options[0]
    yield f"ranked by cost plus ${WAITING_USD_PER_HOUR} for each hour of waiting"
    if best.source != "measured":
        yield "times are estimates, good to a factor of two; a first run on a type measures it"
    more = [one for one in options if one.instance == best.instance and one.count > best.count]
    if more:
        other = min(more, key=lambda one: one.seconds)
        if words := fewer(other, options):
            yield words
        else:
            cost = "" if other.usd is None or best.usd is None else f" for ${other.usd:.2f} in place of ${best.usd:.2f}"
            yield f"{other.count} x {other.instance} would take {other.seconds / 60:.0f} min{cost}"
    if best.usd is None:
        yield "no price is known for this region; the order is that of another region's prices"


def _unfit(instance: Instance, job: Job, use: str) -> str:
    """Why a type is no choice for this job; "" when it is."""
    reasons = {
        "SageMaker does not train on it": use == "training" and not instance.training,
        "the training image is for x86-64": instance.arch != "x86_64",
        "it slows down when its credits are spent": instance.burstable,
        "PyTorch needs another build for it": instance.name.startswith(("inf", "trn")),
        f"{instance.memory_gib:g} GiB of memory": instance.memory_gib < _MEMORY_GIB,
        f"how fast its {instance.gpu} is is not known": bool(instance.gpus) and instance.gpu not in _MEMORY_GB_S,
    }
    return next((why for why, holds in reasons.items() if holds), "")


def _fits(instance: Instance, job: Job, count: int) -> bool:
    share = job.batch / (instance.gpus * count) * max(job.gmacs / _REFERENCE_GMACS, _SMALLEST) * _GB_PER_PHOTO
    return job.method == "head" or share + _GPU_BASE_GB <= (instance.gpu_memory_gib or 0)


def _rate(job: Job, instance: Instance) -> float:
    """Estimated photos/s of one machine: trained on, or turned into features."""
    share = max(job.gmacs / _REFERENCE_GMACS, _SMALLEST)
    forward = job.method == "head"
    if instance.gpus:
        rate = _MEMORY_GB_S[instance.gpu] * _PHOTOS_PER_GB_S / share * instance.gpus
        return rate * (_FORWARD_GPU if forward else 1)
    each = _CPU_BF16 if instance.name.startswith(_BF16_FAMILIES) and not forward else _CPU_FP32
    # Measured with the starter, which counts as _SMALLEST.
    return each * instance.vcpu * (_SMALLEST / share) * (_FORWARD_CPU if forward else 1)


def _decodes(job: Job, instance: Instance) -> float:
    larger = max(1.0, job.bytes / max(job.photos, 1) / _DECODED_BYTES)
    return _DECODES_PER_VCPU * instance.vcpu / larger


def _all_reduce(job: Job, instance: Instance, count: int) -> float:
    """Seconds to sum the gradients over all workers."""
    size = job.weights * 4
    gpus = max(instance.gpus, 1)
    inside = 2 * (gpus - 1) / gpus * size / _INSIDE_BYTES_S
    gigabits = instance.network_gbps or _UNKNOWN_NETWORK_GBPS
    between = 2 * (count - 1) / count * size * 8 / (gigabits * _NETWORK_SHARE * 1e9)
    return inside + between + _latency(count * gpus)


def _latency(workers: int) -> float:
    return 2 * (workers - 1) * _LATENCY_S
