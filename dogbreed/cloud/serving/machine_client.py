"""How the machines are asked: through their load balancer, a single one by its address, or on the machine itself."""

from __future__ import annotations

import hashlib
import http.client
import json
import socket
import ssl
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from botocore.exceptions import ClientError

from dogbreed.cloud.bucket import MODELS
from dogbreed.cloud.errors import code
from dogbreed.cloud.serving.balancer import HTTPS, Balancer, Listeners
from dogbreed.cloud.serving.group import Group
from dogbreed.cloud.serving.machine_boot import PORT
from dogbreed.cloud.session import Aws
from dogbreed.cloud.storage import Store
from dogbreed.errors import DogbreedError
from dogbreed.infer.answering import Answering
from dogbreed.infer.door import Asking, Door, Reply

_PROBE_S, _NAME_S, _LOOK_S, _TIMEOUT_S = 5.0, 90.0, 2.0, 60
_SHELL_S, _SHELL_LOOK_S, _TRIES = 420.0, 0.5, 150
# The word that stands for any one name in the domain of a certificate.
_ANY = "*."


@dataclass(frozen=True)
class Address:
    """Where the service answers: `host` may bear a port; `certificate` is an ARN, or "" without TLS."""

    host: str
    certificate: str = ""
    # Inside its own network only, as far as AWS's settings say.
    private: bool = True

    @property
    def url(self) -> str:
        """To be shown and pasted."""
        return f"{'https' if self.certificate else 'http'}://{self.host}"

    @property
    def place(self) -> tuple[str, int]:
        """Host and port."""
        host, _, port = self.host.partition(":")
        return host, int(port or (HTTPS if self.certificate else 80))


class OfMachine(Asking):
    """A machine of the service, asked on the machine itself by Run Command of Systems Manager: no way in is needed.

    The photo goes by the bucket, where the machine may read, and is removed again. It takes seconds.
    """

    def __init__(self, aws: Aws) -> None:
        self._aws = aws
        self.where = f"the machines of {aws.name('ec2')}"

    def ask(self, data: bytes, top_k: int) -> Reply:
        """Send one photo; DogbreedError where no machine takes the command."""
        aws, key = self._aws, f"{MODELS}asked/{hashlib.sha256(data).hexdigest()[:32]}"
        machine, host = _machine(aws)
        Store(aws).put(key, data)
        try:
            told = self._run(machine, self._script(f"s3://{aws.bucket}/{key}", f"http://{host}:{PORT}", top_k))
        finally:
            with suppress(ClientError):  # not everybody who may put may delete; it is a photo in one's own bucket
                aws.client("s3").delete_object(Bucket=aws.bucket, Key=key)
        body, _, status = told.rpartition("\n")
        if not status.isdecimal() or not int(status):
            raise DogbreedError(f"{self.where}: {machine} does not answer on port {PORT}", "dogbreed logs ec2")
        return Reply(int(status), body.encode())

    def _script(self, photo: str, url: str, top_k: int) -> str:
        """A machine that has just been started takes a minute or two until it answers."""
        return (
            f"for try in $(seq {_TRIES}); do curl -s -o /dev/null -m 5 {url}/ping && break; sleep 2; done\n"
            f"aws s3 cp --only-show-errors --region {self._aws.region} {photo} - | "
            "curl -s -m 60 -H 'Content-Type: application/octet-stream' --data-binary @- "
            f"-w '\\n%{{http_code}}' '{url}/predict?top_k={top_k}'"
        )

    def _run(self, machine: str, script: str) -> str:
        ssm, deadline = self._aws.client("ssm"), time.monotonic() + _SHELL_S
        command = ""
        while True:
            try:
                if not command:
                    command = ssm.send_command(
                        InstanceIds=[machine], DocumentName="AWS-RunShellScript", Parameters={"commands": [script]}
                    )["Command"]["CommandId"]
                seen = ssm.get_command_invocation(CommandId=command, InstanceId=machine)
                if seen["Status"] not in ("Pending", "InProgress", "Delayed"):
                    return str(seen["StandardOutputContent"])
            except ClientError as error:
                # The agent of a new machine reports within a minute; an invocation is shown a little later.
                if code(error) not in ("InvalidInstanceId", "InvocationDoesNotExist"):
                    raise
            if time.monotonic() > deadline:
                raise DogbreedError(
                    f"{self.where}: {machine} takes no command of Systems Manager",
                    f"can it reach ssm and ssmmessages? from inside its network, or by a tunnel:\n{tunnel(self._aws)}",
                )
            time.sleep(_SHELL_LOOK_S)


class SecureDoor(Door):
    """A balancer with TLS, whose certificate names another host than the balancer's own: what ACM has is trusted.

    `domain`: a name that the certificate is for; `pem`: the certificate as ACM shows it to who may read it.
    """

    def __init__(self, address: Address, domain: str, pem: str) -> None:
        super().__init__(f"https://{address.host}")
        self._place, self._domain = address.place, domain
        self._context = ssl.create_default_context()
        self._context.load_verify_locations(cadata=pem)
        # It is the very certificate, whoever has signed it.
        self._context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN

    def _connect(self) -> http.client.HTTPConnection:
        connection = _Named(*self._place, timeout=_TIMEOUT_S)
        connection.named, connection.trusts = self._domain, self._context
        return connection


