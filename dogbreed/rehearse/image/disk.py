"""The files of a machine: folders of its own, the look of a Deep Learning AMI, system commands that end it alone."""

from __future__ import annotations

import os
import re
import shlex
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

import dogbreed
from dogbreed.rehearse.image.cloud_init import Part

# Folders that a machine has for itself; the rest of this computer it can read, and not write.
OWN = ("/tmp", "/root", "/home", "/opt", "/var", "/run", "/mnt", "/srv")
CONSOLE = "/var/log/cloud-init-output.log"
NOTE = "/run/rehearse.pid"
_BIN, _PYTORCH = "/opt/rehearse/bin", "/opt/pytorch"
_SYSTEM = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_SCRIPTS = "/var/lib/cloud/instance/scripts"
_TOOLS = ("shutdown", "poweroff", "halt", "reboot", "systemctl", "systemd-run", "sudo", "dnf", "yum")
# On botocore.
_PROGRAMS = {"aws": "dogbreed.rehearse.aws_command", "docker": "dogbreed.rehearse.image.docker"}
_FOLDERS = ("/var/log", "/var/tmp", "/var/lib/cloud/instance/scripts", "/var/cache", "/etc", _BIN, f"{_PYTORCH}/bin")

_ACTIVATE = """# Source this, as on a Deep Learning AMI.
deactivate () {{ PATH=${{PATH#{bin}:}}; unset VIRTUAL_ENV; }}
VIRTUAL_ENV={root}; export VIRTUAL_ENV
PATH={bin}:$PATH; export PATH
"""


