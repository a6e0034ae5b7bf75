"""Process 1 of a SageMaker container: runs the command that it is given, and turns SIGTERM into a file.

SageMaker tells process 1 alone that it will end the container in 120 s. With the SDK that process is a shell, which
the kernel shields from SIGTERM, so training would never hear of it; here the workers find `STOP_FILE` and write a
checkpoint. Standard library only, started as `python3 -I process_one.py STOP_FILE COMMAND...`.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType


def main(stop_file: str, *command: str) -> int:
    """Run `command` to its end, reaping what it leaves behind; its exit code, or 128 + the signal that ended it."""
    Path(stop_file).unlink(missing_ok=True)

    def stop(number: int, frame: FrameType | None) -> None:
        Path(stop_file).parent.mkdir(parents=True, exist_ok=True)
        Path(stop_file).touch()

    # Before the command begins: a signal that comes at once is heard, too.
    signal.signal(signal.SIGTERM, stop)
    process = subprocess.Popen(command)
    while True:
        ended, status = os.waitpid(-1, 0)  # process 1 inherits every orphan
        if ended == process.pid:
            code = os.waitstatus_to_exitcode(status)
            return code if code >= 0 else 128 - code


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
