"""Answers to the exercises of chapter 01, as readers might hand them in, written apart from the checker's own list.

WRONG: label -> (answer, part of the sentence that the checker must answer with). RIGHT: label -> answers that differ
from the published solution and are right all the same.
"""

WRONG = {
    "ex-01-frames": [
        (1024 * 160, "how long is the last frame"),
        (1024 * 160 + 400, "How many hops lie between"),
        (1024 * 400, "Frames overlap"),
        (164_079, "too small"),
    ],
}
RIGHT = {"ex-01-frames": [400 + 1023 * 160]}
