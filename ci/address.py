"""Set the address of the repository: python ci/address.py owner/name v0.1.0

The address is defined in _config.yml; badges, installation cells and links repeat it. `stale` finds those that differ.
"""

import re
import sys
from pathlib import Path

import yaml

from common import ROOT, fail

OWNER_NAME = r"[\w.-]+/[\w-][\w.-]*?"
# How an address is written in our files. The groups are: before, owner/name, between, tag.
BADGE = re.compile(rf"(colab\.research\.google\.com/github/)({OWNER_NAME})(/blob/)([\w.-]+)(?=/notebooks/)")
INSTALL = re.compile(rf"(git\+https://github\.com/)({OWNER_NAME})(@)([\w.-]+)")
FILES = (
    "README.md",
    "CONTRIBUTING.md",
    "SECURITY.md",
    "CITATION.cff",
    "pyproject.toml",
    "book/*.md",
    "notebooks/**/*.ipynb",
)


def address() -> tuple[str, str]:
    """Return owner/name and tag as defined in _config.yml."""
    repository = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf-8"))["repository"]
    return repository["url"].removeprefix("https://github.com/"), str(repository["branch"])


def files() -> list[Path]:
    return [path for pattern in FILES for path in sorted(ROOT.glob(pattern))]


def stale() -> list[str]:
    """List the badges and installation cells that name another repository or tag than _config.yml."""
    findings = []
    for path in files():
        for pattern in (BADGE, INSTALL):
            for found in pattern.finditer(path.read_text(encoding="utf-8")):
                if (found[2], found[4]) != address():
                    findings.append(f"{path.relative_to(ROOT)}: {found[0]}")
    return findings


def move(text: str, old: str, repository: str, tag: str) -> str:
    """Replace our address everywhere in a text, links to the old repository included."""
    for pattern in (BADGE, INSTALL):
        text = pattern.sub(rf"\g<1>{repository}\g<3>{tag}", text)
    text = re.sub(rf"(https://github\.com/){re.escape(old)}(?![\w-])", rf"\g<1>{repository}", text)
    return re.sub(rf"(?m)^(\s*cd ){re.escape(old.split('/')[1])}$", rf"\g<1>{repository.split('/')[1]}", text)


def main() -> None:
    if len(sys.argv) != 3 or not re.fullmatch(r"[\w.-]+/[\w.-]+", sys.argv[1]):
        fail("expected `make address REPO=owner/name TAG=v0.1.0`")
    repository, tag = sys.argv[1:]
    old = address()[0]
    for path in files():
        text = path.read_text(encoding="utf-8")
        path.write_text(move(text, old, repository, tag), encoding="utf-8")
    config = (ROOT / "_config.yml").read_text(encoding="utf-8")
    config = re.sub(r"(?m)^(  url: ).*$", rf"\g<1>https://github.com/{repository}", config)
    config = re.sub(r"(?m)^(  branch: ).*$", rf"\g<1>{tag}", config)
    (ROOT / "_config.yml").write_text(config, encoding="utf-8")
    print(f"The address is now github.com/{repository}, tag {tag}.")


if __name__ == "__main__":
    main()
