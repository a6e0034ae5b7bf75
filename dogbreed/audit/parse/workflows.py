"""Jobs that a workflow starts: steps of a SageMaker pipeline's definition, tasks of a Step Functions machine.

Each is the same call that boto3 would make; what the workflow fills in when it runs is not known.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

from dogbreed.audit.model import HOLE, UNKNOWN, Resource
from dogbreed.audit.parse import api
from dogbreed.audit.parse.placed import Arr, Obj, Place, Placed
from dogbreed.audit.source import Path, Source

_STEPS = {"Training": "TrainingJob", "Processing": "ProcessingJob", "Transform": "TransformJob", "Model": "Model"}
_TASK = re.compile(r"arn:[^:]*:states:::(?:aws-sdk:)?sagemaker:create(\w+?)(?:\.sync(?::2)?|\.waitForTaskToken)?")
_MOST_LEVELS = 30


def is_workflow(value: Any) -> bool:
    """Whether a value is the definition of a pipeline or of a state machine."""
    if not isinstance(value, dict):
        return False
    steps = value.get("Steps")
    pipeline = isinstance(steps, list) and any(isinstance(one, dict) and one.get("Type") in _STEPS for one in steps)
    return pipeline or (isinstance(value.get("States"), dict) and isinstance(value.get("StartAt"), str))


def read_workflow(value: dict[str, Any], source: Source, path: Path = ()) -> list[Resource]:
    """The jobs and models that a definition makes."""
    made = list(_steps(value, path)) if "Steps" in value else list(_tasks(value, path, 0))
    found = []
    for kind, name, arguments, place in made:
        resource = api.make_resource(f"AWS::SageMaker::{kind}", arguments, source, path)
        resource.id = name
        resource.source = Placed(source, resource.properties, place)
        found.append(resource)
    return found


def in_resource(resource: Resource) -> list[Resource]:
    """The jobs that a pipeline or state machine of a template makes."""
    definition: Any = None
    if resource.type == "AWS::SageMaker::Pipeline":
        definition = resource.get("PipelineDefinition", "PipelineDefinitionBody")
    elif resource.type == "AWS::StepFunctions::StateMachine":
        definition = resource.get("Definition", default=resource.get("DefinitionString"))
    if isinstance(definition, str):
        try:
            definition = json.loads(definition)
        except (ValueError, RecursionError):
            return []
    if not is_workflow(definition):
        return []
    jobs = read_workflow(definition, resource.source)
    for job in jobs:
        # The text of a definition has no lines of its own.
        job.source = Placed(resource.source, Obj(), resource.location)
    return jobs


def _steps(pipeline: dict[str, Any], path: Path) -> Iterator[tuple[str, str, Obj, Place]]:
    parameters = {
        f"Parameters.{one['Name']}": one.get("DefaultValue", HOLE)
        for one in pipeline.get("Parameters") or []
        if isinstance(one, dict) and isinstance(one.get("Name"), str)
    }
    for index, step in enumerate(pipeline["Steps"]):
        kind = _STEPS.get(str(step.get("Type"))) if isinstance(step, dict) else None
        if kind is not None and isinstance(step.get("Arguments"), dict):
            where = (*path, "Steps", index, "Arguments")
            yield kind, str(step.get("Name", kind)), _filled(step["Arguments"], where, parameters, 0), where


def _filled(value: Any, path: Path, parameters: dict[str, Any], depth: int) -> Any:
    """A value of a pipeline with its parameters' defaults; what earlier steps give is not known."""
    if depth > _MOST_LEVELS:
        return UNKNOWN
    if isinstance(value, dict):
        if set(value) == {"Get"}:
            return parameters.get(str(value["Get"]), HOLE)
        if len(value) == 1 and next(iter(value)).startswith("Std:"):
            return HOLE
        made = Obj()
        for key, member in value.items():
            made.put(key, _filled(member, (*path, key), parameters, depth + 1), (*path, key))
        return made
    if isinstance(value, list):
        items = Arr()
        for index, member in enumerate(value):
            items.put(_filled(member, (*path, index), parameters, depth + 1), (*path, index))
        return items
    return value


def _tasks(machine: dict[str, Any], path: Path, depth: int) -> Iterator[tuple[str, str, Obj, Place]]:
    states = machine.get("States")
    for name, state in states.items() if isinstance(states, dict) and depth < _MOST_LEVELS else ():
        if not isinstance(state, dict):
            continue
        where = (*path, "States", name)
        match = _TASK.fullmatch(str(state.get("Resource")))
        for key in ("Parameters", "Arguments"):
            if match and isinstance(state.get(key), dict):
                yield match[1], name, _given(state[key], (*where, key), 0), (*where, key)
        for key in ("Iterator", "ItemProcessor"):
            if isinstance(state.get(key), dict):
                yield from _tasks(state[key], (*where, key), depth + 1)
        for index, branch in enumerate(state.get("Branches") or []):
            if isinstance(branch, dict):
                yield from _tasks(branch, (*where, "Branches", index), depth + 1)


def _given(value: Any, path: Path, depth: int) -> Any:
    """A value of a state machine: `X.$` and `{% ... %}` are filled in when it runs."""
    if isinstance(value, dict) and depth < _MOST_LEVELS:
        made = Obj()
        for key, member in value.items():
            if key.endswith(".$"):
                made.put(key[:-2], HOLE, (*path, key))
            else:
                made.put(key, _given(member, (*path, key), depth + 1), (*path, key))
        return made
    if isinstance(value, list) and depth < _MOST_LEVELS:
        items = Arr()
        for index, member in enumerate(value):
            items.put(_given(member, (*path, index), depth + 1), (*path, index))
        return items
    return HOLE if isinstance(value, str) and value.lstrip().startswith("{%") else value
