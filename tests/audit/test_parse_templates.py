"""CloudFormation and SAM: functions worked out, unknown kept unknown, every place the right one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from dogbreed.audit.model import HOLE, UNKNOWN, Corpus, Kind
from dogbreed.audit.parse import documents, yamltext
from dogbreed.audit.parse.intrinsics import ABSENT, Resolver

TEMPLATE = {
    "Parameters": {
        "Stage": {"Type": "String", "Default": "prod"},
        "Open": {"Type": "String"},
        "Nets": {"Type": "CommaDelimitedList", "Default": "a, b"},
        "NoNets": {"Type": "List<AWS::EC2::Subnet::Id>"},
        "Only": {"Type": "String", "AllowedValues": ["x"]},
        "Looked": {"Type": "AWS::SSM::Parameter::Value<String>", "Default": "/a/b"},
    },
    "Mappings": {"Sizes": {"prod": {"type": "ml.m5.large", "many": ["a", "b"]}}},
    "Conditions": {
        "IsProd": {"Fn::Equals": [{"Ref": "Stage"}, "prod"]},
        "IsOpen": {"Fn::Equals": [{"Ref": "Open"}, "yes"]},
        "Neither": {"Fn::And": [{"Fn::Not": [{"Condition": "IsProd"}]}, {"Condition": "IsOpen"}]},
        "Either": {"Fn::Or": [{"Condition": "IsOpen"}, {"Condition": "IsProd"}]},
        "Loop": {"Condition": "Loop"},
    },
    "Resources": {
        "Role": {"Type": "AWS::IAM::Role", "Properties": {"RoleName": {"Fn::Sub": "dogs-${Stage}"}, "Path": "/a/"}},
        "Plain": {"Type": "AWS::IAM::Role"},
        "Bucket": {"Type": "AWS::S3::Bucket"},
        "Topic": {"Type": "AWS::SNS::Topic"},
        "Odd": {"Type": "Custom::Thing"},
    },
}
OWN = "arn:aws:iam::000000000000:role"
CASES: list[tuple[Any, Any]] = [
    ({"Ref": "Stage"}, "prod"),
    ({"Ref": "Open"}, HOLE),
    ({"Ref": "Looked"}, HOLE),
    ({"Ref": "Nowhere"}, HOLE),
    ({"Ref": "Only"}, "x"),
    ({"Ref": "Nets"}, ["a", "b"]),
    ({"Ref": "NoNets"}, UNKNOWN),
    ({"Ref": "AWS::AccountId"}, "000000000000"),
    ({"Ref": "AWS::NoValue"}, ABSENT),
    ({"Ref": "Role"}, "dogs-prod"),
    ({"Ref": "Plain"}, "Plain"),
    ({"Ref": "Topic"}, "arn:aws:sns:own-region-1:000000000000:Topic"),
    ({"Fn::GetAtt": ["Role", "Arn"]}, f"{OWN}/a/dogs-prod"),
    ({"Fn::GetAtt": "Plain.Arn"}, f"{OWN}/Plain"),
    ({"Fn::GetAtt": ["Odd", "Value"]}, HOLE),
    ({"Fn::Sub": "${Bucket.Arn}/*"}, "arn:aws:s3:::Bucket/*"),
    ({"Fn::Sub": "${!Literal}-${Stage}"}, "${Literal}-prod"),
    ({"Fn::Sub": ["${a}-${Open}", {"a": {"Ref": "Stage"}}]}, f"prod-{HOLE}"),
    ({"Fn::Join": ["/", [{"Fn::GetAtt": ["Bucket", "Arn"]}, "x"]]}, "arn:aws:s3:::Bucket/x"),
    ({"Fn::Join": ["", {"Ref": "NoNets"}]}, HOLE),
    ({"Fn::If": ["IsProd", 1, 2]}, 1),
    ({"Fn::If": ["IsOpen", "a", "a"]}, "a"),
    ({"Fn::If": ["IsOpen", "a", "b"]}, HOLE),
    ({"Fn::If": ["IsOpen", "a", {"Ref": "AWS::NoValue"}]}, UNKNOWN),
    ({"Fn::If": ["Neither", "a", {"Ref": "AWS::NoValue"}]}, ABSENT),
    ({"Fn::If": ["Either", "a", "b"]}, "a"),
    ({"Fn::If": ["Loop", "a", "b"]}, HOLE),
    ({"Fn::FindInMap": ["Sizes", {"Ref": "Stage"}, "type"]}, "ml.m5.large"),
    ({"Fn::FindInMap": ["Sizes", {"Ref": "Open"}, "type"]}, UNKNOWN),
    ({"Fn::FindInMap": ["Sizes", "x", "y", {"DefaultValue": "z"}]}, "z"),
    ({"Fn::Select": [1, {"Fn::FindInMap": ["Sizes", "prod", "many"]}]}, "b"),
    ({"Fn::Select": ["1", {"Fn::Split": [",", "a,b"]}]}, "b"),
    ({"Fn::Split": [",", {"Ref": "Open"}]}, UNKNOWN),
    ({"Fn::ImportValue": "x"}, HOLE),
    ({"Fn::Transform": {"Name": "AWS::Include"}}, UNKNOWN),
    ({"Fn::Base64": {"Fn::Sub": "echo ${Stage}"}}, "echo prod"),
    ([{"Ref": "AWS::NoValue"}, "a"], ["a"]),
    ({"a": {"Ref": "AWS::NoValue"}, "b": 1}, {"b": 1}),
]


@pytest.mark.parametrize(("value", "wanted"), CASES, ids=[json.dumps(one[0])[:60] for one in CASES])
def test_functions_give_what_aws_gives(value: Any, wanted: Any) -> None:
    found = Resolver(TEMPLATE).resolve(value, ())
    assert found is wanted if wanted in (UNKNOWN, ABSENT) else found == wanted


STEPS = st.sampled_from(
    ["Ref", "Fn::GetAtt", "Fn::Sub", "Fn::Join", "Fn::If", "Fn::Select", "Fn::Split", "Fn::FindInMap"]
)
ANYTHING = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.sampled_from(["Stage", "Open", "Role", "IsProd", "Role.Arn", "${Open}"]),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(STEPS, inner, max_size=1)
        | st.dictionaries(st.text(max_size=3), inner, max_size=2)
    ),
    max_leaves=12,
)


@given(ANYTHING)
def test_any_use_of_functions_gives_a_value(value: Any) -> None:
    Resolver({**TEMPLATE, "Conditions": {"IsProd": value}}).resolve(value, ())


def read(text: str, kind: str = "yaml") -> Corpus:
    return documents.read_text(text, "t", kind)


YAML = """\
Resources:
  Role:
    Type: AWS::IAM::Role
    Properties:
      AssumeRolePolicyDocument:
        Statement:
          - Effect: Allow
            Principal: {Service: lambda.amazonaws.com}
            Action: sts:AssumeRole
      ManagedPolicyArns:
        - arn:aws:iam::aws:policy/AmazonS3FullAccess
        - !Ref Mine
  Mine:
    Type: AWS::IAM::ManagedPolicy
    Properties:
      PolicyDocument:
        Version: 2012-10-17
        Statement:
          - Effect: Allow
            Action:
              - s3:GetObject
              - s3:PutObject
            Resource: !If [Big, "*", !Sub "${Bucket.Arn}/*"]
  Bucket:
    Type: AWS::S3::Bucket
  BucketPolicy:
    Type: AWS::S3::BucketPolicy
    Properties:
      Bucket: !Ref Bucket
      PolicyDocument:
        Statement: {Effect: Allow, Principal: "*", Action: s3:GetObject, Resource: "*"}
  Function:
    Type: AWS::Lambda::Function
    Properties:
      Role: !GetAtt Role.Arn
