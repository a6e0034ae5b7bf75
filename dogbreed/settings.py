"""Every setting: its type, limits, default and meaning.

The comments are the manual of the settings (docs/settings.md is made from them); `dogbreed.config` loads the values.
Only the standard library: pydantic, which checks values, is slow to import, and is not needed for the defaults.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Annotated, Any, ClassVar, Literal


class _Bound:
    """A limit of a value, applied by pydantic. Not from annotated_types: that is slow to import, even for nothing."""

    def __init__(self, value: float | str) -> None:
        self.value = value

    def __get_pydantic_core_schema__(self, source: Any, handler: Any) -> Any:
        return {**handler(source), type(self).__name__.lower(): self.value}


class Ge(_Bound):
    """Greater or equal."""


class Gt(_Bound):
    """Greater."""


class Le(_Bound):
    """Less or equal."""


class Lt(_Bound):
    """Less."""


class Pattern(_Bound):
    """A regular expression for the whole of a text."""

    def __init__(self, value: str) -> None:
        super().__init__(f"^(?:{value})$")


Share = Annotated[float, Ge(0), Lt(1)]
_PYDANTIC = {"extra": "forbid", "allow_inf_nan": False}


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Where the photos are and how they are split."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    # Folder of photos, in a file relative to that file; empty: the drawn sample set.
    path: str = ""
    # Share of each breed that goes to the validation split, where the folder has none of its own.
    valid: Share = 0.15
    # The same for the test split.
    test: Share = 0.15
    # Seed of the split and of the drawn sample set.
    seed: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How the model is trained."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    # head: a new head on a frozen backbone, its features computed once and cached. finetune: every layer.
    method: Literal["head", "finetune"] = "head"
    # starter, or the name of a torchvision classifier such as resnet50.
    backbone: str = "starter"
    # starter, imagenet (torchvision downloads it), none (random), or a .safetensors or .pth file.
    weights: str = "starter"
    # Worker processes, which share each batch.
    instances: Annotated[int, Ge(1), Le(64)] = 1
    # Passes over the photos, at most; see patience.
    epochs: Annotated[int, Ge(1)] = 40
    # Photos per step over all workers together, so that N workers reach the weights of one.
    batch_size: Annotated[int, Ge(1)] = 64
    # sgd has Nesterov's momentum of 0.9, and needs a larger lr.
    optimizer: Literal["sgd", "adamw"] = "adamw"
    # Highest learning rate: linear warm-up to it, then a cosine down to zero.
    lr: Annotated[float, Gt(0)] = 0.003
    # On matrices and kernels, not on biases and normalisation.
    weight_decay: Annotated[float, Ge(0)] = 0.01
    # May be a part of an epoch; 0: none.
    warmup_epochs: Annotated[float, Ge(0)] = 1.0
    # Share of the truth that is spread over all breeds.
    label_smoothing: Share = 0.0
    # -- only for finetune, down to blend:
    # Smallest share of the photo that a random crop keeps.
    crop_scale: Annotated[float, Gt(0), Le(1)] = 0.35
    # Strength of random brightness, contrast and saturation; 0: none.
    colour_jitter: Share = 0.2
    # Share of the photos shown at a random lower resolution.
    low_resolution: Annotated[float, Ge(0), Le(1)] = 0.0
    # Magnitude of RandAugment's two random operations, 1 to 30; 0: none.
    randaugment: Annotated[int, Ge(0), Le(30)] = 0
    # Alpha of mixup's Beta distribution; 0: none.
    mixup: Annotated[float, Ge(0)] = 0.0
    # Show photos of rare breeds more often: (photos of the largest breed / photos of this one) ** balance times.
    balance: Annotated[float, Ge(0), Le(1)] = 0.0
    # Batch normalisation: frozen keeps the statistics of the starting weights, train learns them over all workers;
    # rebased does too, after it has given the layers the statistics of these photos (for converted weights).
    batch_norm: Literal["frozen", "train", "rebased"] = "train"
    # Weight of the answers of the untouched starting network against the labels (distillation).
    distill: Annotated[float, Ge(0), Le(1)] = 0.0
    # Temperature of that; higher tells more of the unlikely breeds.
    distill_temperature: Annotated[float, Gt(0)] = 2.0
    # The head learns at this many times the learning rate of the layers below it.
    head_lr: Annotated[float, Gt(0)] = 1.0
    # Decay per step of a running average of the weights, which then is the model; 0: none.
    average: Share = 0.0
    # Share of the starting weights mixed into the final ones (WiSE-FT).
    blend: Share = 0.0
    # -- for both methods:
    # End after this many epochs without a better validation loss; 0: never.
    patience: Annotated[int, Ge(0)] = 8
    # Seed of every random choice in training.
    seed: Annotated[int, Ge(0)] = 0
    # bf16 is mixed precision; auto takes it where the GPU or CPU computes in it.
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    # Keep kernels and matrices in 16 bits: half the size, for a model that is shipped.
    half: bool = False
    # Start a failed worker again from the last checkpoint this many times.
    max_restarts: Annotated[int, Ge(0)] = 2


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """How predictions are made."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    # A Run's folder or name, or latest; empty: the newest Run here, else the bundled starter model.
    run: str = ""
    # How many breeds to name for each photo.
    top_k: Annotated[int, Ge(1)] = 5
    # Whether photo addresses may lead into private networks.
    allow_private: bool = False


