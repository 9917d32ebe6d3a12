"""Use the page "Review" as a reader would, over a month: answer in a chapter, come back after a day, and after three.

ci/check_browser.py calls `check` once. What is found is yielded as text.
"""

import datetime

from common import chapters

START = datetime.datetime(2030, 1, 1, 12, 0)
A_MINUTE = datetime.timedelta(minutes=1)


def answer(page, label: str, right: bool) -> None:
    """Open the first choice of a question that is right, or wrong."""
    wanted = f"details.quiz-choice[data-right='{str(right).lower()}']"
    page.query_selector(f"#{label} {wanted} summary").click()


def due(page, address: str, days: int) -> tuple[str, list[str]]:
    """What the review page says so many days after the start, and the questions that it shows."""
    page.clock.set_fixed_time(START + datetime.timedelta(days=days) + A_MINUTE)
    page.goto(f"{address}/book/review.html", wait_until="load")
    page.wait_for_selector("#questions-due > p")
    shown = [question.get_attribute("id") for question in page.query_selector_all("#questions-due .quiz-question")]
    return page.inner_text("#questions-due"), shown


def check(browser, address: str):
    """Answer two questions of the first chapter, and follow them through the days."""
    context = browser.new_context()
    page = context.new_page()
    page.clock.set_fixed_time(START)
    page.goto(f"{address}/notebooks/{chapters()[0].stem}.html", wait_until="load")
    labels = [question.get_attribute("id") for question in page.query_selector_all(".quiz-question")][:2]
    if len(labels) < 2:
        yield "review: the first chapter asks no questions"
        return
    answer(page, labels[0], right=False)
    answer(page, labels[1], right=True)
    text, shown = due(page, address, 0)
    if shown or "Nothing is due" not in text:
        yield f"review: on the day of the answers it shows {shown} and says {text[:80]!r}"
    text, shown = due(page, address, 1)
    if shown != labels:
        yield f"review: after a day it shows {shown}, not {labels}"
        return
    answer(page, labels[0], right=True)
    answer(page, labels[1], right=False)
    for label, word in zip(labels, ("Right", "Not right"), strict=True):
        said = page.inner_text(f"#{label} .quiz-next")
        if not said.startswith(f"{word}: it comes back on "):
            yield f"review: {label} was answered, and it says {said!r}"
    for days, wanted in ((2, labels[1:]), (3, labels[1:]), (4, labels)):
        shown = due(page, address, days)[1]
        if shown != wanted:
            yield f"review: after {days} days it shows {shown}, not {wanted}"
    place = page.get_attribute(f"div:has(> #{labels[0]}) a", "href")
    page.once("dialog", lambda dialog: dialog.accept())
    page.click("text=Forget my answers")
    if "not answered any question" not in page.inner_text("#questions-due"):
        yield "review: forgetting leaves something behind"
    if chapters()[0].stem not in (place or ""):
        yield f"review: a question links to {place!r}"
    with page.expect_download() as download:
        page.click("text=cards.txt")
    if not download.value.path().read_text(encoding="utf-8").startswith("#separator:tab"):
        yield "review: cards.txt is not a deck of cards"
    context.close()
