"""Tables and durations as text and as HTML."""

import pytest

from astlib.table import Table, duration


def test_columns_are_as_wide_as_their_widest_cell():
    table = Table(["name", "mAP"], [["full", 0.459], ["balanced part", None]])
    assert repr(table) == (
        "name           mAP\n"
        "--------------------\n"
        "full           0.459\n"
        "balanced part"
    )  # fmt: skip
    assert table.rows == [["full", "0.459"], ["balanced part", ""]]
    assert repr(Table(["name"], [])) == "name\n----"


def test_in_a_notebook_it_is_html_and_text_stays_text():
    html = Table(["a<b"], [["x & y"], ["long " * 6]])._repr_html_()
    assert "<th scope='col'>a&lt;b</th>" in html and "<td>x &amp; y</td>" in html
    assert html.count("<td class=long>") == 1


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "0 s"), (45.4, "45 s"), (89.9, "90 s"), (90, "2 min"), (720, "12 min"), (5399, "90 min"), (5400, "1.5 h"),
     (12_240, "3.4 h")],
)  # fmt: skip
def test_durations_are_in_the_unit_that_people_use(seconds, text):
    assert duration(seconds) == text
