"""`dogbreed predict`: name the breeds in photos."""

from __future__ import annotations

from typing import Annotated

import typer

from dogbreed.cli import answers, options


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Use")(predict)


def predict(
    paths: Annotated[
        list[str],
        typer.Argument(metavar="PATH...", help="Photos, folders, quoted patterns, - for stdin, http(s) addresses."),
    ],
    run: Annotated[
        str | None,
        typer.Option(help="A run's folder or name, latest, starter. Not given: the newest run here, else starter."),
    ] = None,
    top_k: Annotated[int | None, typer.Option(help="How many breeds to name, 5 when not given.")] = None,
    allow_private: Annotated[
        bool, typer.Option("--allow-private", help="Let addresses lead into private networks.")
    ] = False,
    url: Annotated[
        str | None, typer.Option(help="Ask a service at an address.", metavar="ADDRESS", rich_help_panel="Elsewhere")
    ] = None,
    endpoint: Annotated[
        str | None, typer.Option(help="Ask a SageMaker endpoint.", metavar="NAME", rich_help_panel="Elsewhere")
    ] = None,
    function: Annotated[
        str | None, typer.Option(help="Ask a Lambda function.", metavar="NAME", rich_help_panel="Elsewhere")
    ] = None,
    region: Annotated[
        str | None, typer.Option(help="AWS region; default: that of the profile.", rich_help_panel="Elsewhere")
    ] = None,
    json: options.Json = False,
    csv: Annotated[bool, typer.Option("--csv", help="CSV with a header.", rich_help_panel="Output")] = False,
    config: options.Config = None,
    no_config: options.NoConfig = False,
) -> int:
    """Name the breed in each photo, with a confidence and the next best guesses.

    dogbreed predict photo.jpg

    dogbreed predict holiday/ https://example.org/dog.jpg --json

    dogbreed predict photo.jpg --endpoint dogbreed-endpoint
    """
    return answers.predict(
        paths,
        run,
        top_k,
        allow_private=allow_private,
        json=json,
        csv=csv,
        elsewhere={"url": url, "endpoint": endpoint, "function": function},
        region=region,
        config=config,
        use_file=not no_config,
    )
