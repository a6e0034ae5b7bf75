"""`dogbreed image`: the service as a container image, built here or in the account."""

from __future__ import annotations

from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any

import typer

from dogbreed.cli.options import Config, DryRun, NoConfig, Region, Yes
from dogbreed.cli.plans import carry_out, dollars
from dogbreed.errors import AccessError, UsageError
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.cloud.serving.image_context import Context
    from dogbreed.cloud.serving.image_local import Engine
    from dogbreed.cloud.session import Aws
    from dogbreed.config import AwsSettings
    from dogbreed.plan import Plan


class _Engine(StrEnum):
    AUTO = "auto"
    DOCKER = "docker"
    PODMAN = "podman"
    BUILDAH = "buildah"
    CODEBUILD = "codebuild"


_Base = Annotated[str | None, typer.Option(help="Image to build on; default: the pinned official one of Python 3.12.")]
_Run = Annotated[str | None, typer.Option(help="A run to put into the image; default: it gets its model when it runs.")]
_By = Annotated[_Engine, typer.Option(help="What builds; auto: docker or podman if one runs, else CodeBuild.")]
_Tag = Annotated[str | None, typer.Option(help="One more name for the image here, such as dogbreed:test.")]
_NO_BUILDER = "start docker or podman, or log in to AWS to build there: aws sso login (or set AWS_PROFILE)"
_NO_BUILDER += '; to try it without either: eval "$(dogbreed rehearse up)"'


def add(app: typer.Typer) -> None:
    """Register the commands."""
    words = "The service as a container image, for SageMaker, EC2 and Lambda."
    group = typer.Typer(help=words, no_args_is_help=True)
    group.command()(build)
    group.command()(push)
    app.add_typer(group, name="image", rich_help_panel="Ship", help=words)


