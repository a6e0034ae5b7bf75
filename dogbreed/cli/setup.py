"""`dogbreed config`: every setting and its source. `dogbreed doctor`: is everything here that is needed?"""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli.options import Config, NoConfig
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.doctor import Check


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.command("config", rich_help_panel="Setup")(show_config)
    app.command(rich_help_panel="Setup")(doctor)


def show_config(
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Show every setting, its value and where that came from.

    Examples: dogbreed config; dogbreed config --config finetune
    """
    from dogbreed import config as settings

    loaded = settings.load(config=config, use_file=not no_config)
    sources = {key: loaded.sources.get(key, "default") for key in settings.KEYS}
    values = {key: getattr(getattr(loaded, key.split(".")[0]), key.split(".")[1]) for key in settings.KEYS}
    if ui.json:
        tree: dict[str, dict[str, Any]] = {section: {} for section in settings.SECTIONS}
        for key, value in values.items():
            section, name = key.split(".")
            tree[section][name] = {"value": value, "source": sources[key], "variable": settings.variable(key)}
        ui.answer(tree)
        return
    ui.table(("setting", "value", "from"), [(key, _written(value), sources[key]) for key, value in values.items()])
    ui.note(f"recipes for --config: {', '.join(sorted(settings.recipes()))}")


def doctor(
    deep: Annotated[bool, typer.Option("--deep", help="Import torch and torchvision and compute with them.")] = False,
) -> None:
    """Check this installation: Python, packages, settings, folders, the starter model.

    Exit code 3 when something is wrong; what is optional and not installed is not wrong.

    Example: dogbreed doctor --deep
    """
    from dogbreed import doctor as core
    from dogbreed.errors import EXIT_FOUND

    found = list(core.checks())
    if deep:
        found.append(_compute())
    wrong = [check for check in found if check.state == "wrong"]
    if ui.json:
        ui.answer({"ok": not wrong, "checks": [check.to_json() for check in found]})
    else:
        ui.table(("check", "state", "found"), [(check.name, check.state, check.found) for check in found])
    for check in wrong:
        ui.note(f"{check.name}: {check.found}\nhint: {check.hint}")
    if wrong:
        raise typer.Exit(EXIT_FOUND)
    ui.note("all is well" if deep else "all is well; --deep tries torch, too")


def _written(value: object) -> str:
    """As it would stand in a settings file."""
    return str(value).lower() if isinstance(value, bool) else f'"{value}"' if isinstance(value, str) else f"{value}"


def _compute() -> Check:
    """Import torch and torchvision beside each other, and run a small network."""
    from dogbreed.doctor import Check

    mend = "pip install --force-reinstall 'dogbreed[train]'"
    try:
        import torch

        from dogbreed.train.torchvision_cpu import torchvision

        network = torchvision().models.mobilenet_v2().eval()
        with torch.inference_mode():
            shape = tuple(network(torch.zeros(1, 3, 32, 32)).shape)
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
    except ImportError as error:
        return Check("training", "wrong", f"{error}", mend)
    # Whatever else a broken installation does (a wrong driver, a missing library) is what is asked for here.
    except Exception as error:  # noqa: BLE001
        return Check("training", "wrong", f"{type(error).__name__}: {error}", mend)
    return Check("training", "ok", f"a network of torchvision gave {shape}; GPUs: {count}")
