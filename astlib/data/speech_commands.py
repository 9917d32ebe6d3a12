"""Speech Commands: clips of 1 s with one spoken word each, thousands of speakers, 35 words (Warden, arXiv 1804.03209).

Chapter: notebooks/11_speech_commands.ipynb

All clips of a speaker are in one part, because the part is a function of the speaker's code in the file name. The
official lists were made by that rule, so a copy without lists, or with only some of the words, is divided the same way.
"""

import csv
import hashlib
import os
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Literal, NamedTuple

from ..errors import DataNotFound, InvalidInput
from ..paths import data_folders, find_data
from .base import CLIP_SUFFIXES, SPLITS, SoundFiles, Split
from .report import Problem, Report
from .splits import Part
from .targets import Targets

Version = Literal["v0.01", "v0.02"]
# The original's order (egs/speechcommands/data/speechcommands_class_labels_indices.csv), and so that of its weights.
WORDS = (
    "backward",
    "follow",
    "five",
    "bed",
    "zero",
    "on",
    "learn",
    "two",
    "house",
    "tree",
    "dog",
    "stop",
    "seven",
    "eight",
    "down",
    "six",
    "forward",
    "cat",
    "right",
    "visual",
    "four",
    "wow",
    "no",
    "nine",
    "off",
    "three",
    "left",
    "marvin",
    "yes",
    "up",
    "sheila",
    "happy",
    "bird",
    "go",
    "one",
)
NEW_WORDS = {"backward", "follow", "forward", "learn", "visual"}  # in v0.02 only
WORD_LISTS: dict[Part, str] = {"validation": "validation_list.txt", "test": "testing_list.txt"}
FOLDERS: dict[Version | None, tuple[str, ...]] = {
    None: ("speech_commands", "speech_commands_v0.02", "speech_commands_v0.01"),
    "v0.02": ("speech_commands", "speech_commands_v0.02"),
    "v0.01": ("speech_commands_v0.01", "speech_commands"),
}
SPEECH_COMMANDS_HELP = (
    "To get it: `astlib data fetch speech-commands` (about 2.4 GB), or unpack the official archive as a folder "
    "`speech_commands` and set ASTLIB_DATA to the folder that holds it"
)


class Spoken(NamedTuple):
    """One clip of a copy.

    Attributes:
        name: word/stem.
        word: the spoken word.
        part: "train", "validation" or "test".
        file: its path, or None if it is listed and missing.
    """

    name: str
    word: str
    part: Part
    file: str | None


class SpeechCommands(SoundFiles):
    """The official parts: from the lists if the copy has them, else by the rule that the lists were made with.

    A copy is the official archive (one folder per word, and `_background_noise_`, which is ignored), or a `meta.csv`
    with the columns clip, word and split beside `audio/<word>/`. Files are matched by stem: wav, flac or ogg, at any
    sample rate. Labels are in the original's order if they are the 35 words of v0.02, else in alphabetical order.

    Args:
        root: folder of the copy; None looks for one in $ASTLIB_DATA and the user's cache.
        split: "train" (84,843 clips of v0.02's 105,829), "validation" (9,981), "test" (11,005) or "all". In
            alphabetical order of word and file name.
        version: "v0.01" (30 words) or "v0.02" (35); None takes what is there.
        words: the words to keep; None keeps all words of the copy.

    Raises:
        DataNotFound: no copy, not a copy, another version, or no clips in that part.
        InvalidInput: an unknown split or version, or a word that the copy does not have.
    """

    name = "speech-commands"

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        split: Split = "train",
        version: Version | None = None,
        words: Iterable[str] | None = None,
    ) -> None:
        if split not in SPLITS:
            raise InvalidInput(f"split must be one of {', '.join(SPLITS)}, got {split!r}")
        folder = find_copy(root, version)
        index = read_index(folder)
        found = {clip.word for clip in index}
        if (version == "v0.01" and found & NEW_WORDS) or (version == "v0.02" and found == set(WORDS) - NEW_WORDS):
            other = "v0.02" if version == "v0.01" else "v0.01"
            raise DataNotFound(
                f"{folder} is {other} of Speech Commands, {version} was asked for. {SPEECH_COMMANDS_HELP}"
            )
        kept = found if words is None else set(words)
        if not kept <= found:
            missing, there = ", ".join(sorted(kept - found)), ", ".join(sorted(found))
            raise InvalidInput(f"{folder} has no word {missing}. It has: {there}")
        labels = list(WORDS) if kept == set(WORDS) else sorted(kept)
        wanted = [clip for clip in index if clip.word in kept and split in ("all", clip.part)]
        report = Report(self.name, len(wanted))
        report.update(
            Problem(clip.name, "missing", f"{clip.name}: is listed, but {folder} has no such file")
            for clip in wanted
            if clip.file is None
        )
        clips = [clip for clip in wanted if clip.file is not None]
        if not clips:
            raise DataNotFound(f"{folder} has no clips of the part {split!r}. {SPEECH_COMMANDS_HELP}")
        columns = {label: column for column, label in enumerate(labels)}
        super().__init__(
            labels=labels,
            names=[clip.name for clip in clips],
            targets=Targets.from_lists([[columns[clip.word]] for clip in clips], len(labels)),
            folds=None,
            sources=[clip.file for clip in clips],
            report=report,
        )


