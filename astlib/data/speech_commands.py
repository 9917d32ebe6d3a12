"""Speech Commands: one second, one spoken word, thousands of speakers (Warden, arXiv 1804.03209); 35 words in v0.02.

Chapter: notebooks/11_speech_commands.ipynb

All clips of a speaker are in one part, because the part is a function of the speaker's code in the file name. The
official lists were made by that rule, so a copy without lists, or with a few of the words, falls into the same parts.
"""

import csv
import hashlib
import os
import re
from pathlib import Path

import numpy as np

from .base import AudioError, SoundFiles, find, folders
from .report import DataNotFound, Report
from .targets import Targets

# The original's order (egs/speechcommands/data/speechcommands_class_labels_indices.csv), and so that of its weights.
WORDS = (
    "backward", "follow", "five", "bed", "zero", "on", "learn", "two", "house", "tree", "dog", "stop", "seven",
    "eight", "down", "six", "forward", "cat", "right", "visual", "four", "wow", "no", "nine", "off", "three", "left",
    "marvin", "yes", "up", "sheila", "happy", "bird", "go", "one",
)  # fmt: skip
NEW_WORDS = {"backward", "follow", "forward", "learn", "visual"}  # which v0.01 does not have
LISTS = {"validation": "validation_list.txt", "test": "testing_list.txt"}
SPLITS = ("train", *LISTS, "all")
FOLDERS = {
    None: ("speech_commands", "speech_commands_v0.02", "speech_commands_v0.01"),
    "v0.02": ("speech_commands", "speech_commands_v0.02"),
    "v0.01": ("speech_commands_v0.01", "speech_commands"),
}
SUFFIXES = (".ogg", ".flac", ".wav")  # of two files for one clip, the later suffix counts
HOW_TO_GET = (
    "To get it: `astlib data fetch speech-commands` (about 2.4 GB), or unpack the official archive as a folder "
    "`speech_commands` and set ASTLIB_DATA to the folder that holds it"
)


