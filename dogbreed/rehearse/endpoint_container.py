"""One container of an endpoint, as `docker run IMAGE serve` would make it: files, variables, and questions to it.

Its /opt/ml/model is the unpacked model, the rest of the system is read-only, its port 8080 is reached by a unix socket.
Its files are the image's where builds are real (see `images_buildah`), else this machine's and the image's modules.
Where hosts are plain processes, /opt/ml/model is a folder elsewhere and the port one that is free.
"""

from __future__ import annotations

import http.client
import os
import select
import shlex
import shutil
import socket
import sys
import tarfile
import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dogbreed.errors import DogbreedError
from dogbreed.rehearse import container, images
from dogbreed.rehearse.sagemaker_logs import Reader
from dogbreed.rehearse.sandbox import Host, Network, Spec

if TYPE_CHECKING:
    from collections.abc import Callable

    from dogbreed.rehearse.cloud import Cloud

MODEL = "/opt/ml/model"
PORT = 8080
_CODE = "/opt/image"
_ENTRY = "dogbreed.serve.image.entry"
_CREDENTIALS_AT = "169.254.170.2"
_ADDRESS = "10.78.0.2/24"
GRACE_S = min(30.0, float(os.environ.get("REHEARSE_GRACE_S", "30")))


class BrokenError(Exception):
    """A container that gave no answer; `sent` says whether it may have seen the request."""

    def __init__(self, words: str, *, sent: bool, late: bool = False) -> None:
        super().__init__(words)
        self.sent = sent
        self.late = late


@dataclass(frozen=True)
class Served:
    """What a container runs: image, packed or unpacked model (None: no model), variables, role, and who it is for."""

    image: str
    model: Path | None
    environment: Mapping[str, str]
    role: str
    region: str
    network: bool = True


@dataclass(frozen=True)
class Reply:
    """What a container answered."""

    status: int
    headers: Mapping[str, str]
    body: bytes


class _ToSocket(http.client.HTTPConnection):
    def __init__(self, path: str, timeout: float) -> None:
        super().__init__("localhost", timeout=timeout)
        self._path = path

    def connect(self) -> None:
        made = socket.socket(socket.AF_UNIX)
        made.settimeout(self.timeout)
        try:
            made.connect(self._path)
            made.sendall(b"%d\n" % PORT)
            if made.recv(1) != b"+":
                raise ConnectionRefusedError("nobody listens in the container")
        except OSError:
            made.close()
            raise
        self.sock = made