@dataclass(frozen=True)
class Disk:
    """The disk of one machine below `folder`; `own_root` says whether the machine sees its folders at their names."""

    folder: Path
    own_root: bool

    def place(self, inside: str) -> str:
        """Where the machine finds what it would call `inside`."""
        return inside if self.own_root else os.fspath(self.outside(inside))

    def outside(self, inside: str) -> Path:
        """Where this computer keeps what the machine calls `inside`."""
        return self.folder / inside.lstrip("/")

    def make(self, hostname: str, address: str = "") -> None:
        """Make folders and commands; `address` is that of a machine without a network of its own."""
        for name in (*OWN, *_FOLDERS):
            self.outside(name).mkdir(parents=True, exist_ok=True)
        for name in ("/tmp", "/var/tmp"):
            self.outside(name).chmod(0o1777)
        self.outside("/root").chmod(0o700)
        self.outside("/etc/hostname").write_text(f"{hostname}\n")
        self.outside("/etc/resolv.conf").write_text("# There is no network outside.\n")
        self.outside("/etc/hosts").write_text("127.0.0.1 localhost\n")
        python = shlex.quote(sys.executable)
        for name in ("python", "python3", f"python3.{sys.version_info.minor}"):
            self._program(f"{_PYTORCH}/bin/{name}", f'exec {python} "$@"')
        for name, module in (("pip", "pip"), ("pip3", "pip"), ("torchrun", "torch.distributed.run")):
            self._program(f"{_PYTORCH}/bin/{name}", f'exec {python} -m {module} "$@"')
        where = {"root": shlex.quote(self.place(_PYTORCH)), "bin": shlex.quote(self.place(f"{_PYTORCH}/bin"))}
        self.outside(f"{_PYTORCH}/bin/activate").write_text(_ACTIVATE.format(**where))
        root = os.fspath(Path(dogbreed.__file__).parent.parent)
        path = f"import sys; sys.path.insert(0, {root!r})"
        tools = f"{path}; from dogbreed.rehearse.image import tools; sys.exit(tools.main())"
        for name in (*_TOOLS, *(() if shutil.which("curl") else ("curl",))):
            self._program(
                f"{_BIN}/{name}",
                f"REHEARSE_NOTE={shlex.quote(self.place(NOTE))} "
                f'exec {python} -I -S -c {shlex.quote(tools)} "$(basename "$0")" "$@"',
            )
        # Where the packages lie that are only on PYTHONPATH here, which a machine does not have.
        found = find_spec("botocore")
        packages = os.fspath(Path(found.origin).parent.parent) if found and found.origin else root
        path += f"; sys.path.append({packages!r})"
        seen = f"REHEARSE_ROOT={shlex.quote(self.place('/').rstrip('/'))} REHEARSE_ADDRESS={shlex.quote(address)}"
        for name, module in _PROGRAMS.items():
            code = f"{path}; from {module} import main; sys.exit(main())"
            self._program(f"{_BIN}/{name}", f'{seen} exec {python} -I -c {shlex.quote(code)} "$@"')

    def install(self, parts: list[Part], metadata: str) -> str:
        """Write the scripts of user data and the program that runs them: its path, as the machine calls it.

        `metadata` is where the metadata service answers, for a machine without a network of its own.
        """
        lines = ["echo \"Cloud-init v. 25.2 running 'modules:final' at $(date -R).\""]
        for number, part in enumerate(parts, 1):
            name = f"{_SCRIPTS}/part-{number:03d}"
            if part.refused:
                lines.append(f"echo {shlex.quote(f'cloud-init: {part.refused}')}")
                continue
            self.outside(name).write_bytes(part.text if self.own_root else self._adapted(part.text, metadata))
            self.outside(name).chmod(0o700)
            script = shlex.quote(self.place(name))
            failed = "cc_scripts_user.py[WARNING]: Failed to run module scripts-user (scripts in " + _SCRIPTS + ")"
            lines.append(f"{script} || echo {shlex.quote(failed)}")
        lines.append('echo "Cloud-init v. 25.2 finished at $(date -R). Datasource DataSourceEc2Local."')
        self._program("/var/lib/cloud/boot", "\n".join(lines))
        return self.place("/var/lib/cloud/boot")

    def environment(self) -> dict[str, str]:
        """The environment in which cloud-init runs a script."""
        path = ":".join([self.place(_BIN), self.place(f"{_PYTORCH}/bin"), _SYSTEM])
        told = {"PATH": path, "HOME": self.place("/root"), "USER": "root", "LOGNAME": "root", "LANG": "C.UTF-8"}
        return told if self.own_root else told | {"TMPDIR": self.place("/tmp")}

    def covers(self) -> dict[str, Path]:
        """Folders of this disk over those of this computer."""
        return {name: self.outside(name) for name in OWN}

    def binds(self, console: Path) -> dict[str, Path]:
        """Files of this disk over those of this computer, also what is called by its full path."""
        files = {f"/etc/{name}": self.outside(f"/etc/{name}") for name in ("hosts", "hostname", "resolv.conf")}
        for name in (*_TOOLS, *_PROGRAMS):
            for folder in _SYSTEM.split(":"):
                if Path(folder, name).exists():
                    files[f"{folder}/{name}"] = self.outside(f"{_BIN}/{name}")
        return files | {CONSOLE: console}

    def _adapted(self, text: bytes, metadata: str) -> bytes:
        """User data for a machine that sees the files of this computer: what it must not or cannot use, replaced.

        Above all /sbin/shutdown and its like, which would end this computer.
        """
        tools = "|".join((*_TOOLS, *_PROGRAMS))
        pattern = rf"(?<![\w./-])(?:/usr(?:/local)?)?/s?bin/({tools})\b|{_PYTORCH}\b|http://169\.254\.169\.254"

        def other(found: re.Match[bytes]) -> bytes:
            if tool := found.group(1):
                return self.place(f"{_BIN}/{tool.decode()}").encode()
            return (metadata if found.group().startswith(b"http") else self.place(_PYTORCH)).encode()

        return re.sub(pattern.encode(), other, text)

    def _program(self, name: str, text: str) -> None:
        self.outside(name).write_text(f"#!/bin/sh\n{text}\n")
        self.outside(name).chmod(0o755)
