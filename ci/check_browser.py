"""Open every page of the built book in Chromium, in light and dark mode, wide and narrow, and report what is broken.

    python ci/check_browser.py [--screens FOLDER] [page ...]

It checks for failed requests and requests to other hosts, errors in the console, missing pictures, formulas that are
not typeset, overflow, code that scrolls sideways, chapters whose first picture is not on the first screen, and serious
or critical accessibility problems (axe-core); and it uses players, sliders, terms and questions (ci/check_moving.py).
It lists the tables that are wider than their page. The exit status is 1 if anything was found. It needs Chromium or
Chrome: under one of the usual names on the path, or the program that ASTLIB_CHROMIUM names.
"""

import argparse
import functools
import os
import shutil
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

from playwright.sync_api import TimeoutError, sync_playwright

import check_moving
import check_review
from common import BUILD, HTML, STAMPED_VENDOR, fail, pages

AXE = BUILD / "axe" / "axe.min.js"
NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable", "chrome")
ARGUMENTS = [
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
BROWSERS = 3  # at once
SIZES = {1300: 900, 390: 844}  # of a window: a laptop's and a phone's
SEEN = 0.4  # of a first picture lies on the first screen; or it fills so much of that
HOW_TO_INSTALL = (
    "no Chromium found: install it (Debian: apt-get install chromium; Ubuntu: apt-get install "
    "chromium-browser; or Google Chrome) or set ASTLIB_CHROMIUM to the program"
)

STATE = """() => ({
  theme: document.documentElement.dataset.theme,
  width: document.documentElement.scrollWidth,
  inner: window.innerWidth,
  wide: [...document.querySelectorAll('.bd-article *')].filter(e => {
      const box = e.getBoundingClientRect();
      return box.right > window.innerWidth + 1 && !e.closest('.output, .math, pre, table, mjx-container'); })
      .slice(0, 3).map(e => e.outerHTML.slice(0, 100)),
  broken: [...document.images].filter(i => i.complete && i.naturalWidth === 0).map(i => i.src.slice(0, 100)),
  math: document.querySelectorAll('.bd-article .math').length,
  typeset: [...document.querySelectorAll('.bd-article .math')].filter(m => m.querySelector('mjx-container')).length,
  mathErrors: [...document.querySelectorAll('mjx-merror, [data-mjx-error]')].map(e => e.outerHTML.slice(0, 160)),
})"""
READY = """() => document.readyState === 'complete' &&
  [...document.querySelectorAll('.bd-article .math')].every(m => m.querySelector('mjx-container'))"""
CODE = """() => {
  const folded = [...document.querySelectorAll('.bd-article details:not([open])')];
  folded.forEach(e => { e.open = true; }); // as a reader does who wants to see it
  const cut = [...document.querySelectorAll('.bd-article div.highlight pre:not(.columns)')]
    .filter(e => e.scrollWidth > e.clientWidth + 1).map(e => e.textContent.slice(0, 60));
  folded.forEach(e => { e.open = false; });
  return cut;
}"""
TABLES = """() => [...document.querySelectorAll('.bd-article table')].filter(t => t.offsetParent).map(t => {
    let box = t.parentElement;
    while (box && !['auto', 'scroll', 'hidden'].includes(getComputedStyle(box).overflowX)) box = box.parentElement;
    if (!box || t.scrollWidth <= box.clientWidth + 1) return null;
    const by = getComputedStyle(box).overflowX;
    return {wide: t.scrollWidth, room: box.clientWidth, reached: by !== 'hidden' && box.tabIndex === 0,
            text: t.textContent.trim().replace(/\\s+/g, ' ').slice(0, 60)};
  }).filter(t => t)"""
FIRST = """() => {
  const image = [...document.querySelectorAll('.bd-article .cell_output img, .front img')].find(i => i.offsetParent);
  if (!image) return null;
  const box = image.getBoundingClientRect();
  return [box.top + window.scrollY, box.height, window.innerHeight];
}"""


def find_browser() -> str | None:
    """Find the browser, or return None. Raises FileNotFoundError if ASTLIB_CHROMIUM does not name a program."""
    named = os.environ.get("ASTLIB_CHROMIUM")
    if named:
        if shutil.which(named) is None:
            raise FileNotFoundError(f"ASTLIB_CHROMIUM is {named}, which is no program")
        return named
    return next(filter(None, map(shutil.which, NAMES)), None)


class Quiet(SimpleHTTPRequestHandler):
    """Serves files without logging: failures are noted on the browser's side."""

    def log_message(self, *arguments):
        pass


class Server(ThreadingHTTPServer):
    daemon_threads = True

    def handle_error(self, request, client_address):
        """The browser hung up, as it does when a page is closed."""


def serve(folder: Path) -> Server:
    """Serve a folder on a free port of the loopback address, in a thread of its own."""
    server = Server(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def listen(page, findings: list[str], self_contained: bool) -> None:
    """Record everything that fails while the page is open."""

    def requested(request):
        parts = urlsplit(request.url)
        if self_contained and parts.scheme not in ("data", "blob") and parts.hostname != "127.0.0.1":
            findings.append(f"asks another host: {request.url}")

    def failed(request):
        if not request.url.startswith("blob:"):  # a part of a sound that was not waited for
            findings.append(f"request failed: {request.url}")

    def answered(response):
        if response.status >= 400:
            findings.append(f"{response.status} for {response.url}")

    def said(message):
        if message.type == "error":
            findings.append(f"console: {message.text[:200]}")

    page.on("request", requested)
    page.on("response", answered)
    page.on("requestfailed", failed)
    page.on("console", said)
    page.on("pageerror", lambda error: findings.append(f"script: {error}"))


def check_state(page, theme: str):
    """Check what can be read from the page as it is."""
    state = page.evaluate(STATE)
    if state["theme"] != theme:
        yield f"theme is {state['theme']}"
    if state["width"] > state["inner"]:
        yield f"overflows: {state['width']} px wide in {state['inner']}; {state['wide']}"
    for source in state["broken"]:
        yield f"picture does not load: {source}"
    if state["typeset"] < state["math"]:
        yield f"{state['math'] - state['typeset']} of {state['math']} formulas are not typeset"
    for error in state["mathErrors"]:
        yield f"formula with an error: {error}"


def check_layout(page, is_chapter: bool, wide: list[str]):
    """Check that code does not scroll sideways, that wide tables can be reached, and where the first picture is.

    Adds to `wide` the tables that a reader can reach by scrolling them.
    """
    for start in page.evaluate(CODE):
        yield f"code scrolls sideways: {start!r}"
    for table in page.evaluate(TABLES):
        words = f"{table['wide']} px in {table['room']}: {table['text']!r}"
        if table["reached"]:
            wide.append(words)
        else:
            yield f"a table is cut off, {words}"
    if is_chapter:
        first = page.evaluate(FIRST)
        if first is None:
            yield "the chapter has no picture"
        elif first[0] + SEEN * min(first[1], first[2]) > first[2]:
            yield f"the first picture is not on the first screen: from {first[0]:.0f} px on, {first[1]:.0f} px high"


def check_axe(page):
    """Yield the serious and critical findings of axe-core."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for violation in page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")["violations"]:
        if violation["impact"] in ("serious", "critical"):
            places = "; ".join(node["html"][:120].replace("\n", " ") for node in violation["nodes"][:3])
            yield f"{violation['impact']} {violation['id']} ({len(violation['nodes'])}): {violation['help']}: {places}"


def visit(browser, address: str, name: str, width: int, self_contained: bool, screens: Path | None) -> list[str]:
    """Open one page at one width, in light and then in dark mode. Return the findings; print the wide tables."""
    found: list[str] = []
    wide: list[str] = []
    size, is_phone = {"width": width, "height": SIZES[width]}, width < 600
    context = browser.new_context(viewport=size, color_scheme="light", has_touch=is_phone)
    page = context.new_page()
    listen(page, found, self_contained)
    page.goto(f"{address}/{name}", wait_until="load")
    page.wait_for_load_state("networkidle")
    try:
        page.wait_for_function(READY, timeout=20_000)
    except TimeoutError:  # said below, by what is missing
        found.append("formulas are not ready after 20 s")
    found += check_layout(page, name.startswith("notebooks/"), wide)
    if wide and not is_phone:
        print(f"{name}: {len(wide)} tables scroll sideways: {'; '.join(wide)}")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        check_moving.wait(page, "theme => document.documentElement.dataset.theme === theme", theme)
        page.wait_for_timeout(300)
        found += [f"{theme}: {finding}" for finding in check_state(page, theme)]
        if AXE.exists():
            found += [f"{theme}: {finding}" for finding in check_axe(page)]
        if theme == "light":
            found += check_moving.check(page, is_phone)
        if screens:
            screens.mkdir(parents=True, exist_ok=True)
            file = name.replace("/", "-").removesuffix(".html")
            page.evaluate("document.activeElement.blur(), window.scrollTo(0, 0)")
            page.screenshot(path=screens / f"{file}-{width}-{theme}.png", full_page=True)
    context.close()
    return [f"{name} at {width} px: {finding}" for finding in found]


def check(folder: Path = HTML, names: list[str] | None = None, screens: Path | None = None) -> list[str]:
    """Return all findings about these pages (default: all) of the book in a folder."""
    program = find_browser()
    if program is None:
        raise FileNotFoundError(HOW_TO_INSTALL)
    names = names or [*(f"{page}.html" for page in pages()), "search.html"]
    server = serve(folder)
    address = f"http://127.0.0.1:{server.server_address[1]}"
    self_contained = (folder / STAMPED_VENDOR).exists()

    def some(first: int) -> list[str]:
        """Visit every BROWSERS-th page in a browser of its own, because much of the time is spent waiting."""
        with sync_playwright() as playwright:
            browser = playwright.chromium.launch(executable_path=program, args=ARGUMENTS)
            found = [
                finding
                for name in names[first::BROWSERS]
                for width in SIZES
                for finding in visit(browser, address, name, width, self_contained, screens)
            ]
            if "book/review.html" in names[first::BROWSERS]:
                found += check_review.check(browser, address)
            if "book/intro.html" in names[first::BROWSERS]:
                found += check_moving.check_without_server(browser, (folder / "book" / "intro.html").as_uri())
            browser.close()
        return found

    try:
        with ThreadPoolExecutor(BROWSERS) as pool:
            return [finding for found in pool.map(some, range(BROWSERS)) for finding in found]
    finally:
        server.shutdown()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--screens", type=Path, metavar="FOLDER", help="write pictures of the pages here")
    parser.add_argument("pages", nargs="*", help="as notebooks/09_esc50.html; default: all")
    arguments = parser.parse_args()
    if not AXE.exists():
        print("axe-core is not there (ci/build.py fetches it by npm): accessibility is not checked")
    try:
        findings = check(HTML, arguments.pages, arguments.screens)
    except FileNotFoundError as error:
        fail(str(error))
    print("\n".join(findings) or "every page opens in light and dark mode, wide and narrow, without a finding")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
