"""One Terraform module: its blocks, and what a name in it means (a variable, local, resource, data source, module)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dogbreed.audit.finding import Location
from dogbreed.audit.model import HOLE, OWN_ACCOUNT, OWN_PARTITION, OWN_REGION, UNKNOWN
from dogbreed.audit.parse import hclexpr, hcltext, tfnames
from dogbreed.audit.parse.hclexpr import Inner, Scope, evaluate, trees
from dogbreed.audit.parse.placed import Arr, Obj

# Instances of one block, and of a dynamic block.
MOST_INSTANCES = 200
# Attributes that a resource is named with.
_NAMED = ("name", "path", "bucket", "function_name", "name_prefix", "bucket_prefix", "url", "family", "alias")
# The account of the images that AWS builds for SageMaker.
_AWS_IMAGES = "763104351884"
_FACTS = {
    "aws_caller_identity": {"account_id": OWN_ACCOUNT, "id": OWN_ACCOUNT},
    "aws_region": {"name": OWN_REGION, "id": OWN_REGION, "region": OWN_REGION},
    "aws_partition": {"partition": OWN_PARTITION, "id": OWN_PARTITION, "dns_suffix": "amazonaws.com"},
}


@dataclass(slots=True)
class Block:
    """A block of a file: `resource "type" "name" { body }`."""

    kind: str
    labels: list[str]
    body: Any
    file: str
    line: int
    column: int

    def expression(self, name: str) -> Any:
        """The syntax tree of an attribute, None when the block has none."""
        for one in trees(self.body):
            if one.data == "attribute" and hclexpr.name_in(trees(one)[0]) == name:
                return trees(one)[1]
        return None

    def plain(self, name: str) -> str:
        """An attribute that is a plain text, "" otherwise."""
        tree = self.expression(name)
        value = evaluate(tree, _Nothing(self.file)) if tree is not None else ""
        return value if isinstance(value, str) else ""


@dataclass(slots=True)
class Files:
    """The blocks of a module's files, and the values that its .tfvars give."""

    folder: Path
    blocks: list[Block] = field(default_factory=list)
    values: dict[str, Any] = field(default_factory=dict)

    def add(self, text: str, shown: str) -> None:
        """Take in a file; raises BrokenInput."""
        for one in trees(_parse(text, shown)):
            if one.data == "block":
                kind, *labels = (hclexpr.name_in(part) for part in trees(one)[:-1])
                self.blocks.append(Block(kind, labels, trees(one)[-1], shown, one.meta.line, one.meta.column))

    def add_values(self, text: str, shown: str) -> None:
        """Take in values of variables; raises BrokenInput."""
        for one in trees(_parse(text, shown)):
            if one.data == "attribute":
                name, value = trees(one)
                self.values[hclexpr.name_in(name)] = evaluate(value, _Nothing(shown))


def _parse(text: str, shown: str) -> Any:
    """The body of a file."""
    return trees(hcltext.parse(text, shown))[0]


class _Nothing:
    """A scope in which nothing is known."""

    def __init__(self, file: str) -> None:
        self.file = file

    def look_up(self, name: str) -> Any:
        return UNKNOWN

    def folder(self) -> str:
        return "."


