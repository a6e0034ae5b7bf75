"""The system commands of a machine: shutdown and its kin, systemd-run, systemctl, sudo, dnf, curl.

They end the machine, never this computer: the parent of the machine's processes is told by a signal.
"""

from __future__ import annotations

import contextlib
import os
import re
import signal
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from dogbreed.rehearse.image.host import HALTED, HALTS, REBOOTED

# Where the process is noted that ends the machine; the image puts the true path into the environment of a tool.
_NOTE = os.environ.get("REHEARSE_NOTE", "/run/rehearse.pid")
_ROOT = _NOTE.removesuffix("/run/rehearse.pid")
# As docker.py has them, which is not imported for a word of systemctl.
_INSTALLED, _STARTED = Path(f"{_ROOT}/var/lib/rehearse.docker"), Path(f"{_ROOT}/run/rehearse.docker")
_TAKE_VALUES = {"-p", "-u", "-E", "-M", "-H", "-t", "--unit", "--property", "--description", "--slice", "--setenv"}
_TAKE_VALUES |= {"--uid", "--gid", "--nice", "--working-directory", "--timer-property", "--service-type"}
_UNITS = {"us": 1e-6, "ms": 1e-3, "s": 1, "sec": 1, "m": 60, "min": 60, "h": 3600, "hr": 3600, "d": 86400, "w": 604800}


def main() -> int:
    """Run the command that the first word names."""
    name, words = sys.argv[1], sys.argv[2:]
    if name == "curl":
        from dogbreed.rehearse.image import curl

        return curl.run(words)
    commands = {"sudo": _sudo, "systemctl": _systemctl, "systemd-run": _systemd_run, "shutdown": _shutdown}
    commands |= {"dnf": _dnf, "yum": _dnf}
    if name in commands:
        return commands[name](words)
    return _halt(REBOOTED if name == "reboot" else HALTED)


def _say(text: str, stream: int = 2) -> None:
    os.write(stream, f"{text}\n".encode())


# -- ending the machine


def _shutdown(words: list[str]) -> int:
    options = [word for word in words if word.startswith("-")]
    letters = {letter for word in options if not word.startswith("--") for letter in word[1:]}
    plain = [word for word in words if not word.startswith("-")]
    pending = Path(f"{_NOTE}.shutdown")
    if "c" in letters:
        with contextlib.suppress(OSError, ValueError):
            os.kill(int(pending.read_text()), signal.SIGKILL)
        pending.unlink(missing_ok=True)
        return 0
    kind = REBOOTED if "r" in letters or "--reboot" in options else HALTED
    try:
        seconds = _until(plain[0] if plain else "+1")
    except ValueError:
        _say(f"Failed to parse time specification: {plain[0]}")
        return 1
    if "k" in letters:
        return 0
    if seconds <= 0:
        return _halt(kind)
    when = datetime.now().astimezone() + timedelta(seconds=seconds)
    _say(f"Shutdown scheduled for {when:%a %Y-%m-%d %H:%M:%S %Z}, use 'shutdown -c' to cancel.")
    with contextlib.suppress(OSError, ValueError):
        os.kill(int(pending.read_text()), signal.SIGKILL)
    if child := _background():
        pending.write_text(str(child))
        return 0
    time.sleep(seconds)
    return _halt(kind)


def _until(text: str) -> float:
    """Seconds from now to what shutdown calls a time: now, +MINUTES, MINUTES or HH:MM."""
    if text == "now":
        return 0
    if ":" in text:
        hour, minute = map(int, text.split(":"))
        now = datetime.now().astimezone()
        seconds = (now.replace(hour=hour, minute=minute, second=0) - now).total_seconds()
        return seconds if seconds > 0 else seconds + 86400
    return 60 * int(text.removeprefix("+"))


