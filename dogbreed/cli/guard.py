"""Turns every error into words and an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable

from dogbreed import __version__
from dogbreed.errors import EXIT_INTERRUPTED, DogbreedError
from dogbreed.ui import ui


def guarded(action: Callable[[], int]) -> int:
    """What `action` returns, or the exit code of what it raises, after saying what happened."""
    try:
        return action()
    except KeyboardInterrupt:
        ui.note("interrupted")
        return EXIT_INTERRUPTED
    except DogbreedError as error:
        ui.error(error)
        return error.exit_code
    except BrokenPipeError:
        # The reader of our stdout has gone (`dogbreed ... | head`); nobody is left to tell.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:  # noqa: BLE001  (the last one that can still say something)
        told = _of_aws(error)
        if told is None:
            ui.bug(error, __version__)
            return 1
        ui.error(told)
        return told.exit_code


def _of_aws(error: Exception) -> DogbreedError | None:
    """What an error of the AWS SDK means for people; None for every other error."""
    if "botocore" not in sys.modules:
        return None
    from dogbreed.cloud.errors import translate

    return translate(error)
