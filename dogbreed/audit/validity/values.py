"""The values of conditions: dates, numbers, Booleans, addresses, Regions and ids, each as its operator needs it."""

from __future__ import annotations

import base64
import binascii
import ipaddress
import re
from collections.abc import Sequence
from datetime import datetime

from dogbreed.audit.source import Path
from dogbreed.audit.validity.look import Look
from dogbreed.audit.validity.resources import REGION
from dogbreed.audit.validity.variables import has_variable

Values = Sequence[tuple[Path, str]]
_NUMBER = re.compile(r"[+-]?\d+(\.\d+)?")
_DATE = re.compile(r"\d{4}(-\d\d(-\d\d(T\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:?\d\d)?)?)?)?")
_VPC, _VPCE = re.compile(r"vpc-[0-9a-f]+"), re.compile(r"vpce-[0-9a-f]+")
_SERVICE = re.compile(r"[a-z0-9-]+\.(amazonaws\.com(\.cn)?|amazon\.com)")
# Keys whose values have one form.
_FORMS = {
    "aws:sourcevpc": ("INVALID_VPC_FORMAT", _VPC),
    "aws:sourcevpce": ("INVALID_VPCE_FORMAT", _VPCE),
    "aws:calledvia": ("INVALID_SERVICE_PRINCIPAL_FORMAT", _SERVICE),
    "aws:calledviafirst": ("INVALID_SERVICE_PRINCIPAL_FORMAT", _SERVICE),
    "aws:calledvialast": ("INVALID_SERVICE_PRINCIPAL_FORMAT", _SERVICE),
}


def look_at_values(look: Look, family: str, negated: bool, key: str, values: Values) -> None:
    """The values of one key; `family` is the operator without Not, Like and the like: string, numeric, bool ..."""
    plain = [(path, text) for path, text in values if not has_variable(text)]
    if len(plain) < len(values) and family not in ("string", "arn"):
        path = next(path for path, text in values if has_variable(text))
        look.say("INVALID_VARIABLE_FOR_OPERATOR", path, f"a {family} condition cannot hold a policy variable")
    if family in ("bool", "null"):
        _booleans(look, key, plain)
    elif family == "numeric":
        _numbers(look, key, plain)
    elif family == "date":
        _dates(look, plain)
    elif family == "ip":
        _addresses(look, key, negated, plain)
    elif family == "binary":
        _binaries(look, plain)
    elif key in _FORMS:
        code, pattern = _FORMS[key]
        for path, text in plain:
            if "*" not in text and "?" not in text and not pattern.fullmatch(text):
                look.say(code, path, f"{text!r} is no value that {key} can have")
    elif key == "aws:requestedregion":
        for path, text in plain:
            if "*" not in text and "?" not in text and text != "global" and not REGION.fullmatch(text):
                look.say("INVALID_REGION", path, f"there is no Region {text!r}")


def _booleans(look: Look, key: str, values: Values) -> None:
    for path, text in values:
        if text.lower() not in ("true", "false"):
            look.say("TYPE_MISMATCH_BOOLEAN", path, f"{text!r} is neither true nor false")
    if len(values) > 1:
        look.say("INVALID_CONDITION_MULTIPLE_BOOLEAN", values[1][0], f"{key} has {len(values)} Boolean values")


def _numbers(look: Look, key: str, values: Values) -> None:
    wrong = [one for one in values if not _NUMBER.fullmatch(one[1].strip())]
    for path, text in wrong:
        look.say("TYPE_MISMATCH_NUMBER", path, f"{text!r} is no number")


def look_for_one_that_decides(look: Look, operator: str, key: str, values: Values) -> None:
    """Several limits under an operator that compares: only one of them decides."""
    numbers = [(float(text), path) for path, text in values if _NUMBER.fullmatch(text.strip())]
    if len(numbers) < 2 or not ("lessthan" in operator or "greaterthan" in operator):
        return
    decides = max(numbers)[0] if "lessthan" in operator else min(numbers)[0]
    path = next((path for number, path in numbers if number != decides), numbers[1][1])
    look.say("REDUNDANT_CONDITION_VALUE_NUM", path, f"of the numbers for {key} only {decides:g} decides")


def _dates(look: Look, values: Values) -> None:
    for path, text in values:
        if _NUMBER.fullmatch(text):
            if not (len(text) == 4 and text.isdigit()):
                look.say("INVALID_DATE_VALUE", path, f"{text!r} counts seconds since 1970")
        elif not _is_date(text):
            look.say("TYPE_MISMATCH_DATE", path, f"{text!r} is no date")


def _is_date(text: str) -> bool:
    if not _DATE.fullmatch(text):
        return False
    try:
        datetime.fromisoformat(text if len(text) > 7 else f"{text}-01-01"[:10])
    except ValueError:
        return False
    return True


def _binaries(look: Look, values: Values) -> None:
    for path, text in values:
        try:
            base64.b64decode(text, validate=True)
        except (binascii.Error, ValueError):
            look.say("TYPE_MISMATCH_STRING", path, f"{text!r} is not base64")


def _addresses(look: Look, key: str, negated: bool, values: Values) -> None:
    private: list[Path] = []
    networks = 0
    for path, text in values:
        try:
            network = ipaddress.ip_network(text, strict=False)
        except ValueError:
            look.say("TYPE_MISMATCH_IP_RANGE", path, f"{text!r} is no address range")
            continue
        networks += 1
        first = str(network.network_address)
        if "/" in text and ipaddress.ip_address(text.partition("/")[0]) != network.network_address:
            look.say("IMPROVE_IP_RANGE", path, f"{text} means {network}", f"write {first}/{network.prefixlen}")
        if _is_private(network):
            private.append(path)
    if key != "aws:sourceip" or not private:
        return
    not_ip = "NOT_" if negated else ""
    if len(private) == networks:
        effect = "is always true" if negated else "never matches"
        look.say(
            f"PRIVATE_{not_ip}IP_ADDRESS",
            private[0],
            f"aws:SourceIp holds public addresses only: the condition {effect}",
        )
    else:
        for path in private:
            look.say(
                f"PRIVATE_{not_ip}IP_ADDRESS_SUBSET",
                path,
                "aws:SourceIp holds public addresses only: no request has it",
            )


_PRIVATE = tuple(map(ipaddress.ip_network, ("10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "fc00::/7")))


def _is_private(network: ipaddress.IPv4Network | ipaddress.IPv6Network) -> bool:
    return any(
        network.subnet_of(one)  # type: ignore[arg-type]
        for one in _PRIVATE
        if one.version == network.version
    )