@dataclass(frozen=True, kw_only=True)
class ServeSettings:
    """The service that answers photos over HTTP."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    # 127.0.0.1 answers this machine alone; 0.0.0.0 whoever can reach it.
    host: str = "127.0.0.1"
    port: Annotated[int, Ge(0), Le(65535)] = 8080
    # Threads that predict at the same time; 0: one for each processor core.
    threads: Annotated[int, Ge(0), Le(256)] = 0
    # Photos that may wait for a thread; one more is refused with 503.
    queue: Annotated[int, Ge(1)] = 16
    # Largest body of a request in MiB.
    max_mb: Annotated[int, Ge(1), Le(64)] = 16
    # Most photos in one request.
    max_photos: Annotated[int, Ge(1), Le(256)] = 16
    # Seconds within which a body must have arrived, and within which it is answered then.
    timeout_s: Annotated[float, Gt(0), Le(900)] = 20.0
    # Requests of one client (its address) at the same time; one more is refused with 429. 0: as many as there is room.
    per_client: Annotated[int, Ge(0)] = 0
    # Write the figures of each minute to the log in CloudWatch's embedded metric format.
    emf: bool = False
    # What these figures call the service (their dimension Service); empty: the run's name (Run).
    name: str = ""
    # How many breeds to name where a request does not say.
    top_k: Annotated[int, Ge(1)] = 5


@dataclass(frozen=True, kw_only=True)
class AwsSettings:
    """The AWS account, and what everything that is made in it has in common."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    # Begins the name of everything that is made; two projects in one account do not touch each other.
    project: Annotated[str, Pattern(r"[a-z][a-z0-9-]{1,18}[a-z0-9]")] = "dogbreed"
    # Empty: the region of the profile or of AWS_REGION.
    region: str = ""
    # A profile of the AWS configuration; empty: the default one.
    profile: str = ""
    # Bucket for photos and runs; empty: <project>-<account>-<region>, made when it is first needed.
    bucket: str = ""
    # ARN or alias of a KMS key for the bucket, volumes and outputs; empty: keys that AWS owns.
    kms_key: str = ""
    # Comma-separated subnets that machines and jobs run in; empty: SageMaker's own network, for EC2 the default VPC.
    subnets: str = ""
    # Comma-separated security groups to use; empty: one that lets in nothing but its own machines.
    security_groups: str = ""
    # ARN of a policy that bounds every role that is made; empty: none.
    permissions_boundary: str = ""
    # Comma-separated key=value tags on everything that is made.
    tags: str = ""


@dataclass(frozen=True, kw_only=True)
class SagemakerSettings:
    """Training on SageMaker."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    # auto chooses by price and speed of the known types; see --dry-run.
    instance_type: str = "auto"
    # Spare capacity at a lower price, which AWS may take back; training then goes on from its checkpoint.
    spot: bool = False
    # Most that the job may cost in US dollars, resumed attempts together; 0: what max_hours costs.
    max_usd: Annotated[float, Ge(0)] = 0.0
    # Longest training time of the job in hours.
    max_hours: Annotated[float, Gt(0), Le(120)] = 4.0
    # With spot: longest time to wait for machines, in hours on top of max_hours.
    max_wait_hours: Annotated[float, Ge(0), Le(120)] = 4.0
    # Size of each machine's disk in GB; 0: from the size of the photos.
    volume_gb: Annotated[int, Ge(0), Le(16384)] = 0
    # Training image; empty: AWS's PyTorch 2.13 for the instance type.
    image: str = ""
    # ARN of an execution role that is there already; empty: one with exactly what the job needs is made.
    role: str = ""
    # The job's containers reach no network but each other.
    network_isolation: bool = True
    # auto encrypts the traffic between machines where there are several.
    encrypt_traffic: Literal["auto", "yes", "no"] = "auto"
    # auto: File for what is unpacked in a minute, FastFile for more.
    input_mode: Literal["auto", "File", "FastFile"] = "auto"
    # Keep the machines this long for the next job, which then starts at once; they cost as much as training.
    keep_alive_minutes: Annotated[int, Ge(0), Le(60)] = 0
    # Start the job again after an internal error of SageMaker this many times.
    retries: Annotated[int, Ge(0), Le(30)] = 1


@dataclass(frozen=True, kw_only=True)
class Ec2Settings:
    """Training on EC2 machines."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    # auto, or comma-separated types in order of preference: the next is taken where one is not to be had.
    instance_type: str = "auto"
    # Spare capacity at a lower price, which AWS may take back; training then goes on from its checkpoint.
    spot: bool = False
    # Take machines at the full price where no spot capacity is to be had.
    on_demand_fallback: bool = False
    # Most that all machines together may cost in US dollars; 0: what max_hours costs.
    max_usd: Annotated[float, Ge(0)] = 0.0
    # The machines end themselves after this many hours, whatever happens.
    max_hours: Annotated[float, Gt(0), Le(120)] = 4.0
    # Size of each machine's disk in GB; 0: from the size of the photos.
    volume_gb: Annotated[int, Ge(0), Le(16384)] = 0
    # Machine image; empty: the newest Deep Learning AMI with PyTorch 2.13 for the type's processor.
    ami_id: str = ""


