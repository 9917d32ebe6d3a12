"""Open every page of the built book in Chromium, in light and dark mode, wide and narrow, and report what is broken.

    python ci/check_browser.py [--screens FOLDER] [page ...]

It checks for failed requests and requests to other hosts, errors in the console, missing pictures, formulas that are
not typeset, overflow, sliders that do not change their picture when moved by keyboard, and serious or critical
accessibility problems (axe-core). The exit status is 1 if anything was found. It needs Chromium or Chrome: under one of
the usual names on the path, or the program that ASTLIB_CHROMIUM names.
"""

import argparse
import contextlib
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
WIDTHS = (1300, 390)
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
  [...document.querySelectorAll('.bd-article .math')].every(m => m.querySelector('mjx-container')) &&
  document.querySelectorAll('script[type="application/vnd.jupyter.widget-view+json"]').length <=
  document.querySelectorAll('.bd-article .widget-subarea, .bd-article .jupyter-widgets').length"""
PICTURE = """handle => {
  let box = handle.closest('.jupyter-widgets');
  while (box && !box.querySelector('img.widget-image')) box = box.parentElement.closest('.jupyter-widgets');
  if (!box) return null;
  return [...box.querySelectorAll('img.widget-image')].filter(i => i.offsetParent).map(i => i.src).join(' ');
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

    def answered(response):
        if response.status >= 400:
            findings.append(f"{response.status} for {response.url}")

    def said(message):
        if message.type == "error":
            findings.append(f"console: {message.text[:200]}")

    page.on("request", requested)
    page.on("response", answered)
    page.on("requestfailed", lambda request: findings.append(f"request failed: {request.url}"))
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


def check_sliders(page):
    """Move each slider one step with the keyboard; the picture beside it must change."""
    for handle in page.query_selector_all(".bd-article [role='slider']"):
        before = handle.evaluate(PICTURE)
        if before is None:
            continue
        name = handle.get_attribute("aria-label") or "without a name"
        at_end = handle.get_attribute("aria-valuenow") == handle.get_attribute("aria-valuemax")
        handle.scroll_into_view_if_needed()
        handle.focus()
        page.keyboard.press("ArrowLeft" if at_end else "ArrowRight")
        for _ in range(10):  # a slow machine may take its time
            page.wait_for_timeout(300)
            if (after := handle.evaluate(PICTURE)) != before:
                break
        if not before or not after or before == after:
            yield f"slider {name!r} does not change its picture"


def check_axe(page):
    """Yield the serious and critical findings of axe-core."""
    page.evaluate(AXE.read_text(encoding="utf-8"))
    for violation in page.evaluate("() => axe.run(document, {resultTypes: ['violations']})")["violations"]:
        if violation["impact"] in ("serious", "critical"):
            places = "; ".join(node["html"][:120].replace("\n", " ") for node in violation["nodes"][:3])
            yield f"{violation['impact']} {violation['id']} ({len(violation['nodes'])}): {violation['help']}: {places}"


def settle(page, condition: str, argument) -> None:
    """Wait until the page has reacted; whether it did is checked afterwards."""
    with contextlib.suppress(TimeoutError):
        page.wait_for_function(condition, arg=argument, timeout=10_000)
    page.wait_for_timeout(300)


def visit(browser, address: str, name: str, width: int, self_contained: bool, screens: Path | None) -> list[str]:
    """Open one page at one width, in light and then in dark mode. Return the findings."""
    found = []
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme="light")
    page = context.new_page()
    listen(page, found, self_contained)
    page.goto(f"{address}/{name}", wait_until="load")
    page.wait_for_load_state("networkidle")
    try:
        page.wait_for_function(READY, timeout=20_000)
    except Exception:  # said below, by what is missing
        found.append("formulas or widgets are not ready after 20 s")
    for theme in ("light", "dark"):
        page.emulate_media(color_scheme=theme)
        settle(page, "theme => document.documentElement.dataset.theme === theme", theme)
        found += [f"{theme}: {finding}" for finding in check_state(page, theme)]
        if AXE.exists():
            found += [f"{theme}: {finding}" for finding in check_axe(page)]
        if theme == "light":
            found += check_sliders(page)
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
                for width in WIDTHS
                for finding in visit(browser, address, name, width, self_contained, screens)
            ]
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
