"""One file of JSON, YAML or settings -> a corpus: what each document in it is, told by its content."""

from __future__ import annotations

import re
from pathlib import Path as FilePath
from typing import Any

from dogbreed.audit import jsontext
from dogbreed.audit.document import find_policies, kind_of_key
from dogbreed.audit.finding import BrokenInput, Location
from dogbreed.audit.model import Corpus, Kind, Resource
from dogbreed.audit.parse import account, api, cloudformation, files, workflows, wrapped
from dogbreed.audit.parse.assemble import assemble
from dogbreed.audit.source import Path, Source

# Words of a file that was meant for the audit, so that it is an error when it is broken.
_MEANT = re.compile(
    r'"(?:Statement|AssumeRolePolicyDocument|RoleDetailList|UserDetailList|PolicyDocument|planned_values)"\s*:'
    r"|AWS::[A-Z]|AWSTemplateFormatVersion|eventSource"
)
# What the file's name says of a policy whose text does not: an SCP looks like an identity policy.
_KIND_IN_NAME = (
    (re.compile(r"(?<![a-z])scps?(?![a-z])|service.?control.?polic", re.IGNORECASE), Kind.SCP),
    (re.compile(r"(?<![a-z])rcps?(?![a-z])|resource.?control.?polic", re.IGNORECASE), Kind.RCP),
    (re.compile(r"boundar(?:y|ies)", re.IGNORECASE), Kind.BOUNDARY),
    (re.compile(r"permission.?sets?(?![a-z])", re.IGNORECASE), Kind.PERMISSION_SET),
)


def read_file(path: FilePath, kind: str, named: bool) -> Corpus | None:
    """What a file holds; None for one that is about something else."""
    shown = files.shown(path)
    try:
        text = jsontext.read_text(path, shown)
    except BrokenInput as error:
        return Corpus(errors=[error]) if named or kind == "settings" else None
    if kind == "settings":
        from dogbreed.audit.parse import settings

        return settings.read_settings(text, shown)
    found = read_text(text, shown, kind)
    empty = not (found.principals or found.policies or found.resources or found.undecided)
    if empty and not named and not (found.errors and _MEANT.search(text)):
        return None
    if empty and not found.errors:
        return None
    found.files.append(shown)
    return found


def read_text(text: str, shown: str, kind: str) -> Corpus:
    """The corpus of a text of JSON or YAML; what is broken in it is among the errors."""
    documents: list[tuple[Any, Source]] = []
    if kind == "yaml":
        from dogbreed.audit.parse import yamltext

        yaml_documents, errors = yamltext.parse_many(text, shown)
        documents += yaml_documents
    else:
        json_documents, errors = jsontext.parse_many(text, shown)
        documents += json_documents
    corpus = Corpus(errors=errors)
    resources: list[Resource] = []
    for value, source in documents:
        try:
            resources += _read(value, source, shown, corpus)
        except BrokenInput as error:
            corpus.errors.append(error)
        except RecursionError:
            corpus.errors.append(BrokenInput(Location(shown), "is nested too deep"))
        except Exception as error:  # noqa: BLE001 - a fault of ours in one file must not hide the others
            corpus.errors.append(BrokenInput(Location(shown), f"could not be read: {error!r}"))
    # Calls and answers in one file belong together: a bucket is set up with several.
    if resources:
        corpus.add(assemble(resources))
    return corpus


def _read(value: Any, source: Source, shown: str, corpus: Corpus, path: Path = ()) -> list[Resource]:
    """Put what a document holds into the corpus; gives back resources that are to be assembled with others."""
    if isinstance(value, list):
        return [one for at, member in enumerate(value) for one in _read(member, source, shown, corpus, (*path, at))]
    if not isinstance(value, dict):
        if path == () and isinstance(value, str):
            corpus.policies += find_policies(value, source, shown, _kind_in(shown))
        return []
    if (whole := _whole(value, source, path)) is not None:
        corpus.add(whole)
        return []
    if cloudformation.is_resource(value):
        return cloudformation.read_template({"Resources": {_called(value): value}}, _Lone(source, path, _called(value)))
    if workflows.is_workflow(value):
        return workflows.read_workflow(value, source, path)
    resources = api.read(value, source, path)
    if not resources and (principal := wrapped.read_wrapped(value, source, shown, path)):
        corpus.principals.append(principal)
    elif not resources:
        corpus.policies += find_policies(value, source, shown, _kind_in(shown), path)
    return resources


def _whole(value: dict[str, Any], source: Source, path: Path) -> Corpus | None:
    """The corpus of a document that is complete in itself: a dump, a template, a plan."""
    if account.is_account(value):
        found = account.read_account(value, source, path)
        # The control policies of the organisation, where somebody has put them beside the dump.
        for key, member in value.items():
            if (kind := kind_of_key(key)) in (Kind.SCP, Kind.RCP):
                found.policies += find_policies(member, source, source.file, kind, (*path, key))
        return found
    if cloudformation.is_template(value):
        return assemble(cloudformation.read_template(value, source, path))
    if "planned_values" in value or "resource_changes" in value or _is_state(value):
        from dogbreed.audit.parse import plan

        return plan.read_plan(value, source, path)
    return None


def _is_state(value: dict[str, Any]) -> bool:
    return "terraform_version" in value and isinstance(value.get("values"), dict)


def _called(value: dict[str, Any]) -> str:
    """What to call a resource that stands alone."""
    return str(value.get("LogicalId") or value["Type"].rsplit(":", 1)[1])


class _Lone:
    """The source of a resource that stands alone, seen as if it stood in a template."""

    def __init__(self, source: Source, path: Path, id: str) -> None:
        self.file = source.file
        self._source = source
        self._path = path
        self._length = len(("Resources", id))

    def locate(self, path: Path) -> Location:
        """The place of a value by its path in the template."""
        return self._source.locate((*self._path, *path[self._length :]))


def _kind_in(shown: str) -> Kind | None:
    name = "/".join(shown.split("/")[-2:])
    return next((kind for pattern, kind in _KIND_IN_NAME if pattern.search(name)), None)
