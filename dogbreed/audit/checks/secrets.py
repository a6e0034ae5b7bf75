"""Secrets in settings and scripts: formats that only keys have, and telling names with a value that is no reference."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Iterator

from dogbreed.audit.model import HOLE

# Formats of keys and tokens, as their issuers publish them.
_FORMATS = (
    ("an AWS access key", r"\b(?:AKIA|ASIA)[0-9A-Z]{16}\b"),
    ("a private key", r"-----BEGIN (?:[A-Z]+ )*PRIVATE KEY-----"),
    ("a GitHub token", r"\b(?:gh[pousr]_[A-Za-z0-9]{36}|github_pat_[A-Za-z0-9_]{40,})"),
    ("a GitLab token", r"\bglpat-[A-Za-z0-9_-]{20,}"),
    ("a Slack token", r"\bxox[abeoprs]-[A-Za-z0-9-]{10,}"),
    ("a Hugging Face token", r"\bhf_[A-Za-z0-9]{30,}"),
    ("an OpenAI key", r"\bsk-(?:proj-|svcacct-)?[A-Za-z0-9_-]{20,}"),
    ("an Anthropic key", r"\bsk-ant-[A-Za-z0-9_-]{20,}"),
    ("a Google API key", r"\bAIza[0-9A-Za-z_-]{35}"),
    ("a Stripe key", r"\b[rs]k_live_[A-Za-z0-9]{20,}"),
    ("an npm token", r"\bnpm_[A-Za-z0-9]{36}"),
    ("a PyPI token", r"\bpypi-AgEIcHlwaS5vcmc[A-Za-z0-9_-]{20,}"),
    ("a SendGrid key", r"\bSG\.[A-Za-z0-9_-]{16,}\.[A-Za-z0-9_-]{16,}"),
    ("a JSON web token", r"\beyJ[A-Za-z0-9_-]{10,}\.eyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{10,}"),
    ("a password in an address", r"\b[a-z][a-z0-9+.-]*://[^/\s:@$<{]*:(?![^@/\s]*[${<*])[^/\s:@]{3,}@[\w.-]+"),
)
_KNOWN = [(what, re.compile(pattern)) for what, pattern in _FORMATS]
_NAME = re.compile(
    r"(?:^|[_.\-]|(?<=[a-z]))(?:pass(?:word|wd|phrase)?|pwd|secret|token|api_?key|secret_?(?:access_?)?key|private_?key|"
    r"access_?key|auth_?key|encryption_?key|signing_?key|credentials?|client_?secret|auth(?:orization)?)[0-9]*$",
    re.IGNORECASE,
)
# Words that name a secret: where one is not the secret itself, its name may be the value.
_KIND_NAMED = re.compile(r"pass|pwd|key", re.IGNORECASE)
_WORDS = re.compile(r"[a-z]+(?:[-_/.][a-z]+)+|[a-z0-9_.-]+(?:/[a-z0-9_.-]+)+")
# What stands for a value to be filled in later, or names where the value is.
_NO_SECRET = re.compile(
    r"""^(?:
    |none|null|nil|true|false|yes|no|on|off|undefined|n/?a|todo|tbd|default|disabled|enabled|optional|required|empty
    |(?:change|replace|fill|set|insert|put|enter|add)[\s_-]?(?:me|this|it|in|your|the|here).*
    |your[\s_-].*|.*(?:placeholder|redacted|dummy|example\.com).*
    |<.*>|\[.*\]|\$\{?.*|\{\{.*|%.*%|@.*|[x*.\-_?#]+|\d{1,6}
    |arn:.*|/.*|\.{0,2}/.*|[a-z][a-z0-9+.-]*://[^@]*
    |(?:ssm|secretsmanager|vault|aws-ssm|resolve|env|file|op|sops|parameterstore)[:/].*
    |.*@sha256:[0-9a-f]{64}|sha256:[0-9a-f]{64}
    )$""",
    re.IGNORECASE | re.VERBOSE,
)
_SHELL = re.compile(
    r"(?:curl|wget)\b[^\n|;&]*\|\s*(?:sudo\s+(?:-\S+\s+)*)?(?:ba|z|da)?sh\b"
    r"|(?:curl|wget)\b[^\n|;&]*\|\s*(?:sudo\s+)?(?:python3?|perl|ruby|node)\b"
    r"|(?:ba|z)?sh\s+(?:-c\s+)?[\"']?(?:<\(|\$\()\s*(?:curl|wget)\b"
    r"|(?:source|eval|\.)\s+[\"']?(?:<\(|\$\()\s*(?:curl|wget)\b"
)
_ASSIGNMENT = re.compile(
    r"""(?<![\w$-])(?:--?)?([A-Za-z_][\w.-]*)\s*(?:=|:\s)\s*["']?([^\s"';&|]+)["']?"""
    r"""|configure\s+set\s+(\S+)\s+["']?([^\s"']+)"""
)
_LOOKED_UP = re.compile(r"\$\(|`|\$\{?\w")


def in_variables(variables: object) -> Iterator[tuple[str, str]]:
    """(name, what it holds) for every variable that holds a secret."""
    for name, value in variables.items() if isinstance(variables, dict) else ():
        if isinstance(value, str) and (what := in_value(str(name), value)):
            yield str(name), what


def in_value(name: str, value: str) -> str:
    """What secret a named value holds, "" for none."""
    text = value.replace(HOLE, "")
    if "{{resolve:" in text:
        return ""
    if found := _of_known_format(text):
        return found
    # A value that is partly unknown is a reference with something around it; words may name where the secret is.
    elsewhere = _WORDS.fullmatch(text) and not _KIND_NAMED.search(name)
    if HOLE in value or elsewhere or _NO_SECRET.match(text.strip()):
        return ""
    if _NAME.search(name) and len(text) >= 4:
        return f"what looks like the value of {name}"
    hinted = re.search(r"key|token|secret|cred|auth|pass", name, re.IGNORECASE)
    random = len(text) >= 32 and not re.search(r"[\s/:.,]", text) and entropy(text) > 3.7
    return "what looks like a random key" if hinted and random else ""


def suspicious(name: str) -> bool:
    """Whether a name says that its value is a secret."""
    return bool(_NAME.search(name))


def in_script(script: str) -> Iterator[str]:
    """What is wrong with a script, which may be in base64: secrets, programs run as they are downloaded."""
    text = decoded(script)
    if match := _SHELL.search(_joined(text)):
        yield f"it runs what it downloads ({' '.join(match[0].split())[:60]})"
    if found := _of_known_format(text):
        yield f"it holds {found}"
        return
    for match in _ASSIGNMENT.finditer(text):
        name, value = (match[1], match[2]) if match[1] else (match[3], match[4])
        if not _LOOKED_UP.match(value) and _NAME.search(name) and not _NO_SECRET.match(value) and len(value) >= 4:
            yield f"it holds what looks like the value of {name}"
            return


def decoded(script: str) -> str:
    """The text of a script that may be in base64."""
    packed = "".join(script.split())
    if len(packed) >= 8 and len(packed) % 4 == 0:
        try:
            text = base64.b64decode(packed, validate=True).decode("utf-8")
        except (binascii.Error, UnicodeDecodeError):
            return script
        if text.isprintable() or "\n" in text:
            return text
    return script


def entropy(text: str) -> float:
    """Bits per character, by the characters' own frequencies (Shannon)."""
    counts = Counter(text)
    return -sum(count / len(text) * math.log2(count / len(text)) for count in counts.values())


def _joined(text: str) -> str:
    """A script with continued lines in one."""
    return re.sub(r"\\\n\s*", " ", text)


def _of_known_format(text: str) -> str:
    return next((what for what, pattern in _KNOWN if pattern.search(text)), "")
