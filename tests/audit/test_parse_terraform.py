"""Terraform: expressions worked out, unknown kept unknown, modules and plans followed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dogbreed.audit.finding import BrokenInput
from dogbreed.audit.model import HOLE, UNKNOWN, Corpus
from dogbreed.audit.parse import hclmodule, hcltemplate, read

MODULE = """
locals {
  name = "dogs-${var.stage}"
  many = ["a", "b"]
  tags = { x = 1, y = 2 }
  loop = local.loop
}
variable "stage" { default = "dev" }
variable "text" { type = string }
variable "list" { type = list(string) }
variable "none" { default = null }
data "aws_caller_identity" "me" {}
data "aws_region" "here" {}
data "aws_iam_policy" "full" { name = "AmazonSageMakerFullAccess" }
data "aws_iam_role" "there" { name = "run" }
data "aws_ecr_repository" "dogs" { name = "dogs" }
data "aws_kms_key" "any" { key_id = "alias/x" }
resource "aws_iam_role" "r" { name = "${local.name}-role" }
resource "aws_s3_bucket" "b" { bucket_prefix = "photos-" }
resource "aws_sns_topic" "t" {}
resource "aws_iam_role" "each" {
  for_each = toset(["one", "two"])
  name     = "role-${each.key}"
}
"""
CASES: list[tuple[str, Any]] = [
    ('"a-${local.name}"', "a-dogs-dev"),
    ("local.many[1]", "b"),
    ("local.tags", {"x": 1, "y": 2}),
    ('local.tags["y"]', 2),
    ("local.loop", UNKNOWN),
    ("var.text", HOLE),
    ('"${var.text}-x"', f"{HOLE}-x"),
    ("var.list", UNKNOWN),
    ("var.none", None),
    ("var.nowhere", UNKNOWN),
    ("1 + 2 * 3", 7),
    ("(1 + 2) * 3", 9),
    ("2 * 3 == 6 && !false", True),
    ("true || var.list", True),
    ('var.text == "a"', UNKNOWN),
    ('var.stage == "dev" ? "yes" : "no"', "yes"),
    ('var.text == "a" ? "yes" : "no"', HOLE),
    ('var.text == "a" ? "same" : "same"', "same"),
    ("[for one in local.many : upper(one)]", ["A", "B"]),
    ('{for key, value in local.tags : key => value if key != "x"}', {"y": 2}),
    ("[for one in var.list : one]", UNKNOWN),
    ('jsonencode({Version = "1", "Statement": []})', {"Version": "1", "Statement": []}),
    ('concat(local.many, ["c"])', ["a", "b", "c"]),
    ('merge(local.tags, {z = "3"})', {"x": 1, "y": 2, "z": "3"}),
    ('format("%s/%d", local.name, 3)', "dogs-dev/3"),
    ('join(",", local.many)', "a,b"),
    ('lookup(local.tags, "q", "w")', "w"),
    ('cidrsubnet("10.0.0.0/8", 8, 1)', UNKNOWN),
    ("data.aws_caller_identity.me.account_id", "000000000000"),
    ("data.aws_region.here.name", "own-region-1"),
    ("data.aws_iam_policy.full.arn", "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"),
    ("data.aws_iam_role.there.arn", "arn:aws:iam::000000000000:role/run"),
    ("data.aws_ecr_repository.dogs.repository_url", "000000000000.dkr.ecr.own-region-1.amazonaws.com/dogs"),
    ("data.aws_kms_key.any.arn", HOLE),
    ("aws_iam_role.r.arn", "arn:aws:iam::000000000000:role/dogs-dev-role"),
    ("aws_iam_role.r.name", "dogs-dev-role"),
    ("aws_iam_role.r.unique_id", HOLE),
    ('aws_iam_role.each["one"].arn', "arn:aws:iam::000000000000:role/role-one"),
    ("aws_s3_bucket.b.arn", "arn:aws:s3:::photos-b"),
    ("aws_sns_topic.t.id", "arn:aws:sns:own-region-1:000000000000:t"),
    ("aws_iam_role.r[*].arn", ["arn:aws:iam::000000000000:role/dogs-dev-role"]),
    ('"$${literal} \\"quoted\\""', '${literal} "quoted"'),
    ('"%{ if true }a%{ endif }"', HOLE),
]


@pytest.mark.parametrize(("expression", "wanted"), CASES, ids=[one[0] for one in CASES])
def test_expressions_give_what_terraform_gives(expression: str, wanted: Any) -> None:
    files = hclmodule.Files(Path())
    files.add(MODULE, "main.tf")
    found = hcltemplate.parse_and_evaluate(expression, hclmodule.Module(files, {}, ""))
    assert found is wanted if wanted is UNKNOWN else found == wanted


@given(st.text('abx.[]{}()"$,=?:!&|+-*/<> 123\n', max_size=30))
def test_any_expression_gives_a_value(text: str) -> None:
    files = hclmodule.Files(Path())
    files.add(MODULE, "main.tf")
    hcltemplate.parse_and_evaluate(text, hclmodule.Module(files, {}, ""))


@settings(deadline=None)
@given(st.integers(0, 900), st.integers(0, 40), st.text('{}[]"$=<\n ab', max_size=6))
def test_a_damaged_module_is_read_or_broken_at_a_place(at: int, cut: int, put: str) -> None:
    text = (MODULE + DOCUMENT)[:at] + put + (MODULE + DOCUMENT)[at + cut :]
    files = hclmodule.Files(Path())
    try:
        files.add(text, "main.tf")
    except BrokenInput as error:
        assert 1 <= error.location.line <= text.count("\n") + 2
        return
    module = hclmodule.Module(files, {}, "")
    for block in files.blocks:
        for _, scope in module.instances(block):
            module.body(block.body, scope)


def written(folder: Path, **texts: str) -> Corpus:
    for name, text in texts.items():
        path = folder / f"{name.replace('__', '/')}.tf"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return read([folder])


DOCUMENT = """\
data "aws_iam_policy_document" "base" {
  statement {
    sid       = "Base"
    actions   = ["s3:GetObject"]
    resources = ["*"]
  }
}
data "aws_iam_policy_document" "all" {
  source_policy_documents   = [data.aws_iam_policy_document.base.json]
  override_policy_documents = [
    jsonencode({ Statement = [{ Sid = "Own", Effect = "Deny", Action = "s3:*", Resource = "*" }] })
  ]
  statement {
    sid           = "Own"
    not_actions   = ["iam:*"]
    not_resources = ["arn:aws:s3:::a"]
  }
  dynamic "statement" {
    for_each = ["x", "y"]
    content {
      effect    = "Deny"
      actions   = ["s3:Delete*"]
      resources = ["arn:aws:s3:::${statement.value}/*"]
      principals {
        type        = "AWS"
        identifiers = ["111122223333"]
      }
      condition {
        test     = "StringLike"
        variable = "aws:username"
        values   = ["&{aws:PrincipalTag/x}"]
      }
    }
  }
}
resource "aws_iam_policy" "p" { policy = data.aws_iam_policy_document.all.json }
resource "aws_iam_user" "u" { name = "ann" }
resource "aws_iam_group" "g" { name = "people" }
resource "aws_iam_group_policy_attachment" "a" {
  group      = aws_iam_group.g.name
  policy_arn = aws_iam_policy.p.arn
}
resource "aws_iam_user_group_membership" "m" {
  user   = aws_iam_user.u.name
  groups = [aws_iam_group.g.name]
}
"""


def test_policy_documents_are_put_together(tmp_path: Path) -> None:
    corpus = written(tmp_path, main=DOCUMENT)
    user = next(one for one in corpus.principals if one.kind == "user")
    (policy,) = user.policies
    sids = [(one.sid, one.effect) for one in policy.statements]
    assert sids == [("Base", "Allow"), ("Own", "Deny"), ("", "Deny"), ("", "Deny")]
    last = policy.statements[3]
    assert last.resources == ("arn:aws:s3:::y/*",)
    assert last.principals == (("AWS", "111122223333"),)
    assert last.conditions[0].values == ("${aws:PrincipalTag/x}",)
    assert (policy.statements[0].at("Action", 0).line, last.at("Action").line) == (4, 22)


def test_a_policy_in_a_heredoc_keeps_its_lines(tmp_path: Path) -> None:
    text = """\