def _halt(kind: int) -> int:
    number = next(number for number, meaning in HALTS.items() if meaning == kind)
    try:
        os.kill(int(Path(_NOTE).read_text()), number)
    except (OSError, ValueError) as error:
        _say(f"cannot end the machine: {error}")
        return 1
    return 0


def _background() -> int:
    """Go on in a process that outlives the caller: its number here, 0 there."""
    going, coming = os.pipe()
    if (child := os.fork()) == 0:
        os.setsid()
        if grandchild := os.fork():
            os.write(coming, str(grandchild).encode())
            os._exit(0)
        nothing = os.open(os.devnull, os.O_RDWR)
        for number in (0, 1, 2):
            os.dup2(nothing, number)
        os.closerange(3, 64)
        return 0
    os.close(coming)
    os.waitpid(child, 0)
    return int(os.read(going, 32))


# -- systemd and sudo


def _systemctl(words: list[str]) -> int:
    verb = next((word for word in words if not word.startswith("-")), "")
    if verb in ("poweroff", "halt", "reboot"):
        return _halt(REBOOTED if verb == "reboot" else HALTED)
    units = {word.removesuffix(".service") for word in words if not word.startswith("-")} - {verb}
    if "docker" in units and (verb in ("start", "restart") or (verb == "enable" and "--now" in words)):
        if not _INSTALLED.exists():
            _say(f"Failed to {verb} unit: Unit file docker.service does not exist.")
            return 1
        _STARTED.touch()
    return 0


def _dnf(words: list[str]) -> int:
    """Of all packages there is docker."""
    plain = [word for word in words if not word.startswith("-")]
    if plain[:1] != ["install"]:
        return 0
    for name in plain[1:]:
        if name != "docker":
            _say(f"No match for argument: {name}\nError: Unable to find a match: {name}")
            return 1
        _INSTALLED.touch()
    _say("Complete!", 1)
    return 0


def _systemd_run(words: list[str]) -> int:
    delay, wait, name, rest = 0.0, False, f"run-r{os.getpid():08x}", list(words)
    while rest and rest[0].startswith("-"):
        word, _, value = rest.pop(0).partition("=")
        if not value and (word in _TAKE_VALUES or word.startswith("--on-")) and rest:
            value = rest.pop(0)
        if word == "--on-active":
            delay = _span(value)
        elif word in ("--unit", "-u"):
            name = value
        elif word in ("--setenv", "-E") and "=" in value:
            _set(value)
        elif word == "--working-directory":
            os.chdir(value)
        elif word in ("--wait", "--scope", "--pipe", "-P", "--pty", "-t"):
            wait = True
        elif word == "--":
            break
    if not rest:
        _say("Command line to execute required.")
        return 1
    if not wait:
        kind = "timer" if delay else "service"
        if _background():
            _say(f"Running {'timer ' if delay else ''}as unit: {name}.{kind}")
            return 0
    time.sleep(delay)
    return _become(rest)


def _span(text: str) -> float:
    """Seconds of a time span as systemd writes it: 90, 5min, 1h 30min."""
    parts = re.findall(r"(\d+(?:\.\d+)?)\s*([a-z]*)", text.lower())
    return sum(
        float(number) * _UNITS.get(unit.rstrip("s") or "s", 60 if unit.startswith("min") else 1)
        for number, unit in parts
    )


def _sudo(words: list[str]) -> int:
    rest = list(words)
    while rest and (rest[0].startswith("-") or re.fullmatch(r"\w+=.*", rest[0])):
        word = rest.pop(0)
        if word in ("-u", "-g", "-h", "-p", "-C", "--user", "--group") and rest:
            rest.pop(0)
        elif word == "--":
            break
        elif not word.startswith("-"):
            _set(word)
    return _become(rest) if rest else 0


def _set(assignment: str) -> None:
    name, _, value = assignment.partition("=")
    os.environ[name] = value


def _become(words: list[str]) -> int:
    try:
        os.execvp(words[0], words)
    except OSError as error:
        _say(f"{words[0]}: {error.strerror}")
    return 127
