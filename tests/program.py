"""Runs the command as people do: another process, its words, its two streams, its exit code."""

from __future__ import annotations

import os
import pty
import subprocess
import sys
from pathlib import Path


def dogbreed(*words: object, cwd: Path, timeout: float = 400, **environment: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "dogbreed", *map(str, words)]
    return subprocess.run(
        command, cwd=cwd, capture_output=True, text=True, check=False, env=os.environ | environment, timeout=timeout
    )


def terminal(*words: object, cwd: Path, **environment: str) -> str:
    """What a person in a terminal of 80 columns sees."""
    pid, shown_at = pty.fork()
    if pid == 0:
        os.chdir(cwd)
        os.environ.update({"COLUMNS": "80", "TERM": "xterm", **environment})
        os.execv(sys.executable, [sys.executable, "-m", "dogbreed", *map(str, words)])
    shown = b""
    try:
        while piece := os.read(shown_at, 4096):
            shown += piece
    except OSError:  # how a terminal ends on Linux
        pass
    os.waitpid(pid, 0)
    return shown.decode().replace("\r\n", "\n")
