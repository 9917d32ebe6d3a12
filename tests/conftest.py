"""What several test modules share."""

from pathlib import Path

import pytest

import check_browser
from astlib import paths

LONG = ("test_kill.py", "test_scale.py", "test_schedule.py", "test_repository.py", "test_saved.py")  # a minute, or more


def pytest_collection_modifyitems(items):
    """Files with a long test come first, so that no process waits for another one's at the end."""
    items.sort(key=lambda item: item.path.name not in LONG)


def pytest_terminal_summary(terminalreporter):
    """What tests measured, which they give to `record_property("figures", ...)`."""
    reports = [report for kind in ("passed", "failed") for report in terminalreporter.stats.get(kind, [])]
    figures = [value for report in reports for name, value in report.user_properties if name == "figures"]
    if figures:
        terminalreporter.section("figures")
        terminalreporter.write_line("\n".join(figures))


@pytest.fixture(scope="session")
def esc50_root() -> Path:
    """Folder of the real ESC-50."""
    root = paths.find_data("esc50")
    if root is None:
        pytest.skip("ESC-50 not found: set ASTLIB_DATA")
    return root


@pytest.fixture(scope="module")
def browser():
    """Chromium, as the tests of pages drive it. They are skipped where there is none."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=check_browser.find_browser(), args=[*check_browser.ARGUMENTS]
        )
        yield found
        found.close()
