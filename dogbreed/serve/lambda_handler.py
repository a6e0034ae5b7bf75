"""The Lambda function that holds the model itself: ONNX Runtime, NumPy and Pillow, and no call to anywhere.

The model is read, verified and built while the function starts, once for all photos that this copy of it answers.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from dogbreed.errors import DogbreedError, PhotoError
from dogbreed.run import Run
from dogbreed.serve import asked, problems
from dogbreed.serve.asked import Limits
from dogbreed.serve.lambda_event import MARGIN_S, MAX_BYTES, Line, Reply, Request, answer, log, place
from dogbreed.serve.problems import Problem

_LIMITS = Limits(MAX_BYTES, max_photos=16, body_s=0)
_TOP_K = 5
# Lambda gives a function one processor for so much memory.
_MB_OF_PROCESSOR = 1769
MODEL = "model"


def _open() -> Any:
    """The Predictor; None when the model cannot be used, which every request is then told."""
    # Nothing here multiplies matrices in NumPy, so the threads that it would start for that are only a delay.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    memory = int(os.environ.get("AWS_LAMBDA_FUNCTION_MEMORY_SIZE", _MB_OF_PROCESSOR))
    try:
        from dogbreed.infer.session import Session

        run = Run.open(Path(os.environ["LAMBDA_TASK_ROOT"]) / MODEL)
        # It loads while the rest is imported.
        session = Session(run, max(1, memory // _MB_OF_PROCESSOR))

        from dogbreed.infer.predictor import Predictor

        predictor = Predictor.open(run, session=session)
        session.wait()
    except (DogbreedError, ImportError, OSError, KeyError) as error:
        log.error(Line(bug=place(error)))
        return None
    return predictor


_PREDICTOR = _open()


def handler(event: Any, context: Any) -> dict[str, Any]:
    """What Lambda calls."""
    return answer(event, context, _work)


def _work(request: Request) -> Reply:
    if _PREDICTOR is None:
        raise problems.bug()
    told = asked.read(request.content_type, request.body, _LIMITS)
    top_k = min(request.top_k or told.top_k or _TOP_K, len(_PREDICTOR.labels))
    answers: list[dict[str, Any]] = []
    failed = 0
    for name, data in told.photos:
        if request.left() < MARGIN_S:
            raise Problem(503, "timeout", "no answer in time", "send fewer or smaller photos", {"Retry-After": "5"})
        try:
            answers.append(_PREDICTOR.predict(data, name=name, top_k=top_k).to_json())
        except PhotoError as error:
            if told.alone:
                raise problems.of_photo(error) from None
            failed += 1
            answers.append(_refused(name, error))
    unsure = sum(bool(one["unsure"]) for one in answers)
    text = json.dumps(answers, ensure_ascii=False, separators=(",", ":"))
    return Reply(text, {"photos": len(answers), "unsure": unsure, "failed": failed})


def _refused(name: str, error: PhotoError) -> dict[str, Any]:
    from dogbreed.infer.answering import Answer

    return Answer(name, error=error.message, hint=error.hint).to_json()
