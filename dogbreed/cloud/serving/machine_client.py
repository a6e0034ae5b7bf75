"""How the machines are asked: through their load balancer, or a single one by its private address."""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from dogbreed.cloud.serving.balancer import HTTPS, Balancer, Listeners
from dogbreed.cloud.serving.group import Group
from dogbreed.cloud.serving.machine_boot import PORT
from dogbreed.cloud.session import Aws
from dogbreed.errors import DogbreedError
from dogbreed.infer.answering import Answering
from dogbreed.infer.door import Door

_PROBE_S, _NAME_S, _LOOK_S, _TIMEOUT_S = 5.0, 90.0, 2.0, 60
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
    group = Group(aws).seen() or {}
    ids = [one["InstanceId"] for one in group.get("Instances", ()) if one["LifecycleState"] == "InService"]
    if not ids:
        raise DogbreedError(f"no machines of {aws.name('ec2')} are in service", "dogbreed deploy --to ec2")
    held = aws.client("ec2").describe_instances(InstanceIds=ids[:1])["Reservations"]
    return Address(f"{held[0]['Instances'][0]['PrivateIpAddress']}:{PORT}")


def client(aws: Aws) -> Answering:
    """Asks the service. DogbreedError, with a way through, where it cannot be reached from this machine."""
    where = address(aws)
    _reach(where, aws)
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


def _reach(where: Address, aws: Aws) -> None:
    """Connect once; a new name takes a minute to be known everywhere."""
    deadline = time.monotonic() + _NAME_S
    while True:
        try:
            socket.create_connection(where.place, _PROBE_S).close()
            return
        except socket.gaierror as error:
            if time.monotonic() > deadline:
                raise DogbreedError(f"{where.host} is not known to the DNS: {error.strerror}", "try again") from error
            time.sleep(_LOOK_S)
        except OSError as error:
            hint = "dogbreed status shows its machines"
            if where.private:
                hint = f"from a machine in its network, or through Session Manager:\n{tunnel(aws)}"
            words = "answers inside its own network only, and this machine is not in it" if where.private else error
            raise DogbreedError(f"{where.url}: {words}", hint) from error
