"""Send damaged photos and requests to `dogbreed serve`, and print how it answers: never with a 500, and it stays alive.

usage: python tests/benchmarks/fuzz_serve.py [REQUESTS [SEED]]
"""

from __future__ import annotations

import base64
import http.client
import json
import random
import sys
import tempfile
import threading
from collections import Counter
from pathlib import Path
from urllib.parse import urlsplit

sys.path.insert(0, str(Path(__file__).parents[1]))
from photos import picture, save

from dogbreed.cli.loadtest_target import service

CLIENTS = 4
KINDS = (".jpg", ".png", ".webp", ".gif", ".bmp", ".tiff")
TYPES = (
    "image/jpeg",
    "application/octet-stream",
    "application/json",
    "multipart/form-data; boundary=x",
    "text/plain",
    "",
)
PATHS = ("/predict", "/invocations", "/predict?top_k=3", "/predict?top_k=-1", "/predict?top_k=zebra")


def damaged(data: bytes, rng: random.Random) -> bytes:
    """The bytes with a few changes of one kind."""
    changed = bytearray(data)
    way = rng.randrange(6)
    if way == 0:
        return bytes(changed[: rng.randrange(len(changed) + 1)])
    if way == 1:
        for _ in range(rng.randrange(1, 40)):
            changed[rng.randrange(len(changed))] = rng.randrange(256)
    elif way == 2:
        start = rng.randrange(len(changed))
        del changed[start : start + rng.randrange(1, 200)]
    elif way == 3:
        start = rng.randrange(len(changed))
        changed[start:start] = rng.randbytes(rng.randrange(1, 200))
    elif way == 4:
        # Where formats keep sizes, counts and offsets.
        for _ in range(rng.randrange(1, 8)):
            changed[rng.randrange(min(64, len(changed)))] = rng.choice((0, 1, 127, 128, 255))
    return bytes(changed)


def body(photo: bytes, rng: random.Random) -> bytes:
    """A damaged photo as one of the bodies that the service reads, maybe damaged as well."""
    photo = damaged(photo, rng)
    way = rng.randrange(6)
    if way == 0:
        made = json.dumps({"image": base64.b64encode(photo).decode()}).encode()
        return damaged(made, rng) if rng.random() < 0.5 else made
    if way == 1:
        return json.dumps(rng.choice(([], {}, None, 3, {"image": None}, {"images": [1, "?"]}, {"images": {}}))).encode()
    if way == 2:
        head = b'--x\r\nContent-Disposition: form-data; name="photo"; filename="a.jpg"\r\n\r\n'
        made = head + photo + b"\r\n--x--\r\n"
        return damaged(made, rng) if rng.random() < 0.5 else made
    return photo


def main() -> None:
    count = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    seed = int(sys.argv[2]) if len(sys.argv) > 2 else 0
    said: Counter[str] = Counter()
    with tempfile.TemporaryDirectory() as name, service("starter") as address:
        photos = [
            save(Path(name) / f"{number}{kind}", number, image=picture(number, (200, 150))).read_bytes()
            for number in range(4)
            for kind in KINDS
        ]
        place = urlsplit(address).netloc

        def send(number: int) -> None:
            rng = random.Random(seed * CLIENTS + number)
            for _ in range(count // CLIENTS):
                connection = http.client.HTTPConnection(place, timeout=60)
                headers = {"Content-Type": kind} if (kind := rng.choice(TYPES)) else {}
                connection.request("POST", rng.choice(PATHS), body(rng.choice(photos), rng), headers)
                answer = connection.getresponse()
                text = answer.read()
                said[str(answer.status)] += 1
                if (answer.status >= 500 and answer.status != 503) or b"Traceback" in text:
                    print(f"status {answer.status}: {text[:300]!r}")
                connection.close()

        threads = [threading.Thread(target=send, args=(number,)) for number in range(CLIENTS)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        print(dict(sorted(said.items())))
        connection = http.client.HTTPConnection(place, timeout=60)
        connection.request("POST", "/predict", photos[0])
        print(f"then a whole photo: {connection.getresponse().status}")


if __name__ == "__main__":
    main()