class Container:
    """A container in `folder`; its lines go to `line`."""

    def __init__(self, cloud: Cloud, served: Served, folder: Path, line: Callable[[str], None]) -> None:
        self._cloud, self._served, self._folder, self._line = cloud, served, folder, line
        self._token = uuid.uuid4().hex
        self._network: Network | None = None
        self._host: Host | None = None
        self._port = 0
        # By a short name, since the path of a unix socket has 107 characters at most.
        self._inlet = Path(os.path.relpath(folder / "inlet"))
        self._free: list[http.client.HTTPConnection] = []

    @property
    def pid(self) -> int:
        """Its first process, as this machine counts; 0 when it has none."""
        return self._host.pid if self._host else 0

    def start(self) -> None:
        """Lay out its files and run it. Raises DogbreedError where it does not start."""
        container.fill(self._folder)
        self._network = Network.make()
        self._unpack()
        self._program()
        if not self._network:
            with socket.create_server(("127.0.0.1", 0)) as server:
                self._port = server.getsockname()[1]
        pipe = self._folder / "printed"
        pipe.unlink(missing_ok=True)
        reader = Reader(pipe, self._line)
        reader.start()
        try:
            self._cloud.roles_of_containers[self._token] = self._served.role
            self._host = Host.start(self._spec(pipe), self._network)
        except OSError as error:
            raise DogbreedError(f"the container did not start: {error}") from error
        finally:
            reader.begun()

    def wait(self, seconds: float) -> int | None:
        """Its exit code; None when it still runs after `seconds`."""
        return self._host.wait(seconds) if self._host else 1

    def ping(self) -> int:
        """The status of /ping, 200 for a healthy one; 0 where nothing answers."""
        try:
            return self.ask("GET", "/ping", b"", {}, 2.0).status
        except BrokenError:
            return 0

    def ask(self, method: str, path: str, body: bytes, headers: Mapping[str, str], timeout: float) -> Reply:
        """Its answer. Raises BrokenError for none."""
        if (connection := self._kept()) is None:
            connection = self._connection(timeout)
            try:
                connection.connect()
            except OSError as error:
                raise BrokenError(str(error), sent=False) from error
        try:
            return self._ask(connection, method, path, body, headers, timeout)
        except TimeoutError as error:
            connection.close()
            raise BrokenError("no answer in time", sent=True, late=True) from error
        except (OSError, http.client.HTTPException) as error:
            connection.close()
            raise BrokenError(str(error) or type(error).__name__, sent=True) from error

    def end(self, grace_s: float) -> None:
        """End it and remove its files; nothing of it runs when this returns."""
        # Before SIGTERM, so that a server which waits for its connections need not.
        while self._free:
            self._free.pop().close()
        if self._host:
            self._host.end(grace_s)
            self._host = None
        if self._network:
            self._network.close()
            self._network = None
        self._cloud.roles_of_containers.pop(self._token, None)
        shutil.rmtree(self._folder, ignore_errors=True)

    # -- helpers

    def _ask(
        self,
        connection: http.client.HTTPConnection,
        method: str,
        path: str,
        body: bytes,
        headers: Mapping[str, str],
        timeout: float,
    ) -> Reply:
        connection.timeout = timeout
        if connection.sock:
            connection.sock.settimeout(timeout)
        connection.request(method, path, body if method == "POST" else None, dict(headers))
        response = connection.getresponse()
        told = {name.lower(): value for name, value in response.getheaders()}
        reply = Reply(response.status, told, response.read())
        if response.will_close:
            connection.close()
        else:
            self._free.append(connection)
        return reply

    def _kept(self) -> http.client.HTTPConnection | None:
        """A connection of an earlier question that the container has not closed meanwhile."""
        while self._free:
            try:
                connection = self._free.pop()
            except IndexError:
                return None
            if connection.sock and not select.select([connection.sock], [], [], 0)[0]:
                return connection
            connection.close()
        return None

    def _connection(self, timeout: float) -> http.client.HTTPConnection:
        if not self._network:
            return http.client.HTTPConnection("127.0.0.1", self._port, timeout=timeout)
        return _ToSocket(os.fspath(self._inlet), timeout)

    def _unpack(self) -> None:
        target = self._folder / MODEL[1:]
        target.mkdir(parents=True, exist_ok=True)
        model = self._served.model
        if model is None:
            return
        if model.is_dir():
            shutil.copytree(model, target, dirs_exist_ok=True)
            return
        try:
            with tarfile.open(model) as archive:
                archive.extractall(target, filter="data")
        except (tarfile.TarError, EOFError, OSError) as error:
            raise DogbreedError(f"Failed to extract model data archive from URL: {error}") from error

    def _program(self) -> None:
        """`dogbreed`, as a real image has it."""
        path = self._folder / "opt/conda/bin/dogbreed"
        path.write_text(f'#!/bin/sh\nexec {shlex.quote(sys.executable)} -m dogbreed "$@"\n', encoding="utf-8")
        path.chmod(0o755)

    def _spec(self, pipe: Path) -> Spec:
        image = self._served.image
        if (code := images.code(self._cloud, image)) is None:
            raise DogbreedError(f"CannotStartContainerError: the image {image} has no dogbreed to serve with")
        port = int(self._cloud.url.rsplit(":", maxsplit=1)[-1])
        relays = [("127.0.0.1", port, self._cloud.socket), (_CREDENTIALS_AT, 80, self._cloud.socket)]
        # The entry point of the project's image; one without it has the command itself.
        entry = ["python", "-m", _ENTRY] if (code / f"{_ENTRY.replace('.', '/')}.py").exists() else ["dogbreed"]
        spec = Spec(
            command=[*entry, "serve"],
            output=pipe,
            folder=Path("/"),
            environment=self._environment(self._begin(code)),
            address=_ADDRESS,
            hostname="model",
            covers=container.covers(self._folder),
            binds={_CODE: code} | container.hidden(self._folder),
            relays=relays if self._served.network else (),
            inlet=self._inlet,
            first=True,
        )
        root = images.root(self._cloud, image) if self._network else None
        return self._in_image(spec, root) if root else spec

    def _in_image(self, spec: Spec, root: Path) -> Spec:
        """The same in the image's own files, with its own Python and as its user."""
        told = images.settings(self._cloud, self._served.image)
        (self._folder / "tmp").chmod(0o1777)
        return replace(
            spec,
            command=[*(told.get("Entrypoint") or ["dogbreed"]), "serve"],
            folder=Path(told.get("WorkingDir") or "/"),
            # Docker's home of a user who has no name.
            environment=self._environment({"HOME": "/"} | dict(pair.split("=", 1) for pair in told.get("Env") or [])),
            covers={},
            binds={place: self._folder / place[1:] for place in ("/opt/ml", "/tmp")},
            root=root,
            user=told.get("User") or "",
        )

    def _begin(self, code: Path) -> dict[str, str]:
        variables = container.environment("" if self._network else os.fspath(self._folder))
        variables |= images.environment(self._cloud, self._served.image) or {}
        return variables | {"PYTHONPATH": _CODE if self._network else os.fspath(code)}

    def _environment(self, begin: Mapping[str, str]) -> dict[str, str]:
        isolated = self._network is not None
        variables = {**begin, "AWS_REGION": self._served.region}
        if self._served.network:
            path = f"/v2/credentials/{self._token}"
            variables["AWS_ENDPOINT_URL"] = self._cloud.url
            if isolated:
                variables["AWS_CONTAINER_CREDENTIALS_RELATIVE_URI"] = path
            else:
                variables["AWS_CONTAINER_CREDENTIALS_FULL_URI"] = self._cloud.url + path
        variables |= self._served.environment
        if not isolated:
            model = os.fspath(self._folder / MODEL[1:])
            variables = {name: value.replace(MODEL, model) for name, value in variables.items()}
            variables |= {"DOGBREED_SERVE_HOST": "127.0.0.1", "DOGBREED_SERVE_PORT": str(self._port)}
        return variables
