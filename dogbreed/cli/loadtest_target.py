"""What a load test sends and where: a service at an address, a run, an endpoint or a function; and what that costs."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dogbreed.capacity.load import Target
    from dogbreed.cloud.session import Aws
    from dogbreed.errors import DogbreedError
    from dogbreed.pricing import Prices

# The region whose prices by use the packaged table knows.
_KNOWN = "us-east-1"


@dataclass(frozen=True)
class Price:
    """US dollars, None where not known: `hourly` of all instances, or by use: a request, and a second of it.

    elsewhere: the region that the prices by use are of, where those of the service's own are not known.
    """

    hourly: Decimal | None = None
    request: Decimal | None = None
    second: Decimal | None = None
    by_use: bool = False
    elsewhere: str = ""

    def of_request(self, seconds: float) -> Decimal | None:
        """One request that takes so long, by the prices of `elsewhere` if need be; 0 where instances cost by the hour.

        It is for a limit: nothing is spent without one because a region's prices are not known.
        """
        if not self.by_use:
            return Decimal(0)
        if self.request is None or self.second is None:
            return None
        return self.request + self.second * Decimal(str(seconds))

    def per_million(self, rate: float, seconds: float) -> Decimal | None:
        """A million requests at `rate` a second, each of which takes `seconds`; None where not known of here."""
        if self.by_use:
            one = None if self.elsewhere else self.of_request(seconds)
            return None if one is None else one * 1_000_000
        if self.hourly is None or rate <= 0:
            return None
        return self.hourly / Decimal(str(rate * 3600)) * 1_000_000


@dataclass(frozen=True)
class Tested:
    """Where the requests go, how many instances answer there, and what that costs. `words` for people."""

    target: Target
    words: str
    instances: int = 1
    price: Price = Price()
    # Whether requests go to an account, or to a machine that is not this one.
    away: bool = False


def read_photos(folder: Path | None) -> list[bytes]:
    """Up to 200 photos of a folder, or some that are drawn."""
    from dogbreed.errors import UsageError
    from dogbreed.infer.photo import PHOTO_SUFFIXES, read_bytes

    if folder is None:
        from dogbreed.data.cache import cache_dir
        from dogbreed.data.sample import draw_sample

        folder = cache_dir() / "loadtest"
        if not folder.is_dir():
            draw_sample(folder, breeds=2, photos=8, seed=0)
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in PHOTO_SUFFIXES)[:200]
    if not paths:
        raise UsageError(f"there are no photos in {folder}", "give a folder of photos, or leave out --photos")
    return [read_bytes(path) for path in paths]


@contextmanager
def service(run: str) -> Iterator[str]:
    """The address of a service of `run`: another process, so that it does not share this one's interpreter."""
    import subprocess
    import sys
    from json import loads

    command = [sys.executable, "-m", "dogbreed", "serve", "--run", str(run), "--port", "0", "--json"]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout and process.stderr
        try:
            said = ""
            for line in process.stdout:
                said += line
                if line == "}\n":
                    break
            if not said.endswith("}\n"):
                raise _not_started(process.stderr.read())
            # Its log has a line for each request; nobody reads it, and it must not fill the pipe.
            _drain(process.stderr)
            yield loads(said)["url"]
        finally:
            process.terminate()


def _not_started(said: str) -> DogbreedError:
    """The error of `dogbreed serve --json`, or what else it said at its end."""
    from json import loads

    from dogbreed.errors import DogbreedError

    try:
        told = loads(said[said.rindex("\n{") + 1 :] if "\n{" in said else said)
        return DogbreedError(f"the service did not start: {told['error']}", told["hint"] or "dogbreed doctor")
    except (ValueError, KeyError, TypeError):
        return DogbreedError(f"the service did not start: {said.strip()[-500:]}", "dogbreed doctor")


