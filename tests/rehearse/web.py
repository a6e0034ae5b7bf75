"""Machines that answer HTTP on port 8080, and what stands in front of them, for tests of groups and load balancers."""

from __future__ import annotations

import base64
import http.client
import json
from typing import Any

import boto3
import instances
from standin import until

# /ping is well if the machine is said to be; /slow takes a second; a POST is answered in chunks with its size.
_SERVER = r"""
import http.server, json, sys, time
SLOW = []
class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    def do_GET(self):
        if self.path == "/slow":
            SLOW.append(1)
            time.sleep(1)
        told = {"name": NAME, "from": sys.argv[1], "slow": len(SLOW), "headers": dict(self.headers)}
        said = json.dumps(told).encode()
        self.send_response(500 if self.path == "/ping" and WELL == "no" else 200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    def do_POST(self):
        size = len(self.rfile.read(int(self.headers["Content-Length"])))
        self.send_response(201)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        for part in (b"%d" % size, b" bytes"):
            self.wfile.write(b"%x\r\n%s\r\n" % (len(part), part))
        self.wfile.write(b"0\r\n\r\n")
    def log_message(self, *_):
        pass
http.server.ThreadingHTTPServer((sys.argv[1], 8080), Answers).serve_forever()
"""
_SCRIPT = """imds=http://169.254.169.254/latest
token=$(curl -s -X PUT -H 'X-aws-ec2-metadata-token-ttl-seconds: 60' $imds/api/token)
exec python3 -c '{server}' $(curl -s -H "X-aws-ec2-metadata-token: $token" $imds/meta-data/local-ipv4)
"""
PORT = 8080


def script(name: str = "one", *, well: bool = True) -> str:
    """User data of a machine that answers with `name`."""
    server = _SERVER.replace("NAME", json.dumps(name)).replace("WELL", '"yes"' if well else '"no"')
    return _SCRIPT.format(server=server.replace("'", '"'))


def subnets() -> list[dict[str, Any]]:
    """Two subnets of the default VPC, in two zones."""
    return sorted(boto3.client("ec2").describe_subnets()["Subnets"], key=lambda one: one["AvailabilityZone"])[:2]


def target_group(**changes: Any) -> str:
    """A target group that looks every five seconds of the clock; its ARN."""
    told = {
        "Name": "targets", "Protocol": "HTTP", "Port": PORT, "VpcId": subnets()[0]["VpcId"], "HealthCheckPath": "/ping",
        "HealthCheckIntervalSeconds": 5, "HealthCheckTimeoutSeconds": 2, "HealthyThresholdCount": 2,
        "UnhealthyThresholdCount": 2,
    }  # fmt: skip
    return str(boto3.client("elbv2").create_target_group(**told | changes)["TargetGroups"][0]["TargetGroupArn"])


def balancer(group: str) -> dict[str, Any]:
    """A load balancer whose HTTP listener leads to the target group."""
    elb = boto3.client("elbv2")
    ids = [one["SubnetId"] for one in subnets()]
    made = elb.create_load_balancer(Name="front", Scheme="internal", Subnets=ids)["LoadBalancers"][0]
    elb.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTP", Port=80,
        DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )  # fmt: skip
    return dict(made)


def states(group: str) -> list[str]:
    """The states of all targets, sorted."""
    told = boto3.client("elbv2").describe_target_health(TargetGroupArn=group)["TargetHealthDescriptions"]
    return sorted(one["TargetHealth"]["State"] for one in told)


def all_healthy(group: str, count: int) -> None:
    """Wait until there are so many targets, all healthy."""
    until(lambda: states(group) == ["healthy"] * count)


def template(text: str, name: str = "machines") -> tuple[str, str]:
    """A new version of a launch template with this user data: id and version."""
    ec2 = boto3.client("ec2")
    encoded = base64.b64encode(f"#!/bin/bash\n{text}\n".encode()).decode()
    data: Any = {"ImageId": instances.image(), "InstanceType": "c5.large", "UserData": encoded}
    known = [one["LaunchTemplateName"] for one in ec2.describe_launch_templates()["LaunchTemplates"]]
    if name not in known:
        made = ec2.create_launch_template(LaunchTemplateName=name, LaunchTemplateData=data)["LaunchTemplate"]
        return made["LaunchTemplateId"], "1"
    told = ec2.create_launch_template_version(LaunchTemplateName=name, LaunchTemplateData=data)
    version = told["LaunchTemplateVersion"]
    return version["LaunchTemplateId"], str(version["VersionNumber"])


def ask(address: str, path: str = "/", body: bytes | None = None, **headers: str) -> tuple[int, bytes]:
    """Status and body from a load balancer."""
    connection = http.client.HTTPConnection(address, timeout=300)
    try:
        connection.request("POST" if body else "GET", path, body, headers)
        answer = connection.getresponse()
        return answer.status, answer.read()
    finally:
        connection.close()
