"""`dogbreed deploy` and `dogbreed rollback`: a Run as a service in the account, changed and changed back."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from dogbreed.cli.options import Config, DryRun, NoConfig, Region, Yes
from dogbreed.cli.plans import carry_out, dollars, lines
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.cloud.serving.choosing import Option
    from dogbreed.cloud.serving.deploying import Trial
    from dogbreed.cloud.serving.deployment import Deployment
    from dogbreed.cloud.session import Aws
    from dogbreed.config import Settings
    from dogbreed.plan import Plan

_ENDPOINT, _FUNCTION, _MACHINES, _UPDATE = "SageMaker", "Functions", "EC2", "Updates"
# What a door alone heeds.
_ONLY = {
    **dict.fromkeys(("instance_type", "instances"), ("endpoint", "ec2")),
    **dict.fromkeys(("strategy", "bake_minutes"), ("endpoint",)),
    "memory_mb": ("serverless", "lambda"),
    "max_concurrency": ("serverless",),
    **dict.fromkeys(("single", "certificate", "public"), ("ec2",)),
}
To = Literal["endpoint", "serverless", "lambda", "ec2", "auto"]
Strategy = Literal["all-at-once", "canary", "linear", "rolling"]


def add(app: typer.Typer) -> None:
    """Register the commands."""
    app.command(rich_help_panel="Ship")(deploy)
    app.command(rich_help_panel="Ship")(rollback)


def _of(panel: str, help: str, *names: str, **more: Any) -> Any:
    return typer.Option(*names, help=help, rich_help_panel=panel, **more)


def deploy(
    to: Annotated[To | None, typer.Option(help="Where it runs; auto: the cheapest for --traffic.")] = None,
    run: Annotated[str | None, typer.Option(help="A run's folder or name, latest, starter; as for predict.")] = None,
    traffic: Annotated[str | None, typer.Option(help="What is expected: 200/day, 600/min, 5/s.")] = None,
    ttl: Annotated[str | None, typer.Option(help="It ends itself after this time: 8h, 90m, 2d.")] = None,
    instance_type: Annotated[str | None, _of(_ENDPOINT, "ml.* for an endpoint, or EC2's; auto chooses.")] = None,
    instances: Annotated[int | None, _of(_ENDPOINT, "How many to begin with; scaling changes it later.")] = None,
    component: Annotated[
        bool, _of(_ENDPOINT, "As an inference component, which scale --to-zero takes.", "--component")
    ] = False,
    memory_mb: Annotated[int | None, _of(_ENDPOINT, "For serverless and lambda; not given: chosen.")] = None,
    max_concurrency: Annotated[
        int | None, _of(_ENDPOINT, "Requests that a serverless endpoint answers at once.")
    ] = None,
    shadow: Annotated[str | None, _of(_UPDATE, "A run that is asked the same, unseen; left out it goes.")] = None,
    strategy: Annotated[Strategy | None, _of(_UPDATE, "How a new model takes over on an endpoint.")] = None,
    bake_minutes: Annotated[float | None, _of(_UPDATE, "Minutes without an alarm before the next step.")] = None,
    front: Annotated[
        bool | None, _of(_FUNCTION, "A function in front of the endpoint.", "--front/--no-front", show_default=False)
    ] = None,
    function_url: Annotated[Literal["iam", "none"] | None, _of(_FUNCTION, "An address for it, or none.")] = None,
    reserved_concurrency: Annotated[
        int | None, _of(_FUNCTION, "At most, and at least, so many at once; 0: none is reserved.")
    ] = None,
    provisioned_concurrency: Annotated[int | None, _of(_FUNCTION, "So many are kept started, by the hour.")] = None,
    single: Annotated[bool, _of(_MACHINES, "One machine without a load balancer.", "--single")] = False,
    certificate: Annotated[str | None, _of(_MACHINES, "ARN of a certificate for the load balancer.")] = None,
    public: Annotated[bool, _of(_MACHINES, "A public address; needs a certificate.", "--public")] = False,
    image: Annotated[str | None, typer.Option(help="A container image of your own.")] = None,
    region: Region = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Make a run answer photos in the account: plan with its price, yes, one real prediction, how to call it.

    The same command again changes nothing; with another run it changes the model, watched by alarms that take it back.

    Example: dogbreed deploy --to serverless --run starter
    """
    from dogbreed import config as settings_module

    flags = {
        "predict.run": run,
        "aws.region": region,
        "deploy.to": to,
        "deploy.ttl": ttl,
        "deploy.instance_type": instance_type,
        "deploy.instances": instances,
        "deploy.component": component or None,
        "deploy.memory_mb": memory_mb,
        "deploy.max_concurrency": max_concurrency,
        "deploy.strategy": strategy,
        "deploy.bake_minutes": bake_minutes,
        "deploy.front": front,
        "deploy.function_url": function_url,
        "deploy.reserved_concurrency": reserved_concurrency,
        "deploy.provisioned_concurrency": provisioned_concurrency,
        "deploy.single": single or None,
        "deploy.certificate": certificate,
        "deploy.public": public or None,
        "deploy.image": image,
    }
    settings = settings_module.load(flags, config=config, use_file=not no_config)
    if settings.deploy.component and strategy == "canary":
        from dogbreed.errors import UsageError

        raise UsageError("an inference component is changed batch by batch, not canary", "use --strategy rolling")
    _deploy(settings, traffic, shadow, yes=yes, dry_run=dry_run)