"""


def test_a_template_becomes_principals_and_resources_at_their_places() -> None:
    corpus = read(YAML)
    (role,) = corpus.principals
    assert role.trust is not None
    assert (role.trust.attached_to, role.trust.statements[0].at().line) == (role.arn, 7)
    assert role.unresolved == ("arn:aws:iam::aws:policy/AmazonS3FullAccess",)
    (policy,) = role.policies
    assert (policy.version, policy.name) == ("2012-10-17", "Mine")
    place = policy.statements[0].at("Action", 1)
    assert (place.line, place.column) == (22, 17)
    assert policy.statements[0].resources == (HOLE,)
    bucket, function = corpus.resources
    assert [one.attached_to for one in bucket.policies] == [bucket.arn] == ["arn:aws:s3:::Bucket"]
    assert function.roles == (role.arn,)
    assert not corpus.policies


def test_json_and_yaml_give_the_same() -> None:
    as_json = json.dumps(yamltext.parse_many(YAML, "t")[0][0][0], indent=2)
    one, other = read(YAML), read(as_json, "json")
    assert [p.arn for p in one.principals] == [p.arn for p in other.principals]
    assert [r.properties for r in one.resources] == [r.properties for r in other.resources]
    statements = [corpus.principals[0].policies[0].statements for corpus in (one, other)]
    assert statements[0] == statements[1]


def test_a_boundary_is_a_policy_of_its_own_kind() -> None:
    text = """\
