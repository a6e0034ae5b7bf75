"""`dogbreed iam`: the exact policies that dogbreed needs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from dogbreed.cli.options import Config, DryRun, NoConfig, Region, Yes
from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.cloud.policy_parts import Scope
    from dogbreed.config import Settings

_ACCOUNT, _REGION = "<ACCOUNT>", "<REGION>"


def add(app: typer.Typer) -> None:
    """Register the commands."""
    group = typer.Typer(help="The policies that dogbreed needs, and no right more.", no_args_is_help=True)

    group.command()(policy)
    group.command()(setup)
    app.add_typer(group, name="iam", rich_help_panel="Guard", help="The policies that dogbreed needs, no right more.")


def policy(
    purpose: Annotated[
        str,
        typer.Option(
            "--for",
            metavar="WHAT",
            help="A command such as train-ec2 (all of them: see above), or role:KIND.",
        ),
    ],
    account: Annotated[str | None, typer.Option(help="Account number; default: that of the credentials.")] = None,
    region: Region = None,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Print the policy that a person or CI needs for a command, as JSON for IAM; nothing is made in AWS.

    WHAT is a command, such as train-ec2, deploy, loadtest, scale or status. Those that are made of several parts have
    a policy for each: deploy-endpoint, -serverless, -lambda, -ec2, front, image; destroy, destroy-services. invoke is
    to ask a service and no more, setup is for who makes the roles.
    It names your bucket, roles, key and subnets as the settings have them. Without credentials and without --account,
    <ACCOUNT> stands where the number belongs. role:sagemaker-training and the like print what a role of a job holds.

    Example: dogbreed iam policy --for train-sagemaker > policy.json
    """
    from dogbreed import config as settings_module
    from dogbreed.cloud import people, people_commands, policies
    from dogbreed.errors import UsageError

    settings = settings_module.load({"aws.region": region}, config=config, use_file=not no_config)
    door = settings.deploy.to if settings.deploy.to != "auto" else "endpoint"
    kinds = {f"role:{kind}": role.policy for kind, role in policies.KINDS.items()}
    makers = {**people_commands.POLICIES, **kinds}
    name = purpose if purpose in kinds else people_commands.policy_of(purpose, door)
    if name is None:
        raise UsageError(f"there is no policy for {purpose}", f"one of: {', '.join(makers)}")
    if not name:
        raise UsageError(f"{purpose} asks no account, so it needs no policy", "see dogbreed iam policy --help")
    scope = _scope(settings, account)
    ui.answer(makers[name](scope))
    if not ui.json:
        for said in (*people_commands.notes(purpose, door), *people.notes(name, scope)):
            ui.note(said)
        missing = [word for word in (_ACCOUNT, _REGION) if word in (scope.account, scope.region)]
        if missing:
            options = " and ".join(f"--{word.strip('<>').lower()}" for word in missing)
            ui.note(f"put your own for {' and '.join(missing)}, or give {options}")


def setup(
    region: Region = None,
    yes: Yes = False,
    dry_run: DryRun = False,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Make the roles that jobs, machines and services run with, so that who trains or deploys need not make any.

    For an administrator, once for each project and region. It costs nothing; dogbreed destroy removes the roles.

    Example: dogbreed iam setup
    """
    from dogbreed import config as settings_module
    from dogbreed import plan as planning
    from dogbreed.cli.plans import carry_out
    from dogbreed.cloud.policies import EC2_TRAINING, KINDS, SAGEMAKER_TRAINING
    from dogbreed.cloud.policies_serving import EC2_SERVICE, ENDPOINT
    from dogbreed.cloud.roles import InstanceProfile, Role
    from dogbreed.cloud.session import Aws

    settings = settings_module.load({"aws.region": region}, config=config, use_file=not no_config)
    aws = Aws(settings.aws)
    images = {SAGEMAKER_TRAINING: settings.sagemaker.image, ENDPOINT: settings.deploy.image}
    images[EC2_SERVICE] = settings.deploy.image
    kinds = [kind for kind in KINDS if not (kind == SAGEMAKER_TRAINING and settings.sagemaker.role)]
    roles = [Role(aws, kind, image=images.get(kind, "")) for kind in kinds]
    profiles = [InstanceProfile(aws, role) for role in roles if role.of in (EC2_TRAINING, EC2_SERVICE)]
    plan = planning.make([*roles, *profiles])
    carry_out(plan, aws, yes=yes, dry_run=dry_run, question="make these roles?")
    if ui.json:
        ui.answer(plan.to_json())


def _scope(settings: Settings, account: str | None) -> Scope:
    """Of the account that is told, else of the credentials, else placeholders."""
    from botocore.exceptions import BotoCoreError, ClientError

    from dogbreed.cloud.policy_parts import Scope
    from dogbreed.cloud.session import Aws, listed
    from dogbreed.errors import UsageError

    own, image, role = settings.aws, settings.sagemaker.image, settings.sagemaker.role
    aws = Aws(own)
    region = aws.configured_region or _REGION
    if account is None:
        try:
            return Scope.of(aws, image=image, role=role)
        except (BotoCoreError, ClientError, UsageError):
            account = _ACCOUNT
    elif not (account.isascii() and account.isdigit() and len(account) == 12):
        raise UsageError(f"{account} is no account number", "it has twelve digits")
    key = own.kms_key
    return Scope(
        account=account,
        region=region,
        project=own.project,
        bucket=own.bucket or f"{own.project}-{account}-{region}",
        partition=aws.partition_of(region),
        kms_key=key if not key or key.startswith("arn:") else f"arn:aws:kms:{region}:{account}:key/<KEY>",
        subnets=tuple(listed(own.subnets)),
        security_groups=tuple(listed(own.security_groups)),
        boundary=own.permissions_boundary,
        image=image,
        role=role,
    )