class Module:
    """A module with the values of its variables; the scope of its expressions."""

    def __init__(self, files: Files, given: dict[str, Any], prefix: str) -> None:
        self.files = files
        self.prefix = prefix
        self.file = ""
        self.children: dict[str, Module] = {}
        self._given = {**files.values, **given}
        self._done: dict[tuple[str, str], Any] = {}
        self._by_name = {(one.kind, *one.labels): one for one in files.blocks}
        self._locals: dict[str, tuple[Any, str]] = {}
        for block in files.blocks:
            if block.kind == "locals":
                for one in trees(block.body):
                    if one.data == "attribute":
                        name, value = trees(one)
                        self._locals[hclexpr.name_in(name)] = (value, block.file)

    def folder(self) -> str:
        """The module's folder."""
        return str(self.files.folder)

    def look_up(self, name: str) -> Any:
        """The value of a first name."""
        if name in ("var", "local", "data", "module"):
            return _Names(self, name)
        if name == "path":
            return Obj({"module": ".", "root": ".", "cwd": "."}.items())
        if name == "each":
            return Obj({"key": HOLE, "value": UNKNOWN}.items())
        if name == "count":
            return Obj({"index": UNKNOWN}.items())
        if name == "terraform":
            return Obj({"workspace": HOLE}.items())
        return _Names(self, f"resource {name}")

    def value(self, kind: str, name: str) -> Any:
        """The value of a variable, local, module or resource by its name; worked out once."""
        key = (kind, name)
        if key not in self._done:
            # Found again while it is worked out: it refers to itself.
            self._done[key] = UNKNOWN
            self._done[key] = self._work_out(kind, name)
        return self._done[key]

    def _work_out(self, kind: str, name: str) -> Any:
        if kind == "var":
            return self._variable(name)
        if kind == "local":
            tree, file = self._locals.get(name, (None, ""))
            return UNKNOWN if tree is None else evaluate(tree, _InFile(self, file))
        if kind == "module":
            child = self.children.get(name)
            return UNKNOWN if child is None else _Outputs(child)
        if kind == "data":
            return _Names(self, f"data {name}")
        where, _, type = kind.partition(" ")
        block = self._by_name.get((where, type, name))
        return UNKNOWN if block is None else Reference(self, block)

    def _variable(self, name: str) -> Any:
        block = self._by_name.get(("variable", name))
        if name in self._given:
            return self._given[name]
        if block is None:
            return UNKNOWN
        default = block.expression("default")
        if default is not None:
            return evaluate(default, _InFile(self, block.file))
        type = block.expression("type")
        text = hclexpr.name_in(type) if type is not None else ""
        return HOLE if text in ("", "string") else UNKNOWN

    def arguments(self, block: Block) -> dict[str, Any]:
        """The values that a module call gives."""
        return {
            key: value for key, value in self.body(block.body, _InFile(self, block.file)).items() if key != "source"
        }

    def output(self, name: str) -> Any:
        """The value of an output."""
        block = self._by_name.get(("output", name))
        tree = block.expression("value") if block else None
        return UNKNOWN if block is None or tree is None else evaluate(tree, _InFile(self, block.file))

    def instances(self, block: Block) -> Iterator[tuple[Any, Scope]]:
        """The scope of each instance of a block, with its key where there are several."""
        scope = _InFile(self, block.file)
        count, each = block.expression("count"), block.expression("for_each")
        if count is not None:
            many = evaluate(count, scope)
            # Of several equal ones the first tells enough, and none means that it is switched off.
            if many != 0 and many is not False:
                yield None, Inner(scope, {"count": Obj({"index": 0}.items())})
        elif each is not None:
            yield from _for_each(evaluate(each, scope), scope, "each")
        else:
            yield None, scope

    def body(self, body: Any, scope: Scope) -> Obj:
        """The attributes of a body; blocks as lists of objects by their kind, dynamic ones written out."""
        made = Obj()
        for one in trees(body):
            if one.data == "attribute":
                name, value = trees(one)
                made.put(hclexpr.name_in(name), evaluate(value, scope), hclexpr.place(value, scope))
            elif one.data == "block":
                kind, *labels = (hclexpr.name_in(part) for part in trees(one)[:-1])
                where = hclexpr.place(one, scope)
                if kind == "dynamic" and labels:
                    self._dynamic(one, labels[0], scope, made)
                else:
                    _add(made, kind, self.body(trees(one)[-1], scope), where)
        return made

    def _dynamic(self, tree: Any, kind: str, scope: Scope, made: Obj) -> None:
        block = Block("dynamic", [kind], trees(tree)[-1], scope.file, tree.meta.line, tree.meta.column)
        iterator = block.expression("iterator")
        name = hclexpr.name_in(iterator) if iterator is not None else kind
        each = block.expression("for_each")
        content = next((one for one in trees(block.body) if one.data == "block"), None)
        if each is None or content is None:
            return
        where = hclexpr.place(content, scope)
        value = evaluate(each, scope)
        if not isinstance(value, dict | list):
            _add(made, kind, UNKNOWN, where)
            return
        for _, inner in _for_each(value, scope, name):
            _add(made, kind, self.body(trees(content)[-1], inner), where)


def _add(made: Obj, kind: str, value: Any, where: Location) -> None:
    if not isinstance(made.get(kind), Arr):
        made.put(kind, Arr(), where)
    made[kind].put(value, where)


def _for_each(value: Any, scope: Scope, name: str) -> Iterator[tuple[Any, Scope]]:
    if isinstance(value, dict):
        pairs = list(value.items())
    elif isinstance(value, list):
        pairs = [(one, one) for one in value]
    elif isinstance(value, Reference):
        pairs = value.members()
    else:
        yield None, scope
        return
    for key, member in pairs[:MOST_INSTANCES]:
        known = isinstance(key, str) and HOLE not in key
        yield (key if known else None), Inner(scope, {name: Obj({"key": key, "value": member}.items())})


