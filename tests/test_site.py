"""Tests the whole site over HTTP in Chromium: the docs, their search, the gallery, and the page that restores music.

It needs Chromium on PATH, the Python package playwright (extra `test`), and the site as `tools/site.sh` builds it.
"""

import functools
import http.server
import os
import shutil
import threading
from pathlib import Path

import pytest
import soundfile

playwright = pytest.importorskip("playwright.sync_api", reason="needs playwright: pip install '.[test]'")
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
SITE = Path(__file__).parents[1] / "build" / "site"
pytestmark = [
    pytest.mark.skipif(not CHROMIUM, reason="needs Chromium on PATH: apt-get install chromium"),
    pytest.mark.skipif(not (SITE / "web" / "index.html").is_file(), reason="needs the site: tools/site.sh"),
]
SIZES = {"desktop": {"width": 1280, "height": 900}, "phone": {"width": 390, "height": 844}}


class Handler(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):
        pass


@pytest.fixture(scope="module")
def url(tmp_path_factory):
    """The URL of the site on a plain web server. The site is not at its root, because hosts may use any path."""
    folder = tmp_path_factory.mktemp("host")
    (folder / "music").symlink_to(SITE)
    handler = functools.partial(Handler, directory=folder)
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as running:
        threading.Thread(target=running.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{running.server_port}/music/"
        running.shutdown()


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as running:
        chromium = running.chromium.launch(executable_path=CHROMIUM)
        yield chromium
        chromium.close()


@pytest.fixture(params=SIZES)
def page(browser, url, request):
    """An empty page, once on a desktop and once on a phone.

    At the end no script and no request may have failed, and no request may have left the site.
    """
    complaints = []
    page = browser.new_page(viewport=SIZES[request.param])
    page.on("pageerror", lambda error: complaints.append(str(error)))
    page.on("response", lambda answer: answer.status >= 400 and complaints.append(f"{answer.status} {answer.url}"))
    page.on("request", lambda asked: asked.url.startswith((url, "data:", "blob:")) or complaints.append(asked.url))
    yield page
    page.close()
    assert complaints == []


def fits(page):
    return page.evaluate("document.documentElement.scrollWidth <= innerWidth")


def test_every_page_fits_the_screen(page, url):
    wide = []
    for path in sorted(SITE.rglob("*.html")):
        name = path.relative_to(SITE).as_posix()
        if name == "404.html":
            continue
        page.goto(url + name, wait_until="domcontentloaded")
        if not fits(page):
            wide.append(name)
    assert wide == []


def test_the_search_finds_a_page(page, url):
    page.goto(url)
    if page.viewport_size["width"] < 600:
        page.click("label.md-header__button[for='__search']")
    page.click(".md-search__input")
    page.keyboard.type("low-pass anchor rating test", delay=20)
    result = page.locator(".md-search-result__link").first
    result.wait_for(timeout=30_000)
    found = page.locator(".md-search-result__item a").evaluate_all("(links) => links.map((link) => link.pathname)")
    assert any(path.endswith("/how_to/report.html") for path in found)
    page.locator(".md-search-result__item a[href*='how_to/report.html']").first.click()
    page.wait_for_url("**/how_to/report.html*")
    assert "MUSHRA" in page.inner_text("main")


def test_gallery_and_web_page_are_linked(page, url):
    page.goto(url)
    links = page.locator("nav a").evaluate_all("(links) => links.map((link) => link.href)")
    for name in ("gallery/index.html", "web/index.html"):
        assert url + name in links
    page.goto(url + "gallery/index.html")
    assert page.locator("audio").count() >= 2
    broken = "[...document.images].filter((image) => image.complete && !image.naturalWidth).length"
    assert page.evaluate(broken) == 0
    page.click("nav a")
    page.wait_for_url(url + "index.html")


def test_the_web_page_restores_a_song(page, url, tmp_path, make_music):
    soundfile.write(tmp_path / "song.wav", make_music(duration=1.0), 44100)
    page.goto(url + "web/index.html")
    page.wait_for_selector("body[data-ready]", timeout=120_000)
    page.set_input_files("#file", tmp_path / "song.wav")
    page.wait_for_selector("body[data-ready]", timeout=120_000)
    assert page.inner_text("#result-title") == "song.wav"
    assert fits(page)