def rollback(
    to: Annotated[
        Literal["endpoint", "serverless", "lambda", "ec2"] | None,
        typer.Option(help="What goes back; default: the only one that is deployed."),
    ] = None,
    region: Region = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Answer with the model that was there before the last deploy; once more, and it is the newer again.

    All traffic moves at once. Machines keep no model before: deploy the older run again.

    Example: dogbreed rollback
    """
    from dogbreed import config as settings_module
    from dogbreed.cloud.serving import rolling_back
    from dogbreed.cloud.session import Aws

    flags = {"aws.region": region, "deploy.to": to}
    settings = settings_module.load(flags, config=config, use_file=not no_config)
    aws = Aws(settings.aws)
    aws.account  # noqa: B018 - without access nothing else is worth doing
    # That of a file counts, and no default.
    named = settings.deploy.to if "deploy.to" in settings.sources and settings.deploy.to != "auto" else ""
    plan = rolling_back.plan(aws, named, tell=ui.note)
    done = carry_out(plan, aws, yes=yes, dry_run=dry_run, question="answer with the model before?")
    if ui.json:
        ui.answer(plan.to_json())
    if done:
        ui.note("the model before answers again; dogbreed rollback changes back")


def _deploy(settings: Settings, traffic: str | None, shadow: str | None, *, yes: bool, dry_run: bool) -> None:
    from dogbreed.cloud.serving import deploying, deployment
    from dogbreed.cloud.serving.deployment import Deployment
    from dogbreed.cloud.session import Aws
    from dogbreed.run import find

    aws = Aws(settings.aws)
    challenger = find(shadow) if shadow else None
    detail = ui.note if ui.verbose else lambda line: None
    wanted = Deployment(aws, settings.deploy, find(settings.predict.run), challenger, tell=ui.note, detail=detail)
    options: list[Option] = []
    if settings.deploy.to == "auto" or traffic:
        options = _options(wanted, traffic)
        wanted = wanted.through(options[0].to, options[0].instances)
    else:
        _refuse_unheard(settings)
    deploying.check(wanted.settings, settings.aws, shadow=shadow is not None)
    if options and dry_run and not _has_access(aws):
        ui.note("no access to an account, so no plan is made")
        _answer(wanted, options, None)
        return
    aws.account  # noqa: B018 - without access nothing else is worth doing
    plan = deploying.plan(wanted)
    if wanted.run.info["data"].get("drawn"):
        ui.warn(f"run {wanted.run.name} was trained on drawings and knows no real dogs; name another by --run")
    _say_price(plan, aws.region)
    try:
        done = carry_out(plan, aws, yes=yes, dry_run=dry_run, question="deploy this?")
    except KeyboardInterrupt:
        ui.note("what was begun goes on in the account: the same command goes on from there, dogbreed status shows it")
        raise
    if not done:
        _answer(wanted, options, plan)
        return
    trial = deploying.trial(wanted)
    _answer(wanted, options, plan, trial)
    _say_trial(wanted, trial)
    if not ui.json:
        for way, text in deployment.door(wanted.settings.to).calls(aws).items():
            ui.line(f"# {way}\n{text}\n")
    ui.note("what it does and costs: dogbreed status; to end it: dogbreed destroy")


def _refuse_unheard(settings: Settings) -> None:
    """UsageError for an option that the door would not heed. In a file it may stand, for another door."""
    from dogbreed.errors import UsageError

    for name, doors in _ONLY.items():
        option, to = "--" + name.replace("_", "-"), settings.deploy.to
        if to not in doors and settings.sources.get(f"deploy.{name}") == option:
            raise UsageError(
                f"{option} is for --to {' and '.join(doors)}, not for {to}", "leave it out, or choose another --to"
            )


def _options(wanted: Deployment, traffic: str | None) -> list[Option]:
    """The doors for a traffic, the chosen one first; says what each costs. UsageError where none can be chosen."""
    from dogbreed.cloud.serving import choosing
    from dogbreed.errors import UsageError

    if not traffic:
        raise UsageError("--to auto: the cheapest for which traffic?", "add --traffic 200/day (or 600/min, 5/s)")
    if wanted.settings.to != "auto":
        raise UsageError(f"--traffic chooses a door, and --to {wanted.settings.to} has chosen", "use --to auto")
    requests = choosing.per_month(traffic)
    options = choosing.options(wanted, requests, look=_has_access(wanted.aws))
    best = choosing.best(options)
    ui.note(f"{traffic} is {requests:,.0f} requests a month:")
    for option in options:
        price = "unknown" if option.usd is None else f"{dollars(option.usd)}/month"
        price += f" in {option.region}" if option.region else ""
        words = ", ".join(part for part in (_share(option), option.waking, option.note) if part)
        ui.note(f"  {option.to:<10} {price:>15}  {words}")
    if other := next((option.region for option in options if option.region), ""):
        here = wanted.aws.configured_region or "this region"
        ui.note(f"prices are those of {other}: not all of {here} are known here; dogbreed cost --refresh reads them")
    awake = next((one for one in options if one.waking == choosing.AWAKE and one.usd is not None), None)
    asleep = "" if best.waking == choosing.AWAKE else f"; its first answer comes {best.waking}"
    other = f", while {awake.to} never sleeps for {dollars(awake.usd)}" if asleep and awake else ""
    ui.note(f"the cheapest is {best.to}{asleep}{other}")
    return options


def _share(option: Option) -> str:
    """For how many instances that is, and what of it is by the hour, as the plan shows it."""
    if option.month is None or option.usd is None or not option.month.fixed.parts:
        return ""
    from dogbreed import priced

    count = f"{option.instances} instance{'s' if option.instances > 1 else ''}, " if option.instances else ""
    return f"{count}{dollars(priced.month(option.month.fixed.hourly))} of it by the hour"


def _has_access(aws: Aws) -> bool:
    from botocore.exceptions import BotoCoreError, ClientError

    from dogbreed.errors import UsageError

    try:
        return bool(aws.account)
    except (BotoCoreError, ClientError, UsageError):
        return False


def _say_price(plan: Plan, region: str) -> None:
    from dogbreed import priced
    from dogbreed.cloud.serving import deploying

    price = deploying.price(plan)
    if price.hourly is None:
        ui.note(f"what this costs by the hour in {region} is not known here: {lines(price)}")
        ui.note("dogbreed cost --refresh reads AWS's prices of this region")
    elif price.hourly:
        ui.note(f"{dollars(price.hourly)} an hour, {dollars(priced.month(price.hourly))} a month, while this is there")
        ui.note(f"a month of it is {lines(price)}")
    else:
        ui.note("nothing of this costs by the hour; it costs by use")


def _say_trial(wanted: Deployment, trial: Trial) -> None:
    from dogbreed.errors import DogbreedError

    if not trial.same:
        there, here = ([f"{breed} {share:.4f}" for breed, share in one.top[:2]] for one in (trial.there, trial.here))
        raise DogbreedError(
            f"{wanted.name} answers {', '.join(there)} where the model here answers {', '.join(here)}",
            "it is not the same model or code: see dogbreed status, and deploy again or dogbreed rollback",
        )
    ui.note(f"{wanted.name} named a photo as the model here does, in {trial.seconds:.2f} s")


def _answer(wanted: Deployment, options: list[Option], plan: Plan | None, trial: Trial | None = None) -> None:
    """The value of --json."""
    if not ui.json:
        return
    from dogbreed import priced
    from dogbreed.cloud.serving import deploying, deployment

    told: dict[str, Any] = {"to": wanted.settings.to, "run": wanted.run.name}
    told |= {"options": [option.to_json() for option in options]} if options else {}
    if plan is not None:
        price = deploying.price(plan)
        told |= {"name": wanted.name, **plan.to_json(), **priced.told(price.hourly)}
        told |= {"price": [part.to_json() for part in price.parts]}
    if trial is not None:
        told |= {"trial": trial.to_json(), "calls": dict(deployment.door(wanted.settings.to).calls(wanted.aws))}
    ui.answer(told)
