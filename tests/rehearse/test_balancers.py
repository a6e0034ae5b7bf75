"""Load balancers of the stand-in: requests go through to real machines, and are refused as an ALB refuses them."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
import threading
from collections.abc import Iterator
from typing import Any

import boto3
import handlers
import instances
import pytest
import web
from botocore.exceptions import ClientError
from hypothesis import given, settings
from hypothesis import strategies as st
from standin import until

from dogbreed.rehearse.balancer_http import ClosedError, MalformedError, Stream
from dogbreed.rehearse.state import Server


@pytest.fixture
def sped(either: Server) -> Iterator[Server]:
    either.ask("speed", speed=30)
    yield either
    either.ask("speed", speed=1)


@pytest.mark.slow
def test_requests_reach_machines_in_turn_and_a_machine_that_leaves_finishes_what_it_has_begun(sped: Server) -> None:
    elb = boto3.client("elbv2")
    group = web.target_group()
    address = web.balancer(group)["DNSName"]
    assert address.startswith("127.0.0.1:")
    assert web.ask(address)[0] == 503
    ids = instances.run(web.script(), 2)
    for one in ids:
        instances.wait_for(one, "running")
    elb.register_targets(TargetGroupArn=group, Targets=[{"Id": one} for one in ids])
    web.all_healthy(group, 2)
    answers = [json.loads(web.ask(address, "/x", **{"X-Forwarded-For": "10.9.9.9"})[1]) for _ in range(4)]
    assert sorted(one["from"] for one in answers) == sorted(
        2 * [instances.describe(one)["PrivateIpAddress"] for one in ids]
    )
    headers = answers[0]["headers"]
    assert headers["X-Forwarded-For"] == "10.9.9.9, 127.0.0.1"
    assert (headers["X-Forwarded-Proto"], headers["X-Forwarded-Port"]) == ("http", "80")
    assert headers["X-Amzn-Trace-Id"].startswith("Root=1-")
    assert web.ask(address, "/", b"x" * 3_000_000, **{"Content-Type": "image/jpeg"}) == (201, b"3000000 bytes")

    # Each has one slow request when it is told to leave.
    said: list[int] = []
    slow = [threading.Thread(target=lambda: said.append(web.ask(address, "/slow")[0])) for _ in range(2)]
    for thread in slow:
        thread.start()
    until(lambda: sum(json.loads(web.ask(address)[1])["slow"] for _ in range(2)) == 2)
    elb.deregister_targets(TargetGroupArn=group, Targets=[{"Id": ids[0]}])
    left = {json.loads(web.ask(address)[1])["from"] for _ in range(4)}
    assert left == {instances.describe(ids[1])["PrivateIpAddress"]}
    for thread in slow:
        thread.join()
    assert said == [200, 200]
    until(lambda: web.states(group) == ["healthy"])

    # One that dies is noticed; until then its requests fail.
    boto3.client("ec2").terminate_instances(InstanceIds=[ids[1]])
    instances.wait_for(ids[1], "terminated")
    assert web.ask(address)[0] == 502
    until(lambda: web.states(group) == ["unhealthy"])


def test_figures_are_told_by_minute(account: Server) -> None:
    account.ask("speed", speed=600)
    try:
        group = web.target_group()
        made = web.balancer(group)
        for _ in range(5):
            assert web.ask(made["DNSName"])[0] == 503
        where = {"space": "AWS/ApplicationELB", "LoadBalancer": made["LoadBalancerArn"].split(":loadbalancer/")[1]}
        until(lambda: handlers.total("HTTPCode_ELB_503_Count", **where) == 5)
    finally:
        account.ask("speed", speed=1)


def test_tls_with_the_certificate_of_acm_and_http_that_leads_there(account: Server) -> None:
    elb, acm = boto3.client("elbv2"), boto3.client("acm")
    arn = acm.request_certificate(DomainName="dogs.example.org")["CertificateArn"]
    group = web.target_group()
    made = web.balancer(group)
    (plain,) = elb.describe_listeners(LoadBalancerArn=made["LoadBalancerArn"])["Listeners"]
    redirect = {"Type": "redirect", "RedirectConfig": {"Protocol": "HTTPS", "Port": "443", "StatusCode": "HTTP_301"}}
    elb.modify_listener(ListenerArn=plain["ListenerArn"], DefaultActions=[redirect])
    elb.create_listener(
        LoadBalancerArn=made["LoadBalancerArn"], Protocol="HTTPS", Port=443,
        Certificates=[{"CertificateArn": arn}], DefaultActions=[{"Type": "forward", "TargetGroupArn": group}],
    )  # fmt: skip
    host, port = made["DNSName"].split(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=300)
    connection.request("GET", "/photos?x=1", headers={"Host": "dogs.example.org"})
    answer = connection.getresponse()
    assert (answer.status, answer.getheader("Location")) == (301, "https://dogs.example.org:443/photos?x=1")
    context = ssl.create_default_context(cadata=until(lambda: certificate(acm, arn)))
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN  # whoever has signed it
    with socket.create_connection((host, int(port)), 300) as plain_socket:
        secure = context.wrap_socket(plain_socket, server_hostname="dogs.example.org")
        secure.sendall(b"GET / HTTP/1.1\r\nHost: dogs.example.org\r\n\r\n")
        assert secure.recv(100).startswith(b"HTTP/1.1 503 ")
        secure.close()


def certificate(acm: Any, arn: str) -> str:
    try:
        return str(acm.get_certificate(CertificateArn=arn)["Certificate"])
    except ClientError:  # it is being issued
        return ""


def test_one_zone_is_not_enough_and_the_same_again_is_no_error(account: Server) -> None:
    elb = boto3.client("elbv2")
    ids = [one["SubnetId"] for one in web.subnets()]
    with pytest.raises(ClientError, match="two different Availability Zones"):
        elb.create_load_balancer(Name="front", Subnets=ids[:1])
    first = elb.create_load_balancer(Name="front", Subnets=ids)["LoadBalancers"][0]
    again = elb.create_load_balancer(Name="front", Subnets=ids)["LoadBalancers"][0]
    assert again["LoadBalancerArn"] == first["LoadBalancerArn"]
    with pytest.raises(ClientError, match="different settings"):
        elb.create_load_balancer(Name="front", Subnets=ids, Scheme="internal")
    elb.delete_load_balancer(LoadBalancerArn=first["LoadBalancerArn"])
    with pytest.raises(OSError):
        web.ask(first["DNSName"])


# -- what goes through a proxy is what came in


def both_ends(sent: bytes) -> Stream:
    near, far = socket.socketpair()
    threading.Thread(target=lambda: (near.sendall(sent), near.close()), daemon=True).start()
    far.settimeout(300)
    return Stream(far)


@settings(deadline=None, max_examples=60)
@given(st.lists(st.binary(min_size=1, max_size=300), max_size=8), st.booleans())
def test_a_body_passes_unchanged_and_what_follows_is_left(parts: list[bytes], trailers: bool) -> None:
    chunks = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    chunks += b"0\r\n" + (b"X-Sum: 1\r\n" if trailers else b"") + b"\r\n"
    stream = both_ends(chunks + b"".join(parts) + b"GET /next HTTP/1.1\r\nHost: a\r\n\r\n")
    assert b"".join(stream.body(None)) == chunks
    assert b"".join(stream.body(len(b"".join(parts)))) == b"".join(parts)
    head = stream.head()
    assert head.words == ("GET", "/next", "HTTP/1.1")
    assert head.keeps_alive
    with pytest.raises(ClosedError):
        stream.head()
    stream.close()


@settings(deadline=None, max_examples=100)
@given(st.binary(max_size=200))
def test_no_bytes_are_more_than_malformed(noise: bytes) -> None:
    stream = both_ends(noise)
    try:
        head = stream.head()
        list(stream.body(0 if head.length == -1 else head.length))
    except (MalformedError, ClosedError):
        pass
    finally:
        stream.close()