@dataclass(frozen=True, kw_only=True)
class DeploySettings:
    """The service in the account: where it runs, how large it is, how it is changed, and when it ends."""

    __pydantic_config__: ClassVar[dict[str, Any]] = _PYDANTIC

    # endpoint: SageMaker instances. serverless: SageMaker without instances. lambda: the model inside a function.
    # ec2: machines behind a load balancer. auto: the cheapest of these for --traffic.
    to: Literal["endpoint", "serverless", "lambda", "ec2", "auto"] = "endpoint"
    # For endpoint (ml.*) and ec2; auto chooses by price and speed.
    instance_type: str = "auto"
    # How many instances to begin with, for endpoint and ec2; scaling changes it later.
    instances: Annotated[int, Ge(1), Le(100)] = 1
    # Memory in MB, for serverless (1024, 2048 ... 6144) and lambda; 0: chosen.
    memory_mb: Annotated[int, Ge(0), Le(10240)] = 0
    # Requests that a serverless endpoint answers at once; one more is refused.
    max_concurrency: Annotated[int, Ge(1), Le(200)] = 5
    # A Lambda function in front of endpoint and serverless, as programs without SageMaker's SDK like it.
    front: bool = True
    # An address for the function: iam lets in who may call it, none makes no address.
    function_url: Literal["iam", "none"] = "none"
    # At most, and at least, so many requests at once for the function; 0: what the account has left.
    reserved_concurrency: Annotated[int, Ge(0)] = 0
    # So many copies of the function are kept started, and cost by the hour; 0: none.
    provisioned_concurrency: Annotated[int, Ge(0)] = 0
    # How a new model takes over from the old one on an endpoint.
    strategy: Literal["all-at-once", "canary", "linear", "rolling"] = "canary"
    # Share of the instances that goes first (canary), or at a time (linear, rolling), in per cent.
    step_percent: Annotated[int, Ge(5), Le(50)] = 10
    # Minutes without an alarm before the next step.
    bake_minutes: Annotated[float, Ge(0), Le(60)] = 5.0
    # An alarm, which rolls an update back: more than this many per cent of the requests end in an error ...
    alarm_error_percent: Annotated[float, Gt(0), Le(100)] = 1.0
    # ... or the slowest but 1 % of the answers take longer than this, in ms ...
    alarm_p99_ms: Annotated[float, Gt(0)] = 2000.0
    # ... or more than this share of the photos is unsure, in per cent.
    alarm_unsure_percent: Annotated[float, Gt(0), Le(100)] = 60.0
    # Share of the requests whose photos and answers are kept in the bucket, in per cent; 0: none.
    data_capture_percent: Annotated[int, Ge(0), Le(100)] = 0
    # The model of an endpoint as an inference component, so that it can be scaled to zero: dogbreed scale --to-zero.
    component: bool = False
    # The endpoint's containers reach no network.
    network_isolation: bool = True
    # The service's container image; empty: dogbreed's own, built in the account where it is not there yet.
    image: str = ""
    # ARN of a certificate for the load balancer; empty: HTTP within the network only.
    certificate: str = ""
    # Whether the load balancer has a public address; that needs a certificate.
    public: bool = False
    # One machine without a load balancer, for ec2.
    single: bool = False
    # The service ends itself after this time, such as 8h or 90m, also when this machine is off; empty: never.
    ttl: Annotated[str, Pattern(r"(?:\d+(?:\.\d+)?[mhd])?")] = ""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, and in `sources` where each value that is not a default came from."""

    data: DataSettings = field(default_factory=DataSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    serve: ServeSettings = field(default_factory=ServeSettings)
    aws: AwsSettings = field(default_factory=AwsSettings)
    sagemaker: SagemakerSettings = field(default_factory=SagemakerSettings)
    ec2: Ec2Settings = field(default_factory=Ec2Settings)
    deploy: DeploySettings = field(default_factory=DeploySettings)
    sources: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The values by section, without their sources."""
        return {section: asdict(getattr(self, section)) for section in SECTIONS}


SECTIONS = {
    "data": DataSettings,
    "train": TrainSettings,
    "predict": PredictSettings,
    "serve": ServeSettings,
    "aws": AwsSettings,
    "sagemaker": SagemakerSettings,
    "ec2": Ec2Settings,
    "deploy": DeploySettings,
}
KEYS = tuple(f"{section}.{item.name}" for section, kind in SECTIONS.items() for item in fields(kind))
