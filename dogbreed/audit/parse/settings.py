"""dogbreed's own settings -> the calls that they would make, as far as they decide what the checks look at."""

from __future__ import annotations

import re
import tomllib
from typing import Any

from dogbreed.audit.finding import BrokenInput, Location
from dogbreed.audit.model import HOLE, Corpus, Resource
from dogbreed.audit.parse.assemble import assemble
from dogbreed.audit.parse.placed import At, Obj, Placed
from dogbreed.audit.source import Fixed

_PLACE = re.compile(r"at line (\d+), column (\d+)")
_KEY = re.compile(r"\s*(?:\[\s*([\w.]+)\s*\]|([\w-]+)\s*=)")


def read_settings(text: str, shown: str) -> Corpus:
    """A training job as `dogbreed train-sagemaker` starts it; only settings that the file itself has are judged."""
    try:
        settings = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        match = _PLACE.search(str(error))
        place = Location(shown, *map(int, match.groups())) if match else Location(shown)
        return Corpus(errors=[BrokenInput(place, f"is not valid TOML: {str(error).partition(' (at')[0].lower()}")])
    places = _places(text)
    sagemaker, aws = _section(settings, "sagemaker"), _section(settings, "aws")
    resources = []
    if sagemaker:
        resources.append(_training_job(sagemaker, aws, places, shown))
    corpus = assemble(resources)
    corpus.files.append(shown)
    return corpus


def _training_job(sagemaker: dict[str, Any], aws: dict[str, Any], places: dict[str, At], shown: str) -> Resource:
    """What the settings make of a job; a setting that is not there has dogbreed's default, which is the safe one."""
    job = Obj()
    job.put(
        "EnableNetworkIsolation", sagemaker.get("network_isolation", True), places.get("sagemaker.network_isolation")
    )
    encrypt = {"no": False, "yes": True}.get(str(sagemaker.get("encrypt_traffic", "auto")), True)
    job.put("EnableInterContainerTrafficEncryption", encrypt, places.get("sagemaker.encrypt_traffic"))
    if not encrypt:
        # How many machines there are is said when the job is started; the setting is for several.
        config = {"InstanceCount": 2, "VolumeKmsKeyId": HOLE}
        job.put("ResourceConfig", config, places.get("sagemaker.encrypt_traffic"))
    if image := sagemaker.get("image"):
        job.put(
            "AlgorithmSpecification",
            Obj([("TrainingImage", image)], {"TrainingImage": places.get("sagemaker.image")}),
            None,
        )
    if "kms_key" in aws and aws["kms_key"] == "":
        job.put("OutputDataConfig", {}, places.get("aws.kms_key"))
    job.put("__partial__", True, None)
    start = places.get("sagemaker", At((1, 1)))
    return Resource(
        "AWS::SageMaker::TrainingJob", "dogbreed.toml", job, Placed(Fixed(Location(shown, *start)), job, start)
    )


def _places(text: str) -> dict[str, At]:
    """The place of each section and key, by its dotted name."""
    found: dict[str, At] = {}
    section = ""
    for number, line in enumerate(text.splitlines(), 1):
        if match := _KEY.match(line):
            if match[1]:
                section = match[1]
                found[section] = At((number, 1))
            else:
                found[f"{section}.{match[2]}"] = At((number, match.start(2) + 1))
    return found


def _section(settings: dict[str, Any], name: str) -> dict[str, Any]:
    section = settings.get(name)
    return section if isinstance(section, dict) else {}