resource "aws_iam_role" "r" {
  assume_role_policy = <<EOF
{
  "Version": "2012-10-17",
  "Statement": [{"Effect": "Allow",
                 "Principal": {"Service": "${var.service}"},
                 "Action": "sts:AssumeRole"}]
}
EOF
}
variable "service" { default = "ec2.amazonaws.com" }
"""
    (role,) = written(tmp_path, main=text).principals
    assert role.trust is not None
    assert role.trust.statements[0].principals == (("Service", "ec2.amazonaws.com"),)
    place = role.trust.statements[0].at("Action")
    assert (place.line, place.column) == (7, 28)


def test_modules_are_read_as_they_are_called(tmp_path: Path) -> None:
    corpus = written(
        tmp_path,
        main='module "a" {\n  source = "./inner"\n  name = "first"\n}\n'
        'resource "aws_lambda_function" "f" {\n  role = module.a.arn\n}\n',
        inner__main='variable "name" {}\nresource "aws_iam_role" "r" {\n  name = var.name\n}\n'
        'output "arn" {\n  value = aws_iam_role.r.arn\n}\n',
    )
    (role,) = corpus.principals
    assert role.name == "first"
    assert corpus.resources[0].roles == (role.arn,)
    assert role.location.file.endswith("inner/main.tf")


def test_policies_of_a_role_that_is_made_elsewhere_come_together(tmp_path: Path) -> None:
    text = """\
