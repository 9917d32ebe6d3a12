"""Check the built book without a browser: links, anchors, files, alt texts, errors in outputs, unexpanded markup.

    python ci/check_book.py [_build/html]

Prints the size of each page and one line per finding. The exit status is 1 if anything was found.
"""

import re
import sys
from pathlib import Path
from urllib.parse import unquote, urlsplit

from bs4 import BeautifulSoup

from common import HTML, ROOT, STAMPED_VENDOR, pages

MAX_BYTES = 1_500_000  # of a page's HTML, without the sounds in it
RESOURCES = {"img": "src", "script": "src", "iframe": "src", "source": "src", "audio": "src", "video": "src"}
LOADED_LINKS = {"stylesheet", "icon", "preload", "modulepreload", "shortcut"}
CSS_URL = re.compile(r"url\(\s*['\"]?([^'\")]+)")
RAW_MARKUP = re.compile(r"\{[a-z:]+\}`|^:::|\$\$", re.MULTILINE)
BAD_OUTPUT = re.compile(r"Traceback \(most recent call last\)|\b\w*(Error|Warning): |\bWARNING\b")


class Page:
    """One HTML file, parsed once."""

    def __init__(self, path: Path):
        self.path = path
        self.html = path.read_text(encoding="utf-8")
        self.soup = BeautifulSoup(self.html, "html.parser")
        self.anchors = {tag["id"] for tag in self.soup.find_all(id=True)}
        self.anchors |= {tag["name"] for tag in self.soup.find_all("a", attrs={"name": True})}
        self.article = self.soup.find("article") or self.soup

    def resources(self):
        """Yield kind and address of everything that the browser loads for this page."""
        for name, attribute in RESOURCES.items():
            for tag in self.soup.find_all(name):
                if tag.get(attribute):
                    yield f"<{name}>", tag[attribute]
        for tag in self.soup.find_all("link", href=True):
            if LOADED_LINKS & set(tag.get("rel", [])):
                yield "<link>", tag["href"]
        for style in self.soup.find_all("style"):
            yield from (("style", address) for address in CSS_URL.findall(style.get_text()))
        for tag in self.soup.find_all(style=True):
            yield from (("style", address) for address in CSS_URL.findall(tag["style"]))


def load(folder: Path) -> dict[Path, Page]:
    """Parse every page except the theme's own snippets."""
    found = [path for path in sorted(folder.rglob("*.html")) if "_static" not in path.relative_to(folder).parts]
    return {path.resolve(): Page(path) for path in found}


def is_external(address: str) -> bool:
    parts = urlsplit(address)
    return bool(parts.netloc) or parts.scheme in ("http", "https")


def target(page: Path, address: str, folder: Path) -> Path:
    """Return the file that a relative address points to."""
    path = unquote(urlsplit(address).path)
    if not path:
        return page.resolve()
    file = (folder / path.lstrip("/")) if path.startswith("/") else page.parent / path
    return (file / "index.html" if file.is_dir() else file).resolve()


def check_links(page: Page, book: dict[Path, Page], folder: Path):
    for link in page.soup.find_all("a", href=True):
        address = link["href"]
        if is_external(address) or urlsplit(address).scheme or address == "#":
            continue
        file, anchor = target(page.path, address, folder), unquote(urlsplit(address).fragment)
        if not file.exists():
            yield f"link to {address}: there is no such file"
        elif anchor and file in book and anchor not in book[file].anchors:
            yield f"link to {address}: there is no such anchor"


def check_resources(page: Page, folder: Path, self_contained: bool):
    for what, address in page.resources():
        if address.startswith(("data:", "blob:", "#")):
            continue
        if is_external(address):
            if self_contained:
                yield f"{what} loads {address} from another host"
        elif not target(page.path, address, folder).exists():
            yield f"{what} needs {address}, which is not there"


def check_pictures(page: Page):
    for image in page.soup.find_all("img"):
        if not (image.get("alt") or "").strip() or image["alt"] == image.get("src"):
            yield f"picture without alt text: {image.get('src', '')[:80]}"


def check_text(page: Page):
    """Find errors, warnings and raw markup that a reader would see, and paths of the machine that built the page."""
    wanted = page.article.select(".tag_raises-exception .output")
    for tag in page.article.select(".output.traceback, .output.stderr, .system-message"):
        if tag not in wanted:
            yield f"an error is shown, or what went to stderr: {tag.get_text()[:160].strip()!r}"
    for output in page.article.select(".cell:not(.tag_raises-exception) .cell_output"):
        found = BAD_OUTPUT.search(output.get_text())
        if found:
            yield f"an output has an error or a warning: {output.get_text()[found.start() :][:160]!r}"
    for place in {str(ROOT), str(Path.home()), "site-packages"} - {"/"}:
        if re.search(rf"{re.escape(place)}(?![\w-])", page.html):
            yield f"a path of the machine that built it: {place}"
    prose = BeautifulSoup(str(page.article), "html.parser")
    for tag in prose.select("pre, code, script, style, .math"):
        tag.decompose()
    for found in RAW_MARKUP.finditer(prose.get_text()):
        yield f"markup was not expanded: {prose.get_text()[found.start() :][:60]!r}"


def check_size(page: Page):
    size = len(re.sub(r"data:audio/[^\"']+", "", page.html).encode())
    if size > MAX_BYTES:
        yield f"the page has {size / 1e6:.2f} MB of HTML, sounds not counted; at most {MAX_BYTES / 1e6} MB"


def check_styles(folder: Path, self_contained: bool):
    """Check the files that the book's style sheets load."""
    for sheet in sorted(folder.rglob("*.css")):
        text = re.sub(r"/\*.*?\*/", "", sheet.read_text(encoding="utf-8", errors="replace"), flags=re.DOTALL)
        for address in CSS_URL.findall(text) + re.findall(r"@import\s+['\"]([^'\"]+)", text):
            if address.startswith(("data:", "#", "%23")):
                continue
            if is_external(address):
                if self_contained:
                    yield f"{sheet.relative_to(folder)}: loads {address} from another host"
            elif not target(sheet, address, folder).exists():
                yield f"{sheet.relative_to(folder)}: needs {address}, which is not there"


def check(folder: Path = HTML) -> list[str]:
    """Return all findings about the book in a folder, each with the name of its page."""
    if not (folder / "index.html").exists():
        return [f"{folder}: there is no built book; run `make book`"]
    book, self_contained = load(folder), (folder / STAMPED_VENDOR).exists()
    findings = [f"{name}.html: the page is missing" for name in pages() if not (folder / f"{name}.html").exists()]
    for path, page in book.items():
        name = path.relative_to(folder.resolve())
        for finding in (
            *check_links(page, book, folder),
            *check_resources(page, folder, self_contained),
            *check_pictures(page),
            *check_text(page),
            *check_size(page),
        ):
            findings.append(f"{name}: {finding}")
    findings += check_styles(folder, self_contained)
    return findings


def main() -> None:
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else HTML
    for path in sorted(folder.rglob("*.html")):
        if "_static" not in path.relative_to(folder).parts:
            print(f"{path.stat().st_size / 1e3:8.0f} kB  {path.relative_to(folder)}")
    findings = check(folder)
    print("\n".join(findings) or "no broken link, no missing file, no picture without alt text")
    sys.exit(1 if findings else 0)


if __name__ == "__main__":
    main()