Resources:
  Limit:
    Type: AWS::IAM::ManagedPolicy
    Properties: {PolicyDocument: {Statement: {Effect: Allow, Action: "*", Resource: "*"}}}
  One:
    Type: AWS::IAM::Role
    Properties: {PermissionsBoundary: !Ref Limit}
  Both:
    Type: AWS::IAM::Role
    Properties: {PermissionsBoundary: !Ref Limit, ManagedPolicyArns: [!Ref Limit]}
  Aws:
    Type: AWS::IAM::Role
    Properties: {PermissionsBoundary: "arn:aws:iam::aws:policy/PowerUserAccess"}
  Unknown:
    Type: AWS::IAM::Role
    Properties: {PermissionsBoundary: !ImportValue Limit}
"""
    corpus = read(text)
    one, both, aws, unknown = corpus.principals
    for role in (one, both, aws):
        assert role.boundary is not None and role.boundary.kind == Kind.BOUNDARY
    assert [policy.kind for policy in both.policies] == [Kind.IDENTITY]
    assert (unknown.boundary, unknown.boundary_unresolved) == (None, HOLE)
    assert not corpus.policies


SAM = """\
Transform: AWS::Serverless-2016-10-31
Globals:
  Function:
    Runtime: python3.8
    Environment: {Variables: {LEVEL: info}}
Resources:
  Dogs:
    Type: AWS::Serverless::Function
    Properties:
      Environment: {Variables: {MORE: x}}
      VpcConfig: {SubnetIds: [a]}
      FunctionUrlConfig: {AuthType: NONE}
      Policies:
        - AmazonSageMakerFullAccess
        - S3ReadPolicy: {BucketName: photos}
        - Statement: [{Effect: Allow, Action: "sagemaker:InvokeEndpoint", Resource: "*"}]
        - NoSuchPolicy: {}
  Other:
    Type: AWS::Serverless::Function
    Properties:
      Role: !GetAtt DogsRole.Arn