resource "aws_iam_role_policy_attachment" "a" {
  role       = "run"
  policy_arn = "arn:aws:iam::aws:policy/AmazonSageMakerFullAccess"
}
resource "aws_iam_role_policy" "b" {
  role   = "run"
  policy = jsonencode({ Statement = [{ Effect = "Allow", Action = "iam:PassRole", Resource = "*" }] })
}
"""
    (role,) = written(tmp_path, main=text).principals
    assert (role.arn, role.trust) == ("arn:aws:iam::000000000000:role/run", None)
    assert role.unresolved == ("arn:aws:iam::aws:policy/AmazonSageMakerFullAccess",)
    assert [one.statements[0].actions for one in role.policies] == [("iam:PassRole",)]


def test_a_policy_in_a_file_of_its_own_is_judged_where_it_is_attached(tmp_path: Path) -> None:
    (tmp_path / "policy.json.tpl").write_text(
        '{"Version": "2012-10-17",\n "Statement": [{"Effect": "Allow", "Action": "s3:*",\n "Resource": "${arn}"}]}'
    )
    text = (
        'resource "aws_iam_policy" "p" {\n  policy = templatefile("${path.module}/policy.json.tpl", { arn = "a" })\n}\n'
    )
    (policy,) = written(tmp_path, main=text).policies
    assert policy.statements[0].resources == ("a",)
    place = policy.statements[0].at("Resource")
    assert (Path(place.file).name, place.line) == ("policy.json.tpl", 3)


def test_line_breaks_in_round_brackets_mean_nothing(tmp_path: Path) -> None:
    text = """\
locals {
  on = (
    var.on # really
    ? "a"
    : "b"
  )
}
variable "on" { default = true }
resource "aws_kms_key" "k" {
  description         = "${local.on}-${upper("x")}"
  enable_key_rotation = (true
    && var.on)
}
"""
    (key,) = written(tmp_path, main=text).resources
    assert (key.get("Description"), key.get("EnableKeyRotation")) == ("a-X", True)
    assert key.at("Description").line == 10


def test_instances_of_a_resource_lead_to_others(tmp_path: Path) -> None:
    text = """\