def find_copy(root: str | os.PathLike[str] | None, version: Version | None = None) -> Path:
    """Find the folder of a copy.

    Args:
        root: the folder; None looks for one in $ASTLIB_DATA and the user's cache.
        version: "v0.01" or "v0.02"; None takes what is there.

    Returns:
        The folder. If `root` is given, it need not exist.

    Raises:
        InvalidInput: an unknown version.
        DataNotFound: no copy on this machine; the message says how to get one.
    """
    if version not in FOLDERS:
        raise InvalidInput(f"version must be v0.01, v0.02 or None, got {version!r}")
    if root is not None:
        return Path(root)
    folder_here = next((folder for name in FOLDERS[version] if (folder := find_data(name))), None)
    if folder_here is None:
        looked = ", ".join(str(folder) for name in FOLDERS[version] for folder in data_folders(name))
        raise DataNotFound(f"Speech Commands is not on this machine (looked for {looked}). {SPEECH_COMMANDS_HELP}")
    return folder_here


def has_testing_part(root: str | os.PathLike[str] | None) -> bool:
    """Tell whether a copy has clips for testing; a copy with only some of the clips may have none.

    Args:
        root: folder of the copy; None looks for one in $ASTLIB_DATA and the user's cache.

    Returns:
        Whether at least one clip is in the testing part.
    """
    return any(clip.part == "test" for clip in read_index(find_copy(root)))


def read_index(root: Path) -> list[Spoken]:
    """List the clips of a copy, those that are listed and missing included.

    Args:
        root: folder of the copy.

    Returns:
        The clips, sorted by name.

    Raises:
        DataNotFound: not a copy, or one with only one of the two official lists.
    """
    meta = root / "meta.csv"
    if meta.is_file():
        files = sound_files(root / "audio")
        clips = [Spoken(name, word, part, files.get(name)) for name, word, part in _meta_rows(meta)]
    else:
        files = sound_files(root)
        listed = {name: part for part, file in WORD_LISTS.items() for name in _list(root / file)}
        lists = [file for file in WORD_LISTS.values() if (root / file).is_file()]
        if len(lists) == 1:
            raise DataNotFound(
                f"{root} has only {lists[0]} of {' and '.join(WORD_LISTS.values())}. {SPEECH_COMMANDS_HELP}"
            )
        clips = [
            Spoken(name, name.partition("/")[0], listed.get(name, "train") if lists else part_of(name), files.get(name))
            for name in files.keys() | listed.keys()
        ]
    if not clips or not files:
        raise DataNotFound(
            f"{root} is not a copy of Speech Commands: no folders of words with sounds. {SPEECH_COMMANDS_HELP}"
        )
    return sorted(clips, key=lambda clip: clip[:3])


def part_of(clip: str, validation: float = 10, test: float = 10) -> Part:
    """Tell the part of a clip by the speaker's code in its name.

    Source: which_set in tensorflow/examples/speech_commands/input_data.py, which the data set's README gives too.

    Args:
        clip: its name or path, such as "yes/0a7c2a8d_nohash_0".
        validation: per cent of the speakers that are for validation.
        test: per cent of the speakers that are for testing.

    Returns:
        "train", "validation" or "test".
    """
    speaker = re.sub("_nohash_.*$", "", clip.rpartition("/")[2])
    most = 2**27 - 1  # MAX_NUM_WAVS_PER_CLASS
    digest = hashlib.sha1(speaker.encode(), usedforsecurity=False)
    percent = int(digest.hexdigest(), 16) % (most + 1) * (100.0 / most)
    return "validation" if percent < validation else "test" if percent < validation + test else "train"


def sound_files(root: Path) -> dict[str, str]:
    """Find the sounds in the folders of words.

    Args:
        root: the folder that holds the folders of words.

    Returns:
        word/stem to file. Of several files with one stem, ".wav" comes before ".flac", and that before ".ogg".
    """
    files: dict[str, str] = {}
    words = [entry for entry in os.scandir(root) if entry.is_dir()] if root.is_dir() else []
    for word in words:
        if word.name.startswith(("_", ".")):  # _background_noise_ has no word
            continue
        found = [(*os.path.splitext(entry.name), entry.path) for entry in os.scandir(word)]
        sounds = [(stem, suffix.lower(), path) for stem, suffix, path in found if suffix.lower() in CLIP_SUFFIXES]
        for stem, _, path in sorted(sounds, key=lambda sound: CLIP_SUFFIXES.index(sound[1])):
            files[f"{word.name}/{stem}"] = path
    return files


def _list(path: Path) -> list[str]:
    """word/stem of every line of an official list; nothing if there is no such list."""
    if not path.is_file():
        return []
    return [line.strip().rpartition(".")[0] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]


def _meta_rows(path: Path) -> list[tuple[str, str, Part]]:
    """(word/stem, word, part) of every line of `meta.csv`."""
    parts: dict[str, Part] = {"training": "train", "validation": "validation", "testing": "test"}
    try:
        with path.open(newline="", encoding="utf-8") as file:
            return [(row["clip"], row["word"], parts[row["split"]]) for row in csv.DictReader(file)]
    except (KeyError, UnicodeDecodeError, csv.Error):
        raise DataNotFound(
            f"{path} cannot be used: the columns clip, word and split are needed, and a split is one of "
            f"{', '.join(parts)}"
        ) from None
