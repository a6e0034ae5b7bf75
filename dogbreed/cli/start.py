"""Where the `dogbreed` command starts."""

from __future__ import annotations

import sys


def main() -> None:
    """Run the command line and exit with a code of `dogbreed.errors.EXIT_CODES`."""
    command, *words = sys.argv[1:] or [""]
    if command == "predict" and words and not any(word.startswith("-") and word != "-" for word in words):
        # Nothing to parse, so the parser is not loaded: it would take as long as half of the prediction.
        from dogbreed.cli.answers import predict
        from dogbreed.cli.guard import guarded

        sys.exit(guarded(lambda: predict(words)))
    from dogbreed.cli import main as full

    full.main()
