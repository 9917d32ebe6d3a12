"""Answers of chapter 01.

Chapter: notebooks/01_sound_to_spectrogram.ipynb
"""

from .exercises import Exercise, Mistake, Number

EXERCISES: list[Exercise] = [
    Number(
        label="ex-01-frames",
        right=164_080,
        unit="samples",
        remark="AudioSet's clips of 10 s have 998 frames, so 26 of the 1,024 are always padding.",
        mistakes=[
            Mistake(163_840, "1,024 hops are not 1,024 frames: how long is the last frame?"),
            Mistake(164_240, "You counted 1,024 hops and a frame. How many hops lie between the first and the last?"),
            Mistake(409_600, "Frames overlap: a new one begins every 160 samples, not every 400."),
        ],
    ),
]
