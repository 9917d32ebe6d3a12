"""Answers to the exercises of chapter 11, as readers might hand them in, written apart from the checker's own list.

WRONG: label -> (answer, part of the sentence that the checker must answer with). RIGHT: label -> answers that differ
from the published solution and are right all the same.
"""

import hashlib
import re

import numpy as np
import torch


def remainder(text, method="sha1"):
    return int(getattr(hashlib, method)(text.encode()).hexdigest(), 16) % 2**27


def named(percent):
    if percent < 10:
        return "validation"
    if percent < 20:
        return "test"
    return "train"


def share(text):
    return 100 * remainder(text) / (2**27 - 1)


def voice(clip):
    return re.match(r"\w+/([0-9a-f]+)_nohash_", clip)[1]


def with_take(clip):
    return named(share(clip.partition("/")[2]))


def with_word(clip):
    return named(share(re.sub("_nohash_.*", "", clip)))


def whole_name(clip):
    return named(share(clip))


def exchanged(clip):
    return {"validation": "test", "test": "validation", "train": "train"}[named(share(voice(clip)))]


def upper_end(clip):
    percent = share(voice(clip))
    return "train" if percent < 80 else "validation" if percent < 90 else "test"


def as_fraction(clip):
    return named(remainder(voice(clip)) / (2**27 - 1))


def no_remainder(clip):
    return named(100 * int(hashlib.sha1(voice(clip).encode()).hexdigest(), 16) / 2**160)


def other_hash(clip):
    return named(100 * remainder(voice(clip), "md5") / (2**27 - 1))


def no_hash(clip):
    return named(100 * (int(voice(clip), 16) % 2**27) / (2**27 - 1))


def other_words(clip):
    return "training"


def by_regex(clip):
    speaker = re.sub("_nohash_.*$", "", clip.split("/")[-1])
    digest = hashlib.sha1(speaker.encode("utf-8")).hexdigest()
    fraction = (int(digest, 16) % (2**27)) * (100.0 / (2**27 - 1))
    return ("validation", "test", *["train"] * 9)[int(fraction // 10)]


def filled(x, frames):
    page = torch.zeros(frames, x.shape[1])
    page[: min(len(x), frames)] = x[:frames]
    return page


def normalised_first(x, frames, mean, std):
    return filled((x - mean) / (2 * std), frames)


def one_deviation(x, frames, mean, std):
    return (filled(x, frames) - mean) / std


def no_mean(x, frames, mean, std):
    return filled(x, frames) / (2 * std)


def flipped(x, frames, mean, std):
    """Padding in front; a sound that is too long is cut at its end."""
    page = torch.zeros(frames, x.shape[1])
    page[frames - min(len(x), frames) :] = x[:frames]
    return (page - mean) / (2 * std)


def centred(x, frames, mean, std):
    page = torch.zeros(frames, x.shape[1])
    start = max(0, (frames - len(x)) // 2)
    page[start : start + min(len(x), frames)] = x[:frames]
    return (page - mean) / (2 * std)


def again_and_again(x, frames, mean, std):
    return (torch.cat([x] * 3)[:frames] - mean) / (2 * std)


def last_frames(x, frames, mean, std):
    page = x[-frames:] if len(x) > frames else filled(x, frames)
    return (page - mean) / (2 * std)


def uncut(x, frames, mean, std):
    return (filled(x, max(frames, len(x))) - mean) / (2 * std)


def with_numpy(x, frames, mean, std):
    page = np.zeros((frames, x.shape[1]))
    page[: min(frames, len(x))] = x.numpy()[:frames]
    return torch.from_numpy((page - mean) / std / 2)


WRONG = {
    "ex-11-part": [
        (with_take, "You hashed the take"),
        (with_word, "You hashed the word"),
        (whole_name, "the whole name"),
        (exchanged, "are exchanged"),
        (upper_end, "the upper end"),
        (as_fraction, "limits in per cent"),
        (no_remainder, "a remainder first"),
        (other_hash, "MD5"),
        (no_hash, "hashed first"),
        (other_words, "found 'training'"),
    ],
    "ex-11-input": [
        (normalised_first, "You normalised first"),
        (one_deviation, "twice as much"),
        (no_mean, "has to be subtracted"),
        (flipped, "in front of the sound"),
        (centred, "half of the padding"),
        (again_and_again, "You repeated the sound"),
        (last_frames, "kept the end"),
        (uncut, "expected the shape (12, 4)"),
    ],
    "ex-11-seconds": [
        (198, "in no patch"),
        (196, "cut off"),
        (200, "Two seconds have 198 frames"),
        (208, "do not overlap"),
        (216, "one column more"),
        (256, "power of two"),
        (20, "too small"),
    ],
}
RIGHT = {"ex-11-part": [by_regex], "ex-11-input": [with_numpy], "ex-11-seconds": [16 + 19 * 10]}