class _InFile(Inner):
    """A module's scope in one of its files, for places."""

    def __init__(self, module: Module, file: str) -> None:
        super().__init__(module, {})
        self.file = file


class _Names:
    """What stands before a dot: `var`, `local`, `data`, `data.type`, a resource type."""

    def __init__(self, module: Module, kind: str) -> None:
        self._module = module
        self._kind = kind

    def attribute(self, name: str) -> Any:
        """The value of the name after the dot."""
        return self._module.value(self._kind, name)

    def index(self, key: Any) -> Any:
        """`var["x"]` is no Terraform."""
        return UNKNOWN


class _Outputs:
    """A called module: its attributes are its outputs."""

    def __init__(self, module: Module) -> None:
        self._module = module

    def attribute(self, name: str) -> Any:
        """The value of an output."""
        return self._module.output(name)

    def index(self, key: Any) -> Any:
        """One of several calls: they are read as one."""
        return self


class Reference:
    """A resource or data source that an expression names."""

    def __init__(self, module: Module, block: Block, key: Any = None) -> None:
        self._module = module
        self._block = block
        self._key = key

    def index(self, key: Any) -> Any:
        """One of several instances."""
        return Reference(self._module, self._block, key if isinstance(key, str) else None)

    def members(self) -> list[tuple[Any, Any]]:
        """Its instances by their keys, for another block's for_each."""
        return [(key, self.index(key)) for key, _ in self._module.instances(self._block)]

    def attribute(self, name: str) -> Any:
        """An attribute: what AWS will give it where that can be told, else what the block says."""
        type, label = self._block.labels
        if self._block.kind == "data":
            return self._data(type, name)
        return self._resource(type, label, name)

    def _resource(self, type: str, label: str, name: str) -> Any:
        cfn = tfnames.type_of(type)
        if not cfn:
            return self._own(name, HOLE)
        key = self._key if self._block.expression("for_each") is not None else None
        address = f"{self._module.prefix}{type}.{label}" + ("" if key is None else f'["{key}"]')
        naming = Obj((one, self._own(one, None)) for one in _NAMED if self._block.expression(one) is not None)
        properties = tfnames.to_properties(type, naming)
        tfnames.label(cfn, address, properties, naming)
        found = tfnames.attribute(cfn, address, properties, name)
        return self._own(name, HOLE) if found is None else found

    def _own(self, name: str, default: Any) -> Any:
        tree = self._block.expression(name)
        if tree is None:
            return default
        for key, scope in self._module.instances(self._block):
            if self._key in (None, key):
                return evaluate(tree, scope)
        return default

    def _data(self, type: str, name: str) -> Any:
        if type == "aws_iam_policy_document" and name in ("json", "minified_json"):
            from dogbreed.audit.parse import tfdocument

            for key, scope in self._module.instances(self._block):
                if self._key in (None, key):
                    return tfdocument.document(self._module.body(self._block.body, scope))
        if type == "aws_iam_policy" and name in ("arn", "id"):
            arn = self._own("arn", None)
            return _managed(self._own("name", HOLE)) if arn is None else arn
        if type == "aws_sagemaker_prebuilt_ecr_image" and name in ("registry_path", "registry_id"):
            path = f"{_AWS_IMAGES}.dkr.ecr.{OWN_REGION}.amazonaws.com/{self._own('repository_name', HOLE)}:{HOLE}"
            return path if name == "registry_path" else _AWS_IMAGES
        if name in _FACTS.get(type, {}):
            return _FACTS[type][name]
        # Something that is there already, looked up by its name.
        named = any(isinstance(self._own(one, None), str) for one in _NAMED)
        return self._resource(type, self._block.labels[1], name) if named else self._own(name, HOLE)


def _managed(name: Any) -> str:
    """The ARN of a policy that is looked up by its name: AWS's own, else one of the account."""
    from dogbreed.audit import managed

    for prefix in ("", "service-role/", "job-function/"):
        arn = f"arn:{OWN_PARTITION}:iam::aws:policy/{prefix}{name}"
        if isinstance(name, str) and managed.document(arn):
            return arn
    return f"arn:{OWN_PARTITION}:iam::{OWN_ACCOUNT}:policy/{name}"
