"""What a container of the image begins with: the service, or inside Lambda the function that holds the model.

docker run IMAGE serve     what SageMaker and machines run; the words after it are those of `dogbreed serve`
docker run IMAGE lambda    the same image as a Lambda function; needs no word where Lambda itself starts it
"""

from __future__ import annotations

import os
import runpy
import sys

# What AWS's runtime client calls where Lambda names no handler of its own.
HANDLER = "dogbreed.serve.lambda_handler.handler"
# Set by Lambda: where events come from, and what is to answer them.
_EVENTS, _NAMED = "AWS_LAMBDA_RUNTIME_API", "_HANDLER"
_BESIDE = "/opt/ml"
# Set by `dogbreed deploy` for endpoints and machines.
_HOSTED = "DOGBREED_SERVE_NAME"
_WORDS = ("serve", "lambda")


def main(words: list[str]) -> None:
    """Become the service or the function; SystemExit with the words for anything else."""
    word, rest = (words[0], words[1:]) if words else ("", [])
    # A serverless endpoint may be run by what Lambda is made of; there the word counts, as on other endpoints.
    hosted = word == "serve" and os.environ.get(_HOSTED)
    if word == "lambda" or (os.environ.get(_EVENTS) and not hosted):
        named = rest[:1] if word == "lambda" else words[:1]
        handler = named[0] if named and "." in named[0] else os.environ.get(_NAMED) or HANDLER
        # Beside which the function looks for its model.
        os.environ["LAMBDA_TASK_ROOT"] = _BESIDE
        become("awslambdaric", handler if "." in handler else HANDLER)
    elif word == "serve":
        become("dogbreed", *words)
    else:
        raise SystemExit(f"error: this image has no command {word!r}\nhint: one of: {', '.join(_WORDS)}")


def become(module: str, *words: str) -> None:
    """Run a module as `python -m` does."""
    sys.argv = [module, *words]
    runpy.run_module(module, run_name="__main__", alter_sys=True)


if __name__ == "__main__":
    main(sys.argv[1:])
