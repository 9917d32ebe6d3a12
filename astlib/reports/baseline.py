"""What a network must beat: the mean spectrum of a clip and a linear classifier, trained in seconds.

Chapter: book/how_to_run.md
"""

import warnings
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from tqdm.auto import tqdm

from ..data.audioset.stream import AudioStream
from ..data.base import AudioDataset
from ..errors import AudioError, InvalidInput
from ..frontend import LogMel
from ..scores import rows_of

# The inverse strength of the L2 penalty, in scikit-learn's sense. Of 256 standardised features and some hundred clips,
# scikit-learn's default of 1 fits the training clips exactly.
C = 0.1
MOST_CLIPS = 3000  # to train on; more hardly help so small a model
MOST_HOURS = 10.0  # of sound to read for it
BLOCK = 60 * 16_000  # samples of which the spectrogram is in memory at a time


class BaselineScores(NamedTuple):
    """What the simple baseline says about the test clips.

    Attributes:
        scores: `(clips, classes)` float64, probabilities.
        clips: how many clips it was trained on.
    """

    scores: NDArray[np.float64]
    clips: int


def mel_statistics(waveform: Tensor, log_mel: LogMel) -> NDArray[np.float64]:
    """Compute mean and standard deviation over time of every mel bin of a clip.

    Args:
        waveform: `(samples,)` at 16 kHz, 25 ms or more, as long as one likes.
        log_mel: the front-end.

    Returns:
        `(2 * mels,)`: the means, then the standard deviations.
    """
    blocks = [waveform[start : start + BLOCK] for start in range(0, len(waveform), BLOCK)]
    frames, total, squares = 0, torch.zeros(()), torch.zeros(())
    for block in (block for block in blocks if len(block) >= log_mel.frame_samples):
        mel = log_mel(block)[0].double()  # (frames, mels)
        frames, total, squares = frames + len(mel), total + mel.sum(0), squares + mel.square().sum(0)
    mean = total / frames
    deviation = (squares / frames - mean.square()).clamp(min=0).sqrt()
    return torch.cat([mean, deviation]).numpy()


def simple_baseline(
    train: AudioDataset | AudioStream,
    test: AudioDataset,
    names: Sequence[str],
    multi_label: bool,
    progress: bool = True,
) -> BaselineScores:
    """Train logistic regression on mean and standard deviation of the 128 log-mels, and apply it to test clips.

    It is a classifier without time and without learned features. The features are standardised; the penalty is L2. Of
    more than 3,000 training clips, 3,000 are drawn.

    Args:
        train: clips to train on.
        test: has the test clips.
        names: of the test clips.
        multi_label: True for one classifier per class, False for one that chooses among the classes.
        progress: show a progress bar.

    Returns:
        Probabilities of the test clips.

    Raises:
        InvalidInput: it cannot be trained here; the message says why.
    """
    if isinstance(train, AudioStream):
        raise InvalidInput("the training part is a stream, which would have to be read as a whole")
    if train.labels != test.labels:
        raise InvalidInput("the training part has other classes than the test part")
    drawn = np.random.default_rng(0).permutation(len(train))[:MOST_CLIPS]
    train, test = train.select(rows=np.sort(drawn)), test.select(rows=rows_of(names, test))
    hours = sum(part.estimated_bytes() for part in (train, test)) / (4 * train.rate * 3600)
    if hours > MOST_HOURS:
        raise InvalidInput(f"about {hours:.0f} hours of sound would have to be read for it")
    with tqdm(
        total=len(train) + len(test), desc="simple baseline", unit="clip", leave=False, disable=not progress
    ) as b:
        x, usable = _features(train, b)
        x_test, usable_test = _features(test, b)
    if not usable_test.all():
        raise InvalidInput("some test clips that the network was measured on cannot be read any more")
    targets = train.classes.take(np.flatnonzero(usable)).dense().numpy().astype(int)
    if not multi_label and (targets.sum(0) > 0).sum() < 2:
        raise InvalidInput("all training clips that can be read are of one class")
    return BaselineScores(_logistic_regression(x, targets, x_test, multi_label), len(x))


def _features(dataset: AudioDataset, bar: "tqdm[None]") -> tuple[NDArray[np.float64], NDArray[np.bool_]]:
    """Statistics of the clips that can be read, `(usable clips, 256)`, and which clips these are, `(clips,)`."""
    log_mel, rows, usable = LogMel(), [], np.zeros(len(dataset), bool)
    for i in range(len(dataset)):
        try:
            waveform = dataset.waveform(i)
            if len(waveform) >= log_mel.frame_samples:
                rows.append(mel_statistics(waveform, log_mel))
                usable[i] = True
        except AudioError:
            continue  # the run has its own list of such clips
        finally:
            bar.update()
    return np.array(rows).reshape(len(rows), 2 * log_mel.n_mels), usable


def _logistic_regression(
    x: NDArray[np.float64], targets: NDArray[np.int_], x_test: NDArray[np.float64], multi_label: bool
) -> NDArray[np.float64]:
    """Probabilities of the test clips, `(clips, classes)`; 0 for a class without a training clip."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.multiclass import OneVsRestClassifier
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    one = LogisticRegression(C=C, max_iter=1000)
    model = make_pipeline(StandardScaler(), OneVsRestClassifier(one) if multi_label else one)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of classes that all training clips have, or none
        model.fit(x, targets if multi_label else targets.argmax(1))
    if multi_label:
        return np.asarray(model.predict_proba(x_test), np.float64)
    scores = np.zeros((len(x_test), targets.shape[1]))
    scores[:, model.classes_] = model.predict_proba(x_test)
    return scores
