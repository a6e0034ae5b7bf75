"""The page in a real browser: chosen, dropped, pasted and taken photos, the keyboard alone, a phone's width."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from service import Service, jpeg

playwright = pytest.importorskip("playwright.sync_api")

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
# The last two: a camera that shows a moving pattern, which may be used without a question.
FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking"]
FLAGS += ["--disable-component-update", "--disable-sync", "--use-fake-device-for-media-stream"]
FLAGS += ["--use-fake-ui-for-media-stream"]

# A browser that is slow to start or to draw is no fault; this only ends a test that hangs.
PATIENCE_MS = 180_000

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not CHROMIUM, reason="no Chromium is installed (Debian's package: chromium)"),
]


@pytest.fixture(scope="module")
def browser() -> Iterator[playwright.Browser]:
    with playwright.sync_playwright() as driver:
        started = driver.chromium.launch(executable_path=CHROMIUM, args=FLAGS, timeout=PATIENCE_MS)
        yield started
        started.close()


@pytest.fixture
def page(browser: playwright.Browser, service: Service) -> Iterator[playwright.Page]:
    shown = browser.new_page(viewport={"width": 390, "height": 844})
    shown.set_default_timeout(PATIENCE_MS)
    wrong: list[str] = []
    shown.on("pageerror", lambda error: wrong.append(str(error)))
    # Whatever the page's own policy forbids is told on the console.
    shown.on("console", lambda said: wrong.append(said.text) if "Security Policy" in said.text else None)
    shown.goto(service.url)
    yield shown
    assert not wrong
    shown.close()


def breeds(page: playwright.Page) -> list[str]:
    page.wait_for_selector("#answer li")
    return page.locator("#answer li span:first-child").all_inner_texts()


def test_a_photo_that_is_chosen_shows_itself_and_its_five_breeds(page: playwright.Page, photo_file: Path) -> None:
    page.set_input_files("#file", photo_file)
    assert len(breeds(page)) == 5
    assert page.locator("#photo").evaluate("image => image.decode().then(() => image.naturalWidth)") == 320
    assert page.locator("#answer h2").inner_text() == breeds(page)[0]
    shares = page.locator("#answer meter").evaluate_all("bars => bars.map(bar => bar.value)")
    assert shares == sorted(shares, reverse=True) and shares[0] > 0
    # A screen reader is told; nothing is wider than a phone.
    assert page.locator("#answer").get_attribute("aria-live") == "polite"
    assert page.evaluate("document.documentElement.scrollWidth") <= 390


# A drop and a paste come with a DataTransfer, which a page may make itself.
TRANSFER = """async ([kind, bytes]) => {
  const transfer = new DataTransfer();
  transfer.items.add(new File([new Uint8Array(bytes)], "dog.jpg", { type: "image/jpeg" }));
  document.dispatchEvent(kind === "paste"
    ? new ClipboardEvent("paste", { clipboardData: transfer, bubbles: true })
    : new DragEvent("drop", { dataTransfer: transfer, bubbles: true, cancelable: true }));
}"""


@pytest.mark.parametrize("kind", ["drop", "paste"])
def test_a_photo_that_is_dropped_or_pasted(page: playwright.Page, kind: str) -> None:
    page.evaluate(TRANSFER, [kind, list(jpeg(4))])
    assert len(breeds(page)) == 5


def test_a_photo_from_the_camera_with_the_keyboard_alone(page: playwright.Page) -> None:
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "file"
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "camera"
    page.keyboard.press("Enter")
    page.locator("#shoot:focus").wait_for()
    page.locator("#video").evaluate("video => video.videoWidth || new Promise(go => video.onresize = go)")
    page.keyboard.press("Enter")
    assert len(breeds(page)) == 5
    # The camera is off again.
    assert page.locator("#live").is_hidden()
    page.locator("#answer:focus").wait_for()


def test_escape_closes_the_camera(page: playwright.Page) -> None:
    page.click("#camera")
    page.wait_for_selector("#shoot")
    page.keyboard.press("Escape")
    assert page.locator("#live").is_hidden() and page.locator("#form").is_visible()


def test_what_is_no_photo_is_said_in_words(page: playwright.Page, tmp_path: Path) -> None:
    (tmp_path / "notes.txt").write_text("no photo")
    page.set_input_files("#file", tmp_path / "notes.txt")
    page.wait_for_selector("#answer .error")
    assert "not a JPEG" in page.locator("#answer").inner_text()
    assert page.locator("#photo").is_hidden()


def test_the_docs_load_nothing_from_elsewhere(page: playwright.Page, service: Service) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(service.url + "/docs")
    page.wait_for_selector(".opblock")
    assert asked and all(url.startswith((service.url, "data:")) for url in asked)