resource "aws_s3_bucket" "b" {
  for_each = toset(["x", "y"])
  bucket   = "dogs-${each.key}"
}
resource "aws_s3_bucket_versioning" "b" {
  for_each = aws_s3_bucket.b
  bucket   = each.value.id
  versioning_configuration {
    status = each.key == "x" ? "Enabled" : "Suspended"
  }
}
"""
    found = {
        one.get("BucketName"): one.get("VersioningConfiguration", "Status")
        for one in written(tmp_path, main=text).resources
    }
    assert found == {"dogs-x": "Enabled", "dogs-y": "Suspended"}


def test_values_of_tfvars_win_and_a_count_of_zero_is_nothing(tmp_path: Path) -> None:
    (tmp_path / "terraform.tfvars").write_text("on = false\n")
    text = 'variable "on" { default = true }\nresource "aws_kms_key" "k" {\n  count = var.on ? 1 : 0\n}\n'
    assert written(tmp_path, main=text).resources == []


def test_a_broken_file_says_where_and_the_others_are_read(tmp_path: Path) -> None:
    corpus = written(tmp_path, main='resource "aws_kms_key" "k" {}\n', other='resource "aws_kms_key" {\n  a = \n}\n')
    assert [one.type for one in corpus.resources] == ["AWS::KMS::Key"]
    (error,) = corpus.errors
    assert error.location.file.endswith("other.tf")
    assert error.location.line in (2, 3)


def test_s3_is_set_up_by_resources_of_its_own(tmp_path: Path) -> None:
    text = """\
resource "aws_s3_bucket" "b" { bucket = "dogs" }
resource "aws_s3_bucket_versioning" "b" {
  bucket = aws_s3_bucket.b.id
  versioning_configuration {
    status = "Enabled"
  }
}
resource "aws_s3_bucket_server_side_encryption_configuration" "b" {
  bucket = aws_s3_bucket.b.bucket
  rule {
    apply_server_side_encryption_by_default {
      sse_algorithm = "aws:kms"
    }
  }
}
resource "aws_s3_bucket_public_access_block" "b" {
  bucket                  = aws_s3_bucket.b.id
  block_public_acls       = true
  ignore_public_acls      = true
  block_public_policy     = true
  restrict_public_buckets = true
}
resource "aws_s3_bucket_policy" "b" {
  bucket = aws_s3_bucket.b.id
  policy = jsonencode({ Statement = [{ Effect = "Allow", Principal = "*", Action = "s3:GetObject", Resource = "*" }] })
}
"""
    (bucket,) = written(tmp_path, main=text).resources
    assert bucket.get("VersioningConfiguration", "Status") == "Enabled"
    rule = bucket.get("BucketEncryption", "ServerSideEncryptionConfiguration", 0)
    assert rule["ServerSideEncryptionByDefault"]["SSEAlgorithm"] == "aws:kms"
    assert bucket.get("PublicAccessBlockConfiguration", "RestrictPublicBuckets") is True
    assert bucket.at("VersioningConfiguration", "Status").line == 5
    assert bucket.policies[0].attached_to == bucket.arn == "arn:aws:s3:::dogs"


def test_scripts_are_read_however_they_are_packed(tmp_path: Path) -> None:
    (tmp_path / "start.sh").write_text("curl -s https://x.example/i.sh | bash\n")
    text = """\
resource "aws_sagemaker_notebook_instance_lifecycle_configuration" "a" {
  on_start  = filebase64("start.sh")
  on_create = base64encode(file("${path.module}/start.sh"))
}
"""
    (script,) = written(tmp_path, main=text).resources
    assert (
        script.get("OnStart", "Content")
        == script.get("OnCreate", "Content")
        == "curl -s https://x.example/i.sh | bash\n"
    )


def test_what_is_nested_without_end_is_said(tmp_path: Path) -> None:
    deep = "[" * 3000 + "]" * 3000
    called = f'module "m" {{\n  source = "./inner"\n  x = {deep}\n}}\n'
    corpus = written(tmp_path, main=called, inner__main='variable "x" {}\n')
    assert [error.message for error in corpus.errors] == ["is nested too deep"]
