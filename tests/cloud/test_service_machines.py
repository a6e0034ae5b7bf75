"""The door ec2 before anything runs: settings, networks, rules, prices, the start script; and that repeating mends."""

from __future__ import annotations

import shlex
import ssl
import subprocess
from decimal import Decimal
from pathlib import Path

import boto3
import pytest
from laws import apply, remove, unchanged
from standin import until

from dogbreed import plan
from dogbreed.cloud.network import Network, Subnet, look
from dogbreed.cloud.policies_serving import EC2_SERVICE, END
from dogbreed.cloud.roles import InstanceProfile, Role
from dogbreed.cloud.serving import ending, machine_template, machines
from dogbreed.cloud.serving import group as group_module
from dogbreed.cloud.serving.balancer import Balancer, Listeners, TargetGroup
from dogbreed.cloud.serving.deployment import Deployment
from dogbreed.cloud.serving.group import Group
from dogbreed.cloud.serving.machine_boot import Boot, user_data
from dogbreed.cloud.serving.machine_client import SecureDoor, address
from dogbreed.cloud.serving.machine_network import BalancerGroup, MachineGroup, blocks, choose, groups_there
from dogbreed.cloud.serving.machine_template import Machine, ServiceTemplate
from dogbreed.cloud.session import Aws
from dogbreed.config import AwsSettings, DeploySettings
from dogbreed.errors import UsageError
from dogbreed.plan import Resource
from dogbreed.rehearse.state import Server
from dogbreed.run import STARTER, Run

CERTIFICATE = "arn:aws:acm:eu-west-1:123456789012:certificate/0123"
BOOT = Boot(
    image="123456789012.dkr.ecr.eu-west-1.amazonaws.com/dogbreed:abc",
    model="s3://b/models/ef49/model.tar.gz",
    digest="ef49",
    region="eu-west-1",
    group="/dogbreed/dogbreed",
    stream="ec2",
    environment={"DOGBREED_SERVE_NAME": "it's"},
)