"""


def test_sam_is_written_out() -> None:
    corpus = read(SAM)
    (role,) = corpus.principals
    assert role.name == "DogsRole"
    assert role.unresolved == tuple(
        f"arn:aws:iam::aws:policy/{name}"
        for name in (
            "service-role/AWSLambdaBasicExecutionRole",
            "service-role/AWSLambdaVPCAccessExecutionRole",
            "AmazonSageMakerFullAccess",
        )
    )
    known = [policy.statements[0].resources for policy in role.policies]
    assert known == [("arn:aws:s3:::photos", "arn:aws:s3:::photos/*"), ("*",), None]
    assert role.policies[1].statements[0].at("Action").line == 16
    url, dogs, other = corpus.resources
    assert (url.type, url.get("AuthType")) == ("AWS::Lambda::Url", "NONE")
    assert dogs.get("Environment", "Variables") == {"LEVEL": "info", "MORE": "x"}
    assert (dogs.get("Runtime"), dogs.at("Runtime").line) == ("python3.8", 4)
    assert dogs.roles == other.roles == (role.arn,)


def test_loops_are_written_out() -> None:
    text = """\
Transform: AWS::LanguageExtensions
Resources:
  Fn::ForEach::Buckets:
    - Name
    - [raw, model]
    - Bucket${Name}:
        Type: AWS::S3::Bucket
        Properties: {BucketName: !Sub "dogs-${Name}"}
  Fixed: {Type: AWS::S3::Bucket}
"""
    assert {one.id: one.get("BucketName") for one in read(text).resources} == {
        "Bucketraw": "dogs-raw",
        "Bucketmodel": "dogs-model",
        "Fixed": None,
    }


# -- YAML itself

SCALARS = st.none() | st.booleans() | st.integers(-999, 999) | st.text("abcdefgäß :#-'\"\n", max_size=8)
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text("abcdef", min_size=1), inner, max_size=3),
    max_leaves=10,
)


@given(st.dictionaries(st.text("abc", min_size=1), PLAIN, min_size=1, max_size=3), st.booleans())
def test_yaml_is_read_as_it_was_written(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    documents, errors = yamltext.parse_many(text, "t")
    assert not errors
    assert documents[0][0] == value


@given(st.text("ab:{}[]-&*!|>#'\"\n \t,?<", max_size=40))
def test_any_text_is_read_or_broken_at_a_place(text: str) -> None:
    _, errors = yamltext.parse_many(text, "t")
    assert all(1 <= one.location.line <= text.count("\n") + 2 for one in errors)


BOMB = "a: &a [x]\n" + "".join(
    f"b{i}: &b{i} [{', '.join(['*' + (f'b{i - 1}' if i else 'a')] * 9)}]\n" for i in range(9)
)
BROKEN = {
    "a: [1\nb: 2": 2,
    "a: 1\nb: 2\na: 3": 3,
    "a: *nowhere": 1,
    "&a [*a]": 1,
    "a: " + "[" * 5000: 1,
    BOMB: 6,
    "? [a]\n: 1": 1,
    "a: \x07": 1,
}


@pytest.mark.parametrize(("text", "line"), BROKEN.items(), ids=range(len(BROKEN)))
def test_broken_yaml_says_where(text: str, line: int) -> None:
    _, errors = yamltext.parse_many(text, "t")
    assert errors[0].location.line == line


def test_own_keys_win_over_merged_ones() -> None:
    text = "base: &b {a: 1, b: 2}\nuse:\n  <<: *b\n  a: 3\n"
    assert yamltext.parse_many(text, "t")[0][0][0]["use"] == {"a": 3, "b": 2}


def test_a_template_may_begin_with_a_mark_and_end_lines_in_two_characters(tmp_path: Path) -> None:
    from dogbreed.audit.parse import read as read_paths

    for name, data in {
        "bom.yaml": b"\xef\xbb\xbf" + YAML.encode(),
        "crlf.yaml": YAML.replace("\n", "\r\n").encode(),
        "wide.json": json.dumps(yamltext.parse_many(YAML, "t")[0][0][0]).encode("utf-16"),
    }.items():
        (tmp_path / name).write_bytes(data)
        corpus = read_paths([tmp_path / name])
        assert (len(corpus.principals), corpus.errors) == (1, []), name