class SpeechCommands(SoundFiles):
    """The official parts: from the lists where the copy has them, else by the rule they were made with.

    A copy is the official archive (a folder for each word, `_background_noise_` aside), or a `meta.csv` with the
    columns clip, word and split beside `audio/<word>/`. Files are matched by stem: wav, flac or ogg, at any rate.

    Args:
        root: folder of the copy; None looks for one in $ASTLIB_DATA and the user's cache.
        split: "train" (84,843 clips of v0.02's 105,829), "validation" (9,981), "test" (11,005) or "all". In
            alphabetical order of word and file name.
        version: "v0.01" (30 words) or "v0.02" (35); None takes what is there.
        words: keep these alone.

    Labels are the words of the whole copy: in the original's order if they are v0.02's 35, else alphabetical.

    Raises:
        DataNotFound: no copy, not a copy, another version, or no clips in that part.
        ValueError: an unknown split or version, or a word that the copy does not have.
    """

    name = "speech-commands"

    def __init__(self, root: str | os.PathLike | None = None, split: str = "train", version=None, words=None):
        if split not in SPLITS:
            raise ValueError(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        root = find_copy(root, version)
        index = read_index(root)
        found = {word for _, word, _, _ in index}
        if version == "v0.01" and found & NEW_WORDS or version == "v0.02" and found == set(WORDS) - NEW_WORDS:
            other = "v0.02" if version == "v0.01" else "v0.01"
            raise DataNotFound(f"{root} is {other} of Speech Commands, {version} was asked for. {HOW_TO_GET}")
        kept = found if words is None else set(words)
        if not kept <= found:
            missing, there = ", ".join(sorted(kept - found)), ", ".join(sorted(found))
            raise ValueError(f"{root} has no word {missing}. It has: {there}")
        labels = list(WORDS) if kept == set(WORDS) else sorted(kept)
        rows = [row for row in index if row[1] in kept and split in ("all", row[2])]
        report = Report(self.name, len(rows))
        for name, _, _, file in rows:
            if file is None:
                report.add(name, AudioError(f"{name}: is listed, but {root} has no such file", "missing"))
        rows = [row for row in rows if row[3] is not None]
        if not rows:
            raise DataNotFound(f"{root} has no clips of the part {split!r}. {HOW_TO_GET}")
        columns = {label: column for column, label in enumerate(labels)}
        super().__init__(
            labels=labels,
            names=[name for name, *_ in rows],
            targets=Targets.from_pairs(
                np.arange(len(rows)), [columns[word] for _, word, _, _ in rows], len(rows), len(labels)
            ),
            folds=None,
            sources=[file for *_, file in rows],
            report=report,
        )


def find_copy(root: str | os.PathLike | None, version: str | None = None) -> Path:
    """The folder of a copy. Raises DataNotFound with what to do."""
    if version not in FOLDERS:
        raise ValueError(f"version must be v0.01, v0.02 or None, got {version!r}")
    if root is not None:
        return Path(root)
    found = next((folder for name in FOLDERS[version] if (folder := find(name))), None)
    if found is None:
        looked = ", ".join(str(folder) for name in FOLDERS[version] for folder in folders(name))
        raise DataNotFound(f"Speech Commands is not on this machine (looked for {looked}). {HOW_TO_GET}")
    return found


def has_testing_part(root: str | os.PathLike | None) -> bool:
    """Whether a copy has clips for testing at all; a selection of the clips may not."""
    return any(part == "test" for _, _, part, _ in read_index(find_copy(root)))


def read_index(root: Path) -> list[tuple[str, str, str, str | None]]:
    """(word/stem, word, part, file or None where it is missing) of every clip of a copy, sorted by the first."""
    meta = root / "meta.csv"
    if meta.is_file():
        files = sound_files(root / "audio")
        rows = [(clip, word, part, files.get(clip)) for clip, word, part in _meta_rows(meta)]
    else:
        files = sound_files(root)
        listed = {clip: part for part, name in LISTS.items() for clip in _list(root / name)}
        lists = [name for name in LISTS.values() if (root / name).is_file()]
        if len(lists) == 1:
            raise DataNotFound(f"{root} has only {lists[0]} of {' and '.join(LISTS.values())}. {HOW_TO_GET}")
        rows = [
            (clip, clip.partition("/")[0], listed.get(clip, "train") if lists else part_of(clip), files.get(clip))
            for clip in files.keys() | listed.keys()
        ]
    if not rows or not files:
        raise DataNotFound(f"{root} is not a copy of Speech Commands: no folders of words with sounds. {HOW_TO_GET}")
    return sorted(rows)


def part_of(clip: str, validation: float = 10, test: float = 10) -> str:
    """The part of a clip, by the speaker's code in its name, in per cent of all speakers.

    Source: which_set in tensorflow/examples/speech_commands/input_data.py, which the data set's README gives too.
    """
    speaker = re.sub("_nohash_.*$", "", clip.rpartition("/")[2])
    most = 2**27 - 1  # MAX_NUM_WAVS_PER_CLASS
    percent = int(hashlib.sha1(speaker.encode()).hexdigest(), 16) % (most + 1) * (100.0 / most)
    return "validation" if percent < validation else "test" if percent < validation + test else "train"


def sound_files(root: Path) -> dict[str, str]:
    """word/stem to file, for every sound in the folders of words."""
    files: dict[str, str] = {}
    words = [entry for entry in os.scandir(root) if entry.is_dir()] if root.is_dir() else []
    for word in words:
        if word.name.startswith(("_", ".")):  # _background_noise_ has no word
            continue
        found = [(os.path.splitext(entry.name), entry.path) for entry in os.scandir(word)]
        found = [(stem, suffix.lower(), path) for (stem, suffix), path in found if suffix.lower() in SUFFIXES]
        for stem, _, path in sorted(found, key=lambda file: SUFFIXES.index(file[1])):
            files[f"{word.name}/{stem}"] = path
    return files


def _list(path: Path) -> list[str]:
    """word/stem of every line of an official list; nothing if there is no such list."""
    if not path.is_file():
        return []
    return [line.strip().rpartition(".")[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _meta_rows(path: Path) -> list[tuple[str, str, str]]:
    parts = {"training": "train", "validation": "validation", "testing": "test"}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [(row["clip"], row["word"], parts[row["split"]]) for row in csv.DictReader(file)]
    except (KeyError, UnicodeDecodeError, csv.Error):
        raise DataNotFound(
            f"{path} cannot be used: the columns clip, word and split are needed, and a split is one of "
            f"{', '.join(parts)}"
        ) from None