# -- before any call


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"public": True}, "in clear"),
        ({"single": True, "instances": 2}, "--instances is for machines behind"),
        ({"single": True, "certificate": CERTIFICATE}, "--certificate is for machines behind"),
        ({"certificate": "arn:aws:acm:nonsense"}, "no ARN of a certificate"),
        ({"instance_type": "ml.c5.large"}, "is SageMaker's"),
        ({"instance_type": "c7g.large"}, "arm64 processors"),
        ({"image": "nginx"}, "no image that SageMaker can run"),
    ],
)
def test_settings_that_cannot_be_together(settings: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as error:
        machines.check(DeploySettings(to="ec2", **settings), AwsSettings())  # type: ignore[arg-type]
    assert error.value.hint


def subnet(name: str, zone: str, way: str, *endpoints: str) -> Subnet:
    return Subnet(name, "vpc-1", zone, way, frozenset(endpoints), 100)


ALL = ("s3", "ecr.api", "ecr.dkr", "logs")


def test_machines_are_in_private_subnets_where_there_are_some() -> None:
    both = [subnet(f"{way or 'shut'}-{zone}", zone, way) for zone in "ab" for way in ("internet", "nat")]
    place = choose(Network("vpc-1", tuple(both)), None, public=True, single=False)
    assert [one.id for one in place.machines] == ["nat-a", "nat-b"]
    assert [one.id for one in place.balancer] == ["internet-a", "internet-b"]
    assert not place.public_address
    # Without any, they have an address of their own, and nobody is let in.
    place = choose(Network("vpc-1", tuple(both[::2])), None, public=False, single=False)
    assert place.public_address
    assert [one.id for one in place.machines] == ["internet-a", "internet-b"]


def test_what_keeps_machines_from_aws_is_said_before_anything_is_made() -> None:
    shut = tuple(subnet(f"shut-{zone}", zone, "", "s3", "logs") for zone in "ab")
    with pytest.raises(UsageError, match=r"no endpoint for ecr\.api, ecr\.dkr") as error:
        choose(Network("vpc-1", shut), None, public=False, single=False)
    assert "VPC endpoints" in error.value.hint
    able = tuple(subnet(f"shut-{zone}", zone, "", *ALL) for zone in "ab")
    assert not choose(Network("vpc-1", able), None, public=False, single=False).public_address
    # A single machine is reached by Session Manager.
    with pytest.raises(UsageError, match="no endpoint for ssm, ssmmessages"):
        choose(Network("vpc-1", able), None, public=False, single=True)
    with pytest.raises(UsageError, match="that lead to the internet in two zones, and there are 0"):
        choose(Network("vpc-1", able), None, public=True, single=False)
    with pytest.raises(UsageError, match="in two zones, and there are 1"):
        choose(Network("vpc-1", able[:1]), None, public=False, single=False)
    with pytest.raises(UsageError, match="zone that has this type: c"):
        choose(Network("vpc-1", able), ["c"], public=False, single=False)


def test_the_start_script_trusts_its_container_with_nothing(tmp_path: Path) -> None:
    script = user_data(BOOT)
    (tmp_path / "script").write_text(script)
    subprocess.run(["bash", "-n", tmp_path / "script"], check=True)
    (run,) = [line for line in script.replace("\\\n", "").splitlines() if "docker run" in line]
    words = shlex.split(run)
    for flag in (
        "--read-only",
        "--cap-drop",
        "--restart",
        "--user",
        "--security-opt",
        "--log-driver",
        "--stop-timeout",
    ):
        assert flag in words
    assert words[words.index("--user") + 1] == "10001:10001"
    assert words[words.index("-e") + 1] == "DOGBREED_SERVE_NAME=it's"
    assert any(word.endswith(",dst=/opt/ml/model,readonly") for word in words)
    assert words[-2:] == [BOOT.image, "serve"]


def test_prices() -> None:
    own = DeploySettings(to="ec2", instances=2)
    assert machine_template.chosen_type(own, "us-east-1") == "c6i.large"
    wanted = Deployment(Aws(AwsSettings(region="us-east-1")), own, Run.open(STARTER))
    quiet, busy = machines.monthly(wanted, 1000), machines.monthly(wanted, 1e9)
    assert quiet.usd is not None and busy.usd is not None
    # 2 machines with disks and addresses, and the balancer.
    assert Decimal(148) < quiet.usd < Decimal(152)
    assert busy.usd > 9 * quiet.usd and busy.instances > 9
    abroad = Deployment(Aws(AwsSettings(region="eu-west-1")), own, Run.open(STARTER))
    assert machines.monthly(abroad, 1000).usd is None


# -- in an account


def front(aws: Aws, certificate: str = "") -> list[Resource]:
    """What stands before the machines."""
    network = look(aws)
    ranges = blocks(aws, network.vpc)
    outer = BalancerGroup(aws, network.vpc, ranges, (80,))
    inner = MachineGroup(aws, network.vpc, ranges, outer)
    subnets = choose(network, None, public=False, single=False).balancer
    balancer = Balancer(aws, [one.id for one in subnets], lambda: [outer.id()])
    return [outer, inner, TargetGroup(aws, network.vpc), balancer, Listeners(aws, certificate)]


def test_the_machines_let_in_the_balancer_alone(aws: Aws) -> None:
    made = front(aws)
    assert apply(made) == ["+"] * 5
    assert unchanged(front(aws))
    outer, inner = made[0].find(), made[1].find()
    assert outer is not None and inner is not None
    assert inner.content["inbound"] == [("tcp", 8080, 8080, outer.id)]
    assert inner.content["outbound"] == [("tcp", 443, 443, "0.0.0.0/0")]
    assert outer.content["inbound"] == [("tcp", 80, 80, "172.31.0.0/16")]
    assert [one.name for one in groups_there(aws)] == ["dogbreed-ec2-balancer", "dogbreed-ec2"]
    # Somebody opens the machines: the next deployment shuts them.
    boto3.client("ec2").authorize_security_group_ingress(
        GroupId=inner.id, IpProtocol="tcp", FromPort=22, ToPort=22, CidrIp="0.0.0.0/0"
    )
    (step,) = plan.make(made).changes
    assert (step.resource.name, step.why) == ("dogbreed-ec2", "inbound")
    apply(made)
    assert unchanged(made)


def test_a_certificate_changes_the_listeners_and_is_what_the_client_trusts(aws: Aws) -> None:
    acm = boto3.client("acm")
    arn = acm.request_certificate(DomainName="*.dogs.example.org")["CertificateArn"]
    pem, others = until(lambda: issued(arn)), until(lambda: issued(arn, other=True))
    apply(front(aws))
    assert address(aws).url.startswith("http://127.0.0.1:")
    secure = front(aws, arn)
    assert [step.resource.kind for step in plan.make(secure).changes] == ["listeners"]
    apply(secure)
    assert unchanged(secure)
    where = address(aws)
    assert where.url.startswith("https://127.0.0.1:")
    connection = SecureDoor(where, "dogbreed.dogs.example.org", pem)._connect()
    connection.request("GET", "/ping")
    assert connection.getresponse().status == 503  # TLS is right, and there are no machines
    connection.close()
    for domain, text in (("dogs.example.com", pem), ("dogbreed.dogs.example.org", others)):
        with pytest.raises(ssl.SSLError):
            SecureDoor(where, domain, text)._connect().connect()
    assert remove(secure) == ["-"] * 5


def test_a_public_balancer_lets_everybody_in_by_https_and_the_machines_nobody_but_it(aws: Aws) -> None:
    waiting = boto3.client("acm").request_certificate(DomainName="dogs.example.org")["CertificateArn"]
    arn = imported("dogs.example.org")

    def made(certificate: str) -> dict[str, Resource]:
        own = DeploySettings(to="ec2", public=True, certificate=certificate, ttl="8h")
        found = machines.resources(Deployment(aws, own, Run.open(STARTER)))
        return {f"{one.kind} {one.name}": one for one in found}

    for wrong, words in (
        (CERTIFICATE, "there is no certificate"),
        (CERTIFICATE.replace("west", "north"), "eu-north-1"),
        (waiting, "not usable: PENDING_VALIDATION"),
    ):
        with pytest.raises(UsageError, match=words):
            made(wrong)
    parts = made(arn)
    assert list(parts)[-2:] == ["scheduled end dogbreed-end-ec2", "scheduled end dogbreed-end-ec2-balancer"]
    assert parts["load balancer dogbreed-ec2"].wanted()["scheme"] == "internet-facing"
    groups = [parts[f"security group dogbreed-ec2{part}"] for part in ("-balancer", "")]
    apply(groups)
    everybody = {(port, peer) for port in (80, 443) for peer in ("0.0.0.0/0", "::/0")}
    assert {(rule[1], rule[3]) for rule in groups[0].wanted()["inbound"]} == everybody
    outer = groups[0].find()
    assert outer is not None and groups[1].wanted()["inbound"] == [("tcp", 8080, 8080, outer.id)]


def test_the_end_of_a_balancer_that_was_made_anew_is_moved_to_it(aws: Aws) -> None:
    made = [*front(aws), Role(aws, END), ending.End(aws, ending.BALANCER, "8h")]
    apply(made)
    assert unchanged(made)
    balancer = made[3].find()
    assert balancer is not None
    boto3.client("elbv2").delete_load_balancer(LoadBalancerArn=balancer.id)
    apply(front(aws))
    assert [(step.resource.name, step.why) for step in plan.make(made).changes] == [
        ("dogbreed-end-ec2-balancer", "input")
    ]
    apply(made)
    assert unchanged(made)
    # A single machine has none, and what is left of one goes.
    single = Deployment(aws, DeploySettings(to="ec2", single=True, ttl="8h"), Run.open(STARTER))
    names = [one.name for one in machines.resources(single)]
    assert "dogbreed-end-ec2" in names
    assert "dogbreed-end-ec2-balancer" not in names
    assert "dogbreed-end-ec2-balancer" in [one.name for one in machines.surplus(single)]


def imported(domain: str) -> str:
    """A certificate that nobody but its own key has signed."""
    words = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "9", "-subj", f"/CN={domain}"]
    words += ["-addext", f"subjectAltName=DNS:{domain}", "-keyout", "-"]
    made = subprocess.run(words, check=True, capture_output=True).stdout
    key, _, certificate = made.partition(b"-----BEGIN CERTIFICATE")
    told = boto3.client("acm").import_certificate(Certificate=b"-----BEGIN CERTIFICATE" + certificate, PrivateKey=key)
    return str(told["CertificateArn"])


