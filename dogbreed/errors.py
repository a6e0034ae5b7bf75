"""Errors for people: what happened, what to do about it, and the exit code.

A `DogbreedError` is the user's problem and is shown as two lines; any other exception is our bug.
"""

from __future__ import annotations

EXIT_FAILED = 1
EXIT_USAGE = 2
EXIT_FOUND = 3
EXIT_ACCESS = 4
EXIT_RUNNING = 5
EXIT_INTERRUPTED = 130

EXIT_CODES = {
    0: "done, or nothing to do",
    EXIT_FAILED: "it failed",
    EXIT_USAGE: "wrong usage or settings",
    EXIT_FOUND: "a check found something",
    EXIT_ACCESS: "no access: no credentials, expired, denied",
    EXIT_RUNNING: "still running when the wait ended",
    EXIT_INTERRUPTED: "interrupted",
}


class DogbreedError(Exception):
    """Something a person can mend: `message` says what happened, `hint` the step that mends it."""

    exit_code = EXIT_FAILED

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint


class UsageError(DogbreedError):
    """A wrong option, argument or setting."""

    exit_code = EXIT_USAGE


class AccessError(DogbreedError):
    """No credentials, expired ones, or an action that they do not allow."""

    exit_code = EXIT_ACCESS


class PhotoError(DogbreedError):
    """A file that cannot be used as a photo; `kind` is one of `dogbreed.infer.photo.FAULTS`."""

    def __init__(self, kind: str, message: str, hint: str = "") -> None:
        super().__init__(message, hint)
        self.kind = kind
