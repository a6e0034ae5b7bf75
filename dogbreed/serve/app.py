"""The application: /ping and /invocations as SageMaker wants them, /predict, /metrics, /docs, and a page for people."""

from __future__ import annotations

import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from importlib.resources import files

from fastapi import FastAPI
from fastapi.exceptions import RequestValidationError
from fastapi.openapi.docs import get_swagger_ui_html
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.staticfiles import StaticFiles

from dogbreed import __version__
from dogbreed.config import ServeSettings
from dogbreed.infer.predictor import Predictor
from dogbreed.serve import bodies, openapi, problems
from dogbreed.serve.asked import Limits, top_k_of
from dogbreed.serve.metrics import Metrics
from dogbreed.serve.observed import Observed
from dogbreed.serve.problems import Problem
from dogbreed.serve.workers import Busy, Job, Workers

# SageMaker's InvokeEndpoint has no query string; what is asked beside the body comes in this header.
_ATTRIBUTES = "x-amzn-sagemaker-custom-attributes"
_PAGE = files("dogbreed.serve") / "page"
# The page shows what people drop on it: nothing else may run there or be loaded.
_CSP = "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob: data:; connect-src 'self'; "
_CSP += "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"


@dataclass
class State:
    """What the routes share. `draining` is set when the service ends: it answers, but wants no more requests."""

    predictor: Predictor
    workers: Workers
    metrics: Metrics
    settings: ServeSettings
    name: str
    draining: bool = False


def create(predictor: Predictor, settings: ServeSettings, *, name: str, threads: int) -> Observed:
    """The application; `name` is the Run's, `threads` predict at the same time."""
    workers = Workers(predictor, threads, settings.queue)
    state = State(predictor, workers, Metrics(lambda: workers.waiting), settings, name)

    @asynccontextmanager
    async def lifespan(_: FastAPI) -> AsyncIterator[None]:
        yield
        workers.close()

    app = FastAPI(
        title="dogbreed",
        version=__version__,
        summary="Names the breed of the dog in a photo.",
        lifespan=lifespan,
        docs_url=None,
        redoc_url=None,
        separate_input_output_schemas=False,
    )
    app.state.service = state
    app.exception_handler(Problem)(_refuse)
    app.exception_handler(HTTPException)(_refuse_http)
    app.exception_handler(RequestValidationError)(_refuse_form)
    app.exception_handler(Exception)(_refuse_bug)
    app.get("/ping", **openapi.PING)(ping)
    app.post("/invocations", **openapi.predicting("invocations"))(invocations)
    app.post("/predict", **openapi.predicting("predict"))(predict)
    app.get("/metrics", **openapi.METRICS)(metrics)
    app.get("/", include_in_schema=False)(page)
    app.get("/docs", include_in_schema=False)(docs)
    app.mount("/static", StaticFiles(directory=str(_PAGE)))
    app.mount("/static-docs", StaticFiles(packages=[("fastapi_offline", "static")]))
    return Observed(app, state, {"/invocations": invocations, "/predict": predict})


async def ping(request: Request) -> Response:
    """Whether the service can answer."""
    state = _state(request)
    body = {"status": "draining" if state.draining else "ok", "run": state.name, "breeds": len(state.predictor.labels)}
    return JSONResponse(body, 503 if state.draining else 200)


async def invocations(request: Request) -> Response:
    """The breeds in the photos of the body; how many to name: `top_k=3` in SageMaker's custom attributes."""
    match = re.search(r"(?:^|[,;\s])top_k=([^,;\s]*)", request.headers.get(_ATTRIBUTES, ""))
    return await _answer(request, top_k_of(match[1] if match else None))


async def predict(request: Request) -> Response:
    """The breeds in the photos of the body."""
    return await _answer(request, top_k_of(request.query_params.get("top_k")))


async def metrics(request: Request) -> Response:
    """For Prometheus."""
    return Response(_state(request).metrics.page(), media_type="text/plain; version=0.0.4; charset=utf-8")


async def page() -> Response:
    """For people: drop, paste or take a photo."""
    text = (_PAGE / "page.html").read_text(encoding="utf-8")
    return HTMLResponse(text, headers={"Content-Security-Policy": _CSP, "Cache-Control": "no-cache"})


async def docs() -> Response:
    """The OpenAPI page, with nothing loaded from elsewhere."""
    there = "/static-docs/"
    return get_swagger_ui_html(
        openapi_url="/openapi.json",
        title="dogbreed",
        swagger_js_url=f"{there}swagger-ui-bundle.js",
        swagger_css_url=f"{there}swagger-ui.css",
        swagger_favicon_url=f"{there}favicon.png",
    )


async def _answer(request: Request, top_k: int | None) -> Response:
    state = _state(request)
    settings = state.settings
    try:
        limits = Limits(settings.max_mb * 2**20, settings.max_photos, settings.timeout_s)
        asked = await bodies.read(request, limits)
        job = Job(asked.photos, min(top_k or asked.top_k or settings.top_k, len(state.predictor.labels)))
        await state.workers.answer(job, settings.timeout_s)
    except Busy:
        raise problems.busy() from None
    except TimeoutError:
        words = f"no answer within {settings.timeout_s:g} s"
        raise Problem(503, "timeout", words, "try again later", {"Retry-After": "5"}) from None
    _count(request, state, job)
    if asked.alone and job.errors:
        raise problems.of_photo(job.errors[0])
    return JSONResponse([answer.to_json() for answer in job.answers])


def _count(request: Request, state: State, job: Job) -> None:
    unsure = sum(bool(answer.unsure) for answer in job.answers)
    failed = len(job.errors)
    counts = {"unsure": unsure, "error": failed, "sure": len(job.answers) - unsure - failed}
    for answer, count in counts.items():
        if count:
            state.metrics.photos.labels(answer).inc(count)
    state.metrics.waited.observe(job.waited)
    request.state.said |= {
        "photos": len(job.answers),
        "unsure": unsure,
        "failed": failed,
        "queue_ms": round(job.waited * 1000, 1),
    }


# -- what cannot be answered


def _problem(request: Request, problem: Problem) -> Response:
    body = problem.to_json(getattr(request.state, "id", ""))
    return JSONResponse(body, problem.status, headers=problem.headers)


async def _refuse(request: Request, problem: Exception) -> Response:
    assert isinstance(problem, Problem)
    return _problem(request, problem)


async def _refuse_http(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    told = problems.of_status(error.status_code)
    told.headers = dict(error.headers or {})
    return _problem(request, told)


async def _refuse_form(request: Request, error: Exception) -> Response:
    return _problem(request, Problem(422, "form", "the request has not the right form", "see /docs"))


async def _refuse_bug(request: Request, error: Exception) -> Response:
    # `Observed` writes the traceback to the log; the caller gets none.
    return _problem(request, problems.bug())


def _state(request: Request) -> State:
    state: State = request.app.state.service
    return state
