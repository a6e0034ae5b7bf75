"""Settings: every value typed, frozen and with its source.

Order: command-line flag > environment (`DOGBREED_<SECTION>_<KEY>`) > file > default. The file is `--config FILE`,
the name of a recipe that comes with dogbreed (`--config finetune`), or the `dogbreed.toml` found here or in a folder
above. Every setting has the same name everywhere: `--batch-size`, `DOGBREED_TRAIN_BATCH_SIZE`, `[train] batch_size`.
An unknown key is an error, since a typo must not cost money. The comments below are the manual of the settings.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from dogbreed.errors import UsageError

FILE_NAME = "dogbreed.toml"
ENV_PREFIX = "DOGBREED_"
# Read elsewhere, before or outside the settings.
ENV_OTHER = ("DOGBREED_CACHE_DIR",)
RECIPES = (Path(__file__).parent / "configs", Path(__file__).parent.parent / "configs")


class _Bound:
    """A limit of a number, applied by pydantic. Not from annotated_types: that is slow to import, even for nothing."""

    def __init__(self, value: float) -> None:
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


Share = Annotated[float, Ge(0), Lt(1)]


@dataclass(frozen=True, kw_only=True)
class DataSettings:
    """Where the photos are and how they are split."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # Folder of photos; empty: the drawn sample set.
    path: str = ""
    # Shares of each breed that go to the validation and test splits, where the folder has none of its own.
    valid: Share = 0.15
    test: Share = 0.15
    # Seed of the split and of the drawn sample set.
    seed: Annotated[int, Ge(0)] = 0


@dataclass(frozen=True, kw_only=True)
class TrainSettings:
    """How the model is trained."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # head: a new head on a frozen backbone, its features computed once and cached. finetune: every layer.
    method: Literal["head", "finetune"] = "head"
    # starter, or the name of a torchvision classifier such as resnet50.
    backbone: str = "starter"
    # starter, imagenet (torchvision downloads it), none (random), or a .safetensors or .pth file.
    weights: str = "starter"
    # Worker processes on this machine; machines elsewhere.
    instances: Annotated[int, Ge(1), Le(64)] = 1
    epochs: Annotated[int, Ge(1)] = 40
    # Photos per step over all workers together, so that N workers reach the weights of one.
    batch_size: Annotated[int, Ge(1)] = 64
    optimizer: Literal["sgd", "adamw"] = "adamw"
    # Highest learning rate: linear warm-up to it, then a cosine down to zero.
    lr: Annotated[float, Gt(0)] = 0.003
    weight_decay: Annotated[float, Ge(0)] = 0.01
    warmup_epochs: Annotated[float, Ge(0)] = 1.0
    label_smoothing: Share = 0.0
    # Only for finetune, from here ... Smallest share of the photo that a random crop keeps.
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
    # Weight of the answers of the untouched starting network against the labels (distillation), at a temperature.
    distill: Annotated[float, Ge(0), Le(1)] = 0.0
    distill_temperature: Annotated[float, Gt(0)] = 2.0
    # Decay per step of a running average of the weights, which then is the model; 0: none.
    average: Share = 0.0
    # Share of the starting weights mixed into the final ones (WiSE-FT). ... to here.
    blend: Share = 0.0
    # End after this many epochs without a better validation loss; 0: never.
    patience: Annotated[int, Ge(0)] = 8
    seed: Annotated[int, Ge(0)] = 0
    # bf16 is mixed precision; auto takes it where the GPU or CPU computes in it.
    precision: Literal["auto", "bf16", "fp32"] = "auto"
    # Start a failed worker again from the last checkpoint this many times.
    max_restarts: Annotated[int, Ge(0)] = 2


@dataclass(frozen=True, kw_only=True)
class PredictSettings:
    """How predictions are made."""

    __pydantic_config__: ClassVar[dict[str, Any]] = {"extra": "forbid"}

    # A Run's folder or name, or latest; empty: the newest Run here, else the bundled starter model.
    run: str = ""
    top_k: Annotated[int, Ge(1)] = 5
    # Whether photo addresses may lead into private networks.
    allow_private: bool = False


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Every setting, and in `sources` where each value that is not a default came from."""

    data: DataSettings = field(default_factory=DataSettings)
    train: TrainSettings = field(default_factory=TrainSettings)
    predict: PredictSettings = field(default_factory=PredictSettings)
    sources: Mapping[str, str] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """The values by section, without their sources."""
        return {section: asdict(getattr(self, section)) for section in SECTIONS}


