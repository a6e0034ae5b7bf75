"""What the command line and tests ask of a running stand-in, beside AWS: POST /_rehearse/NAME with a JSON object."""

from __future__ import annotations

import json
import time
from typing import TYPE_CHECKING, Any

from werkzeug.wrappers import Response

from dogbreed.rehearse.access import may_control
from dogbreed.rehearse.faults import KINDS, Fault

if TYPE_CHECKING:
    from werkzeug.wrappers import Request

    from dogbreed.rehearse.cloud import Cloud

PREFIX = "/_rehearse/"
# Where containers ask for the credentials of their role.
CREDENTIALS = "/v2/credentials/"


def answer(cloud: Cloud, request: Request) -> Response:
    """Do what is asked; 403 without the key, 404 for an unknown name, 400 with `error` for what cannot be done."""
    if request.path.startswith(CREDENTIALS):
        return _credentials(cloud, request.path.removeprefix(CREDENTIALS))
    if not may_control(cloud, request):
        return _json({"error": "only the person who started the stand-in may ask it"}, 403)
    name = request.path.removeprefix(PREFIX)
    known = {
        "calls": lambda told: cloud.calls.to_json(),
        "faults": lambda told: cloud.faults.to_json(),
        "fault": lambda told: _fault(cloud, told),
        "clear": lambda told: cloud.faults.clear(told.get("kind", "")),
        "status": lambda told: cloud.status(),
        "interrupt": lambda told: cloud.interrupt(told.get("target", "*")),
        "reset": lambda told: cloud.reset(),
        "speed": lambda told: cloud.clock.set_speed(float(told["speed"])),
        **cloud.controls,
    }
    if name not in known:
        return _json({"error": f"the stand-in has no {name}"}, 404)
    try:
        return _json(known[name](json.loads(request.get_data() or b"{}")))
    except (ValueError, TypeError, LookupError) as error:
        return _json({"error": str(error)}, 400)


def _fault(cloud: Cloud, told: dict[str, Any]) -> None:
    fault = Fault(**told)
    if fault.kind not in KINDS:
        raise ValueError(f"no fault {fault.kind}; there are {', '.join(KINDS)}")
    cloud.faults.add(fault)


def _credentials(cloud: Cloud, token: str) -> Response:
    role = cloud.roles_of_containers.get(token)
    if role is None:
        return _json({"code": "NoIdInRequest", "message": "no such credentials"}, 400)
    key, secret, session = cloud.credentials(role, platform=False)
    until = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + 3600))
    told = {"RoleArn": role, "AccessKeyId": key, "SecretAccessKey": secret, "Token": session, "Expiration": until}
    return _json(told)


def _json(value: Any, status: int = 200) -> Response:
    return Response(json.dumps(value, default=str), status, content_type="application/json")