def build(
    run: _Run = None,
    base: _Base = None,
    engine: _By = _Engine.AUTO,
    tag: _Tag = None,
    region: Region = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Build the image of the service: here, or without Docker in your account, where it is pushed as well.

    Its tag is a digest of what it is built from, so that the same again has nothing to do.

    Example: dogbreed image build
    """
    settings, built, by = _begin(run, base, engine, tag, region, config, no_config)
    if by is None:
        _in_account(settings, built, yes=yes, dry_run=dry_run)
        return
    from dogbreed import plan as planning
    from dogbreed.cloud.serving.image_local import LocalImage

    image = LocalImage(by, built, _tell, also=tag or "")
    plan = planning.make([image])
    done = _here(plan, by, yes=yes, dry_run=dry_run)
    name = tag or image.name
    if ui.json:
        ui.answer(plan.to_json() | {"image": name, "tag": built.tag, "engine": by.name, "changed": done})
    elif not dry_run and (done or not plan.changes):
        ui.line(name)
        ui.note(f"next: {_run_line(by, name, inside=bool(run))}, or dogbreed image push")


def push(
    run: _Run = None,
    base: _Base = None,
    engine: _By = _Engine.AUTO,
    region: Region = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Put the image into the account's repository, which is made if need be: encrypted, scanned, with fixed tags.

    An image that is not here yet is built first. Deploying does all this by itself.

    Example: dogbreed image push
    """
    settings, built, by = _begin(run, base, engine, None, region, config, no_config)
    _in_account(settings, built, yes=yes, dry_run=dry_run, by=by)


def _begin(
    run: str | None,
    base: str | None,
    engine: _Engine,
    tag: str | None,
    region: str | None,
    config: str | None,
    no: bool,
) -> tuple[AwsSettings, Context, Engine | None]:
    """The settings, what to build from, and by what; None for CodeBuild."""
    from dogbreed import config as settings_module
    from dogbreed.cloud.serving.image_context import context
    from dogbreed.cloud.serving.image_local import choose
    from dogbreed.cloud.session import Aws
    from dogbreed.run import find

    settings = settings_module.load({"aws.region": region}, config=config, use_file=not no).aws
    built = context(base or "", find(run) if run else None)
    by = choose(engine.value, rehearsal=bool(Aws(settings).rehearsal))
    if tag and by is None:
        raise UsageError("--tag names an image on this machine", "leave it out, or build here: --engine docker")
    return settings, built, by


def _in_account(settings: AwsSettings, built: Context, *, yes: bool, dry_run: bool, by: Engine | None = None) -> None:
    from dogbreed import plan as planning
    from dogbreed.cloud.serving import image, image_build

    aws = _account(settings)
    plan = planning.make(_wanted(aws, built, by))
    builds = by is None and any(step.resource.kind == "image" for step in plan.changes)
    if builds:
        plan = planning.Plan(plan.steps, image_build.ceiling(aws.region))
        _note_price(aws)
    try:
        done = carry_out(plan, aws, yes=yes, dry_run=dry_run)
    except KeyboardInterrupt:
        if builds:
            words = f"a build that has begun goes on in the account, for {image_build.MINUTES} minutes at most"
            ui.note(f"{words}: the same command follows it, dogbreed destroy ends it")
        raise
    uri = image.uri(aws, built)
    if ui.json:
        engine = by.name if by else "codebuild"
        ui.answer(plan.to_json() | {"image": uri, "tag": built.tag, "engine": engine, "changed": done})
    elif not dry_run and (done or not plan.changes):
        ui.line(uri)
        ui.note("next: dogbreed deploy --to endpoint (it takes this image by itself)")


def _wanted(aws: Aws, built: Context, by: Engine | None) -> list[Any]:
    """What it takes that the image is in the account: built there, or here and pushed."""
    from dogbreed.cloud.bucket import Bucket
    from dogbreed.cloud.serving import image
    from dogbreed.cloud.serving.image_local import LocalImage, PushedImage
    from dogbreed.cloud.serving.image_repository import Repository

    if by is None:
        found = image.resources(aws, built, _tell)
        return found if len(found) == 2 else [Bucket(aws), *found]
    if aws.rehearsal:
        words = "the stand-in cloud does not speak Docker's protocol"
        raise UsageError(words, "build there: --engine codebuild")
    local, repository = LocalImage(by, built, _tell), Repository(aws)
    pushed = PushedImage(aws, repository, built, _tell).push_from(local)
    return [repository, pushed] if pushed.find() else [repository, local, pushed]


def _account(settings: AwsSettings) -> Aws:
    """The account; where there is none, what else would do."""
    from botocore.exceptions import NoCredentialsError

    from dogbreed.cloud.session import Aws

    aws = Aws(settings)
    try:
        aws.account  # noqa: B018  (asked for now, so that it is known before anything is planned)
    except NoCredentialsError:
        raise AccessError(
            "there is neither docker nor podman here, nor an AWS account to build in", _NO_BUILDER
        ) from None
    return aws


def _here(plan: Plan, by: Engine, *, yes: bool, dry_run: bool) -> bool:
    """Show, ask and build on this machine; whether it was."""
    ui.note(f"plan for this machine, by {by.name}")
    for step in plan.steps:
        ui.note(f"  {step.sign} {step.resource.kind} {step.resource.name}")
    if dry_run or not plan.changes:
        ui.note("dry run: nothing was changed" if dry_run else "nothing to change")
        return False
    if not ui.confirm("build it?", yes=yes):
        ui.note("nothing was changed")
        return False
    for _ in plan.apply():
        pass
    return True


def _tell(line: str) -> None:
    ui.note(f"  | {line}")


def _note_price(aws: Aws) -> None:
    from dogbreed.cloud.serving import image_build

    if figure := image_build.price(aws.region):
        where = "" if figure.region == aws.region else f" in {figure.region} (here it is not known)"
        ui.note(f"a build takes {image_build.MINUTES} minutes at most; one costs {dollars(figure.usd)}{where}")


def _run_line(by: Engine, name: str, *, inside: bool) -> str:
    """How to run the image here."""
    model = "" if inside else ' -v "$PWD/runs/NAME:/opt/ml/model:ro"'
    program = "podman" if by.name == "buildah" else by.name
    return f"{program} run --rm --read-only --cap-drop ALL -p 8080:8080{model} {name}"