def issued(arn: str, *, other: bool = False) -> str:
    """The certificate, or another one for the same names."""
    acm = boto3.client("acm")
    if other:
        arn = acm.request_certificate(DomainName="*.dogs.example.org", IdempotencyToken="2")["CertificateArn"]
    try:
        return str(acm.get_certificate(CertificateArn=arn)["Certificate"])
    except acm.exceptions.RequestInProgressException:
        return ""


def crowd(aws: Aws, boot: Boot = BOOT, **more: object) -> Group:
    """A group whose machines need no load balancer to count as well."""
    network = look(aws)
    role = Role(aws, EC2_SERVICE)
    profile = InstanceProfile(aws, role)
    rules = MachineGroup(aws, network.vpc, blocks(aws, network.vpc))
    machine = Machine("c5.large", machine_template.newest_image(aws), boot, lambda: [rules.id()], False)
    template = ServiceTemplate(aws, profile.name, machine)
    apply([role, profile, rules, template])
    subnets = [one.id for one in choose(network, None, public=False, single=True).machines]
    told = {"count": 1, "subnets": subnets, "behind": False} | more
    return Group(aws, template, **told)  # type: ignore[arg-type]


@pytest.mark.slow
def test_what_scaling_has_made_of_the_group_stays(account: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(group_module, "_LOOK_S", 0.05)
    aws = Aws(AwsSettings())
    apply([crowd(aws)])
    scaling = boto3.client("autoscaling")
    scaling.update_auto_scaling_group(AutoScalingGroupName="dogbreed-ec2", MaxSize=4, DesiredCapacity=3)
    assert unchanged([crowd(aws)])
    # Another number is asked for, and holds; the bounds only widen.
    assert apply([crowd(aws, count=2)]) == ["~"]
    seen = Group(aws).seen() or {}
    assert (seen["MinSize"], seen["MaxSize"], seen["DesiredCapacity"]) == (1, 4, 2)
    found = boto3.client("ec2").describe_launch_template_versions(
        LaunchTemplateName="dogbreed-ec2", Versions=["$Default"]
    )["LaunchTemplateVersions"][0]["LaunchTemplateData"]
    assert found["MetadataOptions"]["HttpTokens"] == "required"
    assert found["MetadataOptions"]["HttpPutResponseHopLimit"] == 1
    assert found["BlockDeviceMappings"][0]["Ebs"]["Encrypted"] is True
    assert "KeyName" not in found
    assert remove([Group(aws)]) == ["-"]
    assert Group(aws).find() is None
