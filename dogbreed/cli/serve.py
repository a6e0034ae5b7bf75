"""`dogbreed serve`: a Run as a service on this machine."""

from __future__ import annotations

from typing import Annotated

import typer

from dogbreed.cli.options import Config, NoConfig
from dogbreed.ui import ui


def add(app: typer.Typer) -> None:
    """Register the command."""
    app.command(rich_help_panel="Ship")(serve)


def serve(
    run: Annotated[str | None, typer.Option(help="A run's folder or name, latest, starter; as for predict.")] = None,
    host: Annotated[str | None, typer.Option(help="127.0.0.1 for this machine alone, 0.0.0.0 for all.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="0 takes a free one; 8080 if not set.")] = None,
    threads: Annotated[int | None, typer.Option(min=0, help="Predicting at once; 0: one for each core.")] = None,
    queue: Annotated[int | None, typer.Option(min=1, help="Photos that may wait before 503 is said.")] = None,
    config: Config = None,
    no_config: NoConfig = False,
) -> None:
    """Answer photos over HTTP, with a page for people, until it is told to end.

    SageMaker's contract (/ping, /invocations), /predict, /metrics, /docs; photos leave this machine by no way.

    Example: dogbreed serve --run starter
    """
    from dogbreed import config as settings
    from dogbreed.errors import DogbreedError
    from dogbreed.run import find

    flags = {"predict.run": run, "serve.host": host, "serve.port": port, "serve.threads": threads, "serve.queue": queue}
    loaded = settings.load(flags, config=config, use_file=not no_config)
    chosen = find(loaded.predict.run)
    try:
        from dogbreed.serve.server import serve as run_service
    except ImportError as error:
        raise DogbreedError(f"the service needs {error.name}", "pip install 'dogbreed[serve]'") from error

    def ready(address: str) -> None:
        if ui.json:
            ui.answer({"url": address, "run": str(chosen.path)})
        else:
            ui.line(address)
            ui.note(f"answers with {chosen.name}; for people {address}/, for programs {address}/docs; Ctrl-C ends it")

    run_service(chosen, loaded.serve, ready, verbose=ui.verbose)
