"""Terraform modules (the .tf files of a folder) -> a corpus, with variables, locals and module calls worked out."""

from __future__ import annotations

from pathlib import Path

from dogbreed.audit.finding import BrokenInput, Location, Undecided
from dogbreed.audit.jsontext import read_text
from dogbreed.audit.model import Corpus, Resource
from dogbreed.audit.parse import files, hclmodule, tfnames
from dogbreed.audit.parse.assemble import assemble
from dogbreed.audit.source import Fixed

# Calls of modules by modules.
DEEPEST_CALLS = 12


def read_modules(folders: dict[Path, list[Path]]) -> Corpus:
    """The corpus of root modules; a folder that another one calls is read as often as it is called, and not alone."""
    corpus = Corpus()
    loaded: dict[Path, hclmodule.Files] = {}
    for folder, paths in folders.items():
        loaded[folder.resolve()] = _load(folder, paths, corpus)
    called = {target for one in loaded.values() for target in _calls(one)}
    for folder, module in loaded.items():
        if folder in called:
            continue
        try:
            corpus.add(assemble(_resources(hclmodule.Module(module, {}, ""), dict(loaded), corpus, 0)))
        except RecursionError:
            corpus.errors.append(BrokenInput(Location(files.shown(module.folder)), "is nested too deep"))
    return corpus


def _load(folder: Path, paths: list[Path], corpus: Corpus) -> hclmodule.Files:
    """The blocks of a folder's files; what is broken in one goes to the errors."""
    module = hclmodule.Files(folder)
    for path in paths:
        shown = files.shown(path)
        try:
            module.add(read_text(path, shown), shown)
            corpus.files.append(shown)
        except BrokenInput as error:
            corpus.errors.append(error)
        except RecursionError:
            corpus.errors.append(BrokenInput(Location(shown), "is nested too deep"))
    for path in sorted([*folder.glob("terraform.tfvars"), *folder.glob("*.auto.tfvars")]):
        shown = files.shown(path)
        try:
            module.add_values(read_text(path, shown), shown)
        except (BrokenInput, RecursionError):
            corpus.errors.append(BrokenInput(Location(shown), "is not valid Terraform"))
    return module


def _calls(module: hclmodule.Files) -> list[Path]:
    """The folders that a module calls."""
    try:
        return [target for block in module.blocks if block.kind == "module" and (target := _target(module, block))]
    except RecursionError:
        return []


def _target(module: hclmodule.Files, block: hclmodule.Block) -> Path | None:
    source = block.plain("source")
    return (module.folder / source).resolve() if source.startswith(("./", "../")) else None


def _resources(
    module: hclmodule.Module, loaded: dict[Path, hclmodule.Files], corpus: Corpus, depth: int
) -> list[Resource]:
    """The resources of a module and of the modules that it calls."""
    for block in module.files.blocks:
        if block.kind == "module" and depth < DEEPEST_CALLS:
            target = _target(module.files, block)
            if target is not None and target not in loaded and target.is_dir():
                loaded[target] = _load(target, sorted([*target.glob("*.tf"), *target.glob("*.tofu")]), corpus)
            if target in loaded:
                given = module.arguments(block)
                prefix = f"{module.prefix}module.{block.labels[0]}."
                module.children[block.labels[0]] = hclmodule.Module(loaded[target], given, prefix)
            elif target is None:
                place = Location(block.file, block.line, block.column)
                name = f"{module.prefix}module.{'.'.join(block.labels)}"
                reason = "its text is elsewhere; audit the plan instead: terraform show -json"
                corpus.undecided.append(Undecided("terraform", name, place, reason))
    found: list[Resource] = []
    for block in module.files.blocks:
        if block.kind == "resource" and len(block.labels) == 2 and tfnames.type_of(block.labels[0]):
            found += _of_block(module, block, corpus)
    for child in module.children.values():
        found += _resources(child, loaded, corpus, depth + 1)
    return found


def _of_block(module: hclmodule.Module, block: hclmodule.Block, corpus: Corpus) -> list[Resource]:
    """Every instance of a resource: none with a count of 0, several with a for_each that is known."""
    tf_type, name = block.labels
    found = []
    try:
        for key, scope in module.instances(block):
            attributes = module.body(block.body, scope)
            address = f"{module.prefix}{tf_type}.{name}" + ("" if key is None else f'["{key}"]')
            place = Location(block.file, block.line, block.column)
            found.append(tfnames.to_resource(tf_type, address, attributes, Fixed(place), place))
    except RecursionError:
        corpus.errors.append(BrokenInput(Location(block.file, block.line, block.column), "refers to itself"))
    except Exception as error:  # noqa: BLE001 - a fault of ours in one block must not hide the others
        place = Location(block.file, block.line, block.column)
        corpus.errors.append(BrokenInput(place, f"could not be read: {error!r}"))
    return found