SECTIONS = {"data": DataSettings, "train": TrainSettings, "predict": PredictSettings}
KEYS = tuple(f"{section}.{item.name}" for section, kind in SECTIONS.items() for item in fields(kind))


def load(flags: Mapping[str, Any] | None = None, *, config: str | None = None, use_file: bool = True) -> Settings:
    """Merge all sources; `flags` maps "section.key" to a value, None meaning not given.

    Raises UsageError for an unknown key, a value of the wrong kind or an unreadable file.
    """
    values: dict[str, tuple[Any, str]] = {}
    path = _find(config) if use_file else None
    if path:
        values |= {key: (value, str(path)) for key, value in _read(path).items()}
    values |= {key: (os.environ[name], name) for key, name in _environment().items()}
    values |= {key: (value, _flag(key)) for key, value in (flags or {}).items() if value is not None}
    if not values:
        return Settings()
    return _check(values)


def _flag(key: str) -> str:
    return "--" + key.split(".")[1].replace("_", "-")


def _find(config: str | None) -> Path | None:
    if config is None:
        here = Path.cwd()
        return next((folder / FILE_NAME for folder in (here, *here.parents) if (folder / FILE_NAME).is_file()), None)
    candidates = [Path(config), *(folder / f"{config}.toml" for folder in RECIPES)]
    found = next((path for path in candidates if path.is_file()), None)
    if found is None:
        known = sorted({path.stem for folder in RECIPES if folder.is_dir() for path in folder.glob("*.toml")})
        raise UsageError(f"no settings file {config}", f"give a file, or one of the recipes: {', '.join(known)}")
    return found


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        tree = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise UsageError(f"{path}: {error}") from error
    flat: dict[str, Any] = {}
    for section, content in tree.items():
        if not isinstance(content, dict):
            raise UsageError(f"{path}: {section} stands outside a section", f"sections: {', '.join(SECTIONS)}")
        flat |= {f"{section}.{key}": value for key, value in content.items()}
    for key in flat:
        if key not in KEYS:
            section, name = key.split(".")
            raise UsageError(f"{path}: unknown setting [{section}] {name}", _closest(key, KEYS))
    return flat


def _environment() -> dict[str, str]:
    """The settings that the environment gives, as key -> variable."""
    names = {ENV_PREFIX + key.upper().replace(".", "_"): key for key in KEYS}
    given = {}
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and name not in ENV_OTHER:
            if name not in names:
                raise UsageError(f"unknown setting {name} in the environment", _closest(name, names))
            given[names[name]] = name
    return given


def _check(values: Mapping[str, tuple[Any, str]]) -> Settings:
    # Imported only when there is something to check: `dogbreed predict photo.jpg` should not wait for it.
    from pydantic import TypeAdapter, ValidationError

    tree: dict[str, dict[str, Any]] = {section: {} for section in SECTIONS}
    for key, (value, _) in values.items():
        section, name = key.split(".")
        tree[section][name] = value
    checked: dict[str, Any] = {}
    for section, kind in SECTIONS.items():
        try:
            checked[section] = TypeAdapter(kind).validate_python(tree[section])
        except ValidationError as error:
            first = error.errors()[0]
            key = f"{section}.{first['loc'][0]}"
            value, source = values[key]
            raise UsageError(f"{source} = {value!r}: {first['msg']}", f"this is the setting {key}") from error
    return Settings(**checked, sources={key: source for key, (_, source) in values.items()})


def _closest(name: str, known: Any) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
