"""Settings: every value typed, frozen and with its source.

Order: command-line flag > environment (`DOGBREED_<SECTION>_<KEY>`) > file > default. The file is `--config FILE`,
the name of a recipe that comes with dogbreed (`--config finetune`), or the `dogbreed.toml` found here or in a folder
above. Every setting has the same name everywhere: `--batch-size`, `DOGBREED_TRAIN_BATCH_SIZE`, `[train] batch_size`.
An unknown key is an error, since a typo must not cost money. `dogbreed.settings` has the settings themselves.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from dogbreed.errors import UsageError
from dogbreed.settings import (
    KEYS,
    SECTIONS,
    AwsSettings,
    DataSettings,
    DeploySettings,
    Ec2Settings,
    PredictSettings,
    SagemakerSettings,
    ServeSettings,
    Settings,
    TrainSettings,
)

__all__ = [
    "KEYS",
    "SECTIONS",
    "AwsSettings",
    "DataSettings",
    "DeploySettings",
    "Ec2Settings",
    "PredictSettings",
    "SagemakerSettings",
    "ServeSettings",
    "Settings",
    "TrainSettings",
    "load",
    "recipes",
    "variable",
]

FILE_NAME = "dogbreed.toml"
ENV_PREFIX = "DOGBREED_"
# Read elsewhere, before or outside the settings.
ENV_OTHER = ("DOGBREED_CACHE_DIR",)
RECIPES = (Path(__file__).parent / "configs", Path(__file__).parent.parent / "configs")

# Of the settings that have a form: what it is.
_FORMS = {
    "deploy.ttl": "no time; such as 8h, 90m or 2d",
    "aws.project": "no name for a project; 3 to 20 of a-z, 0-9 and -, first a letter, last no -",
}
# By pydantic's names of what is wrong with a number.
_BOUNDS = {
    "greater_than": "must be more than {gt}",
    "greater_than_equal": "must be {ge} or more",
    "less_than": "must be less than {lt}",
    "less_than_equal": "must be {le} or less",
}


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


def recipes() -> dict[str, Path]:
    """The settings files that come with dogbreed, by name."""
    return {path.stem: path for folder in RECIPES if folder.is_dir() for path in sorted(folder.glob("*.toml"))}


def variable(key: str) -> str:
    """The environment variable of a setting."""
    return ENV_PREFIX + key.upper().replace(".", "_")


def _flag(key: str) -> str:
    return "DATA" if key == "data.path" else "--" + key.split(".")[1].replace("_", "-")


def _find(config: str | None) -> Path | None:
    if config is None:
        try:
            here = Path.cwd()
        except FileNotFoundError:
            raise UsageError("the folder that this shell is in is gone", "change to another one") from None
        # os.path, since Path.is_file raises where a folder may not be entered.
        return next((file for folder in (here, *here.parents) if os.path.isfile(file := folder / FILE_NAME)), None)  # noqa: PTH113
    if os.path.isfile(config):  # noqa: PTH113
        return Path(config)
    known = recipes()
    if config not in known:
        raise UsageError(f"no settings file {config}", f"give a file, or a recipe: {', '.join(sorted(known))}")
    return known[config]


def _read(path: Path) -> dict[str, Any]:
    import tomllib

    try:
        # -sig, since some editors begin a file with a byte order mark.
        tree = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise UsageError(f"{path}: {error.strerror}", "leave it out with --no-config, or mend it") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        hint = "settings look like this: [train] on a line, and below it lr = 0.01"
        raise UsageError(f"{path} is no TOML: {error}", hint) from error
    flat: dict[str, Any] = {}
    for section, content in tree.items():
        if not isinstance(content, dict):
            at_home = [f"[{key.split('.')[0]}]" for key in KEYS if key.endswith(f".{section}")]
            where = " or ".join(at_home) or ", ".join(f"[{name}]" for name in SECTIONS)
            raise UsageError(f"{path}: {section} stands outside a section", f"write it below {where}")
        if section not in SECTIONS:
            raise UsageError(f"{path}: unknown section [{section}]", _closest(section, SECTIONS))
        flat |= {f"{section}.{key}": value for key, value in content.items()}
    for key, value in flat.items():
        section, name = key.split(".", 1)
        if key not in KEYS:
            raise UsageError(f"{path}: unknown setting [{section}] {name}", _closest(key, KEYS))
        # pydantic would take true for the number 1.
        if isinstance(value, bool) and not isinstance(getattr(SECTIONS[section], name), bool):
            raise UsageError(f"{path}: [{section}] {name} is {str(value).lower()}", "this setting is no yes or no")
    if flat.get("data.path"):
        # The file may stand in a folder above this one.
        flat["data.path"] = _beside(path, flat["data.path"])
    return flat


def _beside(file: Path, value: Any) -> Any:
    """A folder that `file` names, seen from here."""
    if not isinstance(value, str) or value.startswith("~") or file.parent == Path.cwd():
        return value
    return str(file.parent / value)


def _environment() -> dict[str, str]:
    """The settings that the environment gives, as key -> variable."""
    names = {variable(key): key for key in KEYS}
    given = {}
    for name in os.environ:
        if name.startswith(ENV_PREFIX) and name not in ENV_OTHER:
            if name not in names:
                raise UsageError(f"unknown setting {name} in the environment", _closest(name, [*names, *ENV_OTHER]))
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
            name = str(first["loc"][0])
            raise _wrong(section, name, values, _plain(f"{section}.{name}", first)) from error
    return Settings(**checked, sources={key: source for key, (_, source) in values.items()})


def _wrong(section: str, name: str, values: Mapping[str, tuple[Any, str]], why: str) -> UsageError:
    """A value that its setting cannot have, written as the user wrote it."""
    key = f"{section}.{name}"
    value, source = values[key]
    given = f"{source}={value}" if source == variable(key) else f"{source} {value}"
    if source not in (variable(key), _flag(key)):
        given = f"{source}: [{section}] {name} = {value!r}"
    return UsageError(f"{given}: {why[:1].lower()}{why[1:]}", f"this is the setting {key}; see dogbreed config")


def _plain(key: str, error: Mapping[str, Any]) -> str:
    """What pydantic says of a value, in words for people."""
    kind, bounds = error["type"], error.get("ctx", {})
    if kind == "string_pattern_mismatch" and key in _FORMS:
        return _FORMS[key]
    return _BOUNDS[kind].format(**bounds) if kind in _BOUNDS else str(error["msg"])


def _closest(name: str, known: Iterable[str]) -> str:
    import difflib

    close = difflib.get_close_matches(name, list(known), n=1)
    return f"did you mean {close[0]}?" if close else f"known: {', '.join(known)}"