class _Named(http.client.HTTPConnection):
    """Speaks TLS with a host under another name than the one that it is found by."""

    named: str
    trusts: ssl.SSLContext

    def connect(self) -> None:
        """Connect, and check the certificate against the name."""
        super().connect()
        self.sock = self.trusts.wrap_socket(self.sock, server_hostname=self.named)


def address(aws: Aws) -> Address:
    """Where the service of the project answers; DogbreedError where nothing is deployed."""
    seen = Balancer(aws).seen()
    if seen:
        listeners = Listeners(aws).find()
        ports: Mapping[int, Any] = listeners.content["ports"] if listeners else {}
        certificate = str(ports[HTTPS][1]) if HTTPS in ports else ""
        return Address(str(seen["DNSName"]), certificate, seen["Scheme"] == "internal")
    return Address(f"{_machine(aws)[1]}:{PORT}")


def _machine(aws: Aws) -> tuple[str, str]:
    """Id and private address of a machine in service."""
    group = Group(aws).seen() or {}
    ids = [one["InstanceId"] for one in group.get("Instances", ()) if one["LifecycleState"] == "InService"]
    if not ids:
        raise DogbreedError(f"no machines of {aws.name('ec2')} are in service", "dogbreed deploy --to ec2")
    held = aws.client("ec2").describe_instances(InstanceIds=ids[:1])["Reservations"]
    return ids[0], str(held[0]["Instances"][0]["PrivateIpAddress"])


def client(aws: Aws) -> Answering:
    """Asks the service; where this machine is not in its network, by a command on one of its machines."""
    where = address(aws)
    if not _answers(where):
        if where.private:
            return OfMachine(aws)
        raise DogbreedError(f"{where.url} takes no connection", "dogbreed status shows its machines")
    if not where.certificate:
        return Door(where.url)
    acm = aws.client("acm")
    domain = str(acm.describe_certificate(CertificateArn=where.certificate)["Certificate"]["DomainName"])
    pem = str(acm.get_certificate(CertificateArn=where.certificate)["Certificate"])
    return SecureDoor(where, domain.replace(_ANY, "dogbreed.", 1), pem)


def calls(aws: Aws) -> Mapping[str, str]:
    """How to call it."""
    where = address(aws)
    url = where.url
    photo = '-H "Content-Type: application/octet-stream" --data-binary @photo.jpg'
    if where.certificate:
        domain = aws.client("acm").describe_certificate(CertificateArn=where.certificate)["Certificate"]["DomainName"]
        name = str(domain).replace(_ANY, "dogbreed.", 1)
        url = f"https://{name}"
        note = f"# once {name} is a CNAME of {where.host} in your DNS\n"
    else:
        note = "# from inside its network\n" if where.private else ""
    found = {
        "dogbreed": f"{note}dogbreed predict photo.jpg --url {url}",
        "curl": f"{note}curl {photo} {url}/predict",
        "python": (
            f"{note}import urllib.request\n"
            'with open("photo.jpg", "rb") as photo:\n'
            f'    print(urllib.request.urlopen("{url}/predict", photo.read()).read().decode())'
        ),
    }
    return found | ({"from outside": tunnel(aws)} if where.private else {})


def tunnel(aws: Aws) -> str:
    """The commands that bring a machine's port here through Session Manager, with no port open to anybody."""
    asked = "AutoScalingGroups[0].Instances[0].InstanceId"
    return (
        f"id=$(aws autoscaling describe-auto-scaling-groups --region {aws.region} "
        f"--auto-scaling-group-names {aws.name('ec2')} --query '{asked}' --output text)\n"
        f'aws ssm start-session --region {aws.region} --target "$id" '
        f"--document-name AWS-StartPortForwardingSession --parameters portNumber={PORT},localPortNumber={PORT} &\n"
        f"dogbreed predict photo.jpg --url http://127.0.0.1:{PORT}"
    )


def _answers(where: Address) -> bool:
    """Whether the service is reached from here; a new name takes a minute to be known everywhere.

    Networks use the same private addresses, so without TLS who answers there must also speak as the service does.
    """
    deadline = time.monotonic() + _NAME_S
    while True:
        connection = http.client.HTTPConnection(*where.place, timeout=_PROBE_S)
        try:
            connection.connect()
            if where.certificate:
                return True
            connection.request("GET", "/ping")
            return "status" in json.loads(connection.getresponse().read())
        except socket.gaierror:
            if time.monotonic() > deadline:
                return False
            time.sleep(_LOOK_S)
        except (OSError, http.client.HTTPException, ValueError, TypeError):
            return False
        finally:
            connection.close()
