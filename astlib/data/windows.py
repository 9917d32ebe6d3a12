"""Windows over clips that are longer than the input of a network: one at random to train on, all of them to measure.

Chapter: notebooks/15_your_own_sounds.ipynb

A network reads a fixed number of frames. Every window of a clip counts as having all labels of the clip. In a long
recording that need not be true: the dog may bark in one window of twenty, and the other nineteen are then trained on
under its name (weak labels). If you know when a sound is to be heard, cut the recording there; then name the clips
after their recording and keep each recording in one fold, see `astlib.data.Folder`.
"""

from collections.abc import Sequence

from torch.utils.data import Dataset

from ..frontend import LogMel
from .base import AudioDataset, Loadable
from .batch import Batch, Item, collate


def starts(total: int, frames: int, hop: int | None = None) -> list[int]:
    """List where the windows over a sound begin: `hop` apart, and the last one ends with the sound.

    Args:
        total: frames of the sound.
        frames: frames of a window.
        hop: frames from the beginning of one window to that of the next; None is half a window.

    Returns:
        The first frame of each window; only 0 if the sound fits into one window.
    """
    return [*range(0, total - frames, hop or max(1, frames // 2)), total - frames] if total > frames else [0]


class _Windows:
    """What both data sets share: the clips, and how a window is cut out of one."""

    def __init__(self, dataset: AudioDataset, frames: int) -> None:
        self.clips, self.frames, self.log_mel = Loadable(dataset), frames, LogMel()
        self.samples = self.log_mel.sample_count(frames)

    def __len__(self) -> int:
        return len(self.clips)

    def frame_count(self, item: Item) -> int:
        """Count the frames of a clip."""
        return self.log_mel.frame_count(len(item["waveform"]))

    def cut(self, item: Item, start: int) -> Item:
        """The window of a clip that begins with frame `start`; the whole clip if it fits."""
        first = start * self.log_mel.hop_samples
        return {**item, "waveform": item["waveform"][first : first + self.samples]}


class OneWindow(_Windows, Dataset[Item]):
    """Clips to train on: of a clip that is longer than the input, one window.

    An item is asked for by two values: the number of the clip, and a number in [0, 1) that says where the window
    begins. All beginnings at whole frames are equally likely if that number is uniform. Clips that cannot be used are
    silence with a problem, see `Loadable`.

    Args:
        dataset: the clips.
        frames: length of the input in frames.
    """

    def __getitem__(self, place: tuple[int, float]) -> Item:
        clip, where = place
        item = self.clips[clip]
        spare = max(0, self.frame_count(item) - self.frames)
        return self.cut(item, int(where * (spare + 1)))


class EveryWindow(_Windows, Dataset[list[Item]]):
    """Clips to measure on: each is a list of the windows that `astlib.predict` takes, all with the number of the clip.

    A clip that fits into the input has one window, the whole clip. `collate_windows` joins them.

    Args:
        dataset: the clips.
        frames: length of the input in frames.
    """

    def __getitem__(self, i: int) -> list[Item]:
        item = self.clips[i]
        return [self.cut(item, start) for start in starts(self.frame_count(item), self.frames)]


def collate_windows(clips: Sequence[Sequence[Item]]) -> Batch:
    """Join the windows of several clips into one batch.

    Args:
        clips: of an `EveryWindow`; at least one.

    Returns:
        A batch with a row for every window; rows of one clip follow each other and have the same `index`.
    """
    return collate([window for clip in clips for window in clip])