def _drain(stream: object) -> None:
    import threading

    threading.Thread(target=lambda: [None for _ in stream], daemon=True).start()  # type: ignore[attr-defined]


def endpoint(aws: Aws, name: str, photos: Sequence[bytes]) -> Tested:
    """An endpoint by its name, with its instances as they are now; DogbreedError where it does not serve."""
    from dogbreed import priced
    from dogbreed.cloud.serving.client import component_of
    from dogbreed.cloud.serving.hosted import endpoint_seen
    from dogbreed.cloud.serving.load_targets import EndpointTarget
    from dogbreed.errors import DogbreedError, UsageError
    from dogbreed.pricing import Prices

    client = aws.client("sagemaker")
    seen = endpoint_seen(aws, name)
    if seen is None:
        raise UsageError(f"there is no endpoint {name} in {aws.region}", "see: dogbreed status")
    if seen["EndpointStatus"] not in ("InService", "Updating"):
        raise DogbreedError(f"endpoint {name} is {seen['EndpointStatus']}", "dogbreed status")
    config = client.describe_endpoint_config(EndpointConfigName=seen["EndpointConfigName"])
    wanted = {one["VariantName"]: one for one in config["ProductionVariants"]}
    table, price, count = Prices.load(), priced.Price(), 0
    for variant in seen["ProductionVariants"]:
        own = wanted.get(variant["VariantName"], {})
        if serverless := own.get("ServerlessConfig"):
            seconds, where = _by_use(table, aws.region, f"sagemaker_serverless_second_{serverless['MemorySizeInMB']}")
            used = Price(request=Decimal(0), second=seconds, by_use=True, elsewhere=where)
            return Tested(EndpointTarget(aws, name, photos), f"serverless endpoint {name}", 1, used, away=True)
        instances = variant.get("CurrentInstanceCount", 0)
        count += instances
        price += priced.instances(own.get("InstanceType", ""), aws.region, instances)
    known = Price(price.hourly)
    words = f"endpoint {name} ({count} x {next(iter(wanted.values())).get('InstanceType', 'instance')})"
    # One without a model of its own has it by a component.
    model = "" if all("ModelName" in one for one in wanted.values()) else component_of(aws, name)
    return Tested(EndpointTarget(aws, name, photos, model), words, max(1, count), known, away=True)


def function(aws: Aws, name: str, photos: Sequence[bytes]) -> Tested:
    """A function by its name, as its alias live has it; an endpoint behind it costs extra, which is not counted."""
    from dogbreed.cloud.serving.client import LIVE
    from dogbreed.cloud.serving.hosted import seen_or_none
    from dogbreed.cloud.serving.load_targets import FunctionTarget
    from dogbreed.errors import UsageError
    from dogbreed.pricing import Prices

    seen = seen_or_none(lambda: aws.client("lambda").get_function_configuration(FunctionName=name, Qualifier=LIVE))
    if seen is None:
        raise UsageError(f"there is no function {name} with an alias {LIVE} in {aws.region}", "see: dogbreed status")
    table, memory = Prices.load(), int(seen["MemorySize"])
    processor = "arm" if "arm64" in seen.get("Architectures", ()) else "x86"
    million, _ = _by_use(table, aws.region, "lambda_request")
    second, where = _by_use(table, aws.region, f"lambda_{processor}_gb_second")
    price = Price(
        request=None if million is None else million / 1_000_000,
        second=None if second is None else second * memory / 1024,
        by_use=True,
        elsewhere=where,
    )
    return Tested(FunctionTarget(aws, name, photos), f"function {name} of {memory} MB", 1, price, away=True)


def _by_use(table: Prices, region: str, key: str) -> tuple[Decimal | None, str]:
    """A price, and "" or the other region that it is of; None where it is not known there either."""
    if figure := table.other(key, region):
        return figure.usd, ""
    figure = table.other(key, _KNOWN)
    return (figure.usd, _KNOWN) if figure else (None, "")
