"""The long tail: bars in order of frequency, the right labels named, and copies with what they lack."""

from astlib.drawings.long_tail import long_tail

NAMES = ["rare", "Music, of any kind", "middle", "Speech", "seldom"]
COUNTS = [3, 900, 40, 700, 20]


def test_labels_are_sorted_and_named():
    (ax,) = long_tail(COUNTS, NAMES, {}, 1000).axes
    assert [bar.get_height() for bar in ax.patches] == [900, 700, 40, 20, 3]
    assert [text.get_text() for text in ax.texts] == [
        "Music: 900",
        "Speech: 700",
        "in the middle:\nmiddle, 40",
        "rarest:\nrare, 3",
    ]
    assert [text.xy for text in ax.texts] == [(1, 900), (2, 700), (3, 40), (5, 3)]


def test_a_copy_is_what_it_has_and_what_it_lacks():
    _, ax = long_tail(COUNTS, NAMES, {"list": 1000, "copy": 840}, 1000).axes
    assert [(bar.get_x(), bar.get_width()) for bar in ax.patches] == [(0, 1000), (1000, 0), (0, 840), (840, 160)]
    assert [text.get_text() for text in ax.texts] == ["1,000", "840, 16% lost"]
    assert [label.get_text() for label in ax.get_yticklabels()] == ["list", "copy"]
