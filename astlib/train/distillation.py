"""Learning from a larger ear: a teacher that has heard AudioSet hears the training clips, and a student learns from it.

The student is an AST with its ordinary head. Its loss has up to three parts, each a number for every clip:

- the labels, as in any other run;
- the classes as the teacher would name them: a logistic regression on the teacher's 384 features of the training clips
  turns them into probabilities of the data's own classes, also for a mixture of two clips (G. Hinton, O. Vinyals, J.
  Dean, "Distilling the Knowledge in a Neural Network", 2015, arXiv:1503.02531);
- the teacher's features: the student's vector of a clip shall point where the teacher's points, among the training
  clips.

Teacher and student always hear the same sound (L. Beyer et al., "Knowledge distillation: A good teacher is patient and
consistent", CVPR 2022, arXiv:2106.05237): what is mixed is mixed before either of them hears it. The teacher hears the
training clips and mixtures of them, never a clip of the test fold.

Chapter: notebooks/18_a_larger_ear.ipynb
"""

import hashlib
import io
import math
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import Accelerator
from torch import Tensor, nn
from tqdm.auto import tqdm

from ..data import AudioDataset, AudioStream, Mixture, Parts
from ..data.joined import Joined
from ..efficientat import CLASSES, DIM, WEIGHTS_HASH, Answers, EfficientAT, load_efficientat
from ..errors import AudioError, InvalidInput
from ..files import write_whole
from ..frontend import Features, SoundConfig
from ..measure import loss_function
from ..model import AST
from ..networks import Network
from ..paths import cache
from ..recipes import Recipe
from .options import Options
from .steps import Stepper

HEARD_AT_ONCE = 32  # clips of the same length
PROBE_C = 0.05  # inverse strength of the logistic regression's L2 penalty, on standardised features


def with_mixtures(parts: Parts, mixtures: int, seed: int) -> Parts:
    """Add mixtures of two training clips to the training part. Clips of different folds are never mixed.

    So a mixture belongs to one fold, and the teacher hears it once for all runs that train on this fold.

    Args:
        parts: the data of a run.
        mixtures: how many are made of every fold, or of a training part without folds.
        seed: of the draws.

    Returns:
        The same parts; the training part is longer.

    Raises:
        InvalidInput: the training part is a stream.
    """
    train = parts.train
    if not isinstance(train, AudioDataset):
        raise InvalidInput("a teacher hears every training clip before training: it needs a data set, not a stream")
    folds = {0: train}
    if train.folds is not None:
        folds = {fold: train.select(folds=fold) for fold in sorted(set(train.folds))}
    mixed = [
        Mixture(clips, mixtures, (2, 2), seed=1000 * seed + fold, skew=0.0) for fold, clips in folds.items() if mixtures
    ]
    return parts._replace(train=Joined([*folds.values(), *mixed], train.manifest_hash()))


# --- what the teacher hears -----------------------------------------------------------------------------------------


def hear(train: Joined, progress: bool = True) -> Answers:
    """Let the teacher hear every training clip once. Its answers are kept in the user's cache, a file for every part.

    Args:
        train: clips and mixtures.
        progress: show a progress bar.

    Returns:
        Features `(clips, 384)` and logits `(clips, 527)`; zeros for a clip that cannot be used.

    Raises:
        WeightsNotFound: the teacher's weights are not on this machine.
        InvalidInput: its file is damaged or another one.
    """
    answers = [_kept_answers(part, progress) for part in train.parts]
    return Answers(*(torch.cat(values) for values in zip(*answers, strict=True)))


def _kept_answers(part: AudioDataset, progress: bool) -> Answers:
    """The teacher's answers to the clips of a part, from the cache or new."""
    digest = hashlib.sha256(f"{WEIGHTS_HASH} {part.manifest_hash()}".encode()).hexdigest()[:20]
    path = cache() / "teacher" / f"{part.name}-{digest}.npz"
    if path.is_file():
        with np.load(path) as kept:
            return Answers(torch.from_numpy(kept["features"]), torch.from_numpy(kept["logits"]))
    answers = _listen(load_efficientat(), part, progress)
    content = io.BytesIO()
    np.savez(content, features=answers.features.numpy(), logits=answers.logits.numpy())
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, content.getbuffer())
    return answers


def _listen(teacher: EfficientAT, part: AudioDataset, progress: bool) -> Answers:
    features, logits = torch.zeros(len(part), DIM), torch.zeros(len(part), CLASSES)
    bar = tqdm(total=len(part), desc=f"the teacher hears {part.name}", unit="clip", leave=False, disable=not progress)
    with bar:
        for numbers, waveforms in _same_length(part):
            if numbers:
                features[numbers], logits[numbers] = teacher(waveforms)
            bar.update(len(numbers))
    return Answers(features, logits)


def _same_length(part: AudioDataset) -> Iterator[tuple[list[int], Tensor]]:
    """Numbers and waveforms `(clips, samples)` of successive clips of one length; padding would be heard."""

    def clips() -> Iterator[tuple[int, Tensor]]:
        for i in range(len(part)):
            try:
                yield i, part.waveform(i)
            except AudioError:
                continue  # the training leaves it out too, and reports it

    for _, same in groupby(clips(), key=lambda clip: len(clip[1])):
        run = list(same)
        for start in range(0, len(run), HEARD_AT_ONCE):
            numbers, waveforms = zip(*run[start : start + HEARD_AT_ONCE], strict=True)
            yield list(numbers), torch.stack(waveforms)


# --- what the student learns ----------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Lesson:
    """What a student is to say of every training clip.

    Attributes:
        classes: `(clips, classes)` float32, probabilities of the data's own classes, as the teacher hears them.
        directions: `(clips, dim)` float32, unit vectors: where the student's vector of the clip shall point.
    """

    classes: Tensor
    directions: Tensor


def lesson(answers: Answers, targets: Tensor, dim: int) -> Lesson:
    """Turn the teacher's answers into what a student of this width can say.

    The classes come from a logistic regression that is fitted to the clips with exactly one label. The directions are
    the teacher's features along their `dim` principal axes, each divided by the square root of its standard deviation,
    so that no axis dominates and none is mere noise; a narrower teacher leaves the last axes of the student free.

    Args:
        answers: of all training clips.
        targets: `(clips, classes)` float32, their labels, one or several a clip.
        dim: width of the student's vector.

    Returns:
        The lesson.

    Raises:
        InvalidInput: fewer than two classes have clips with this label alone.
    """
    from sklearn.linear_model import LogisticRegression  # takes seconds, and runs without a teacher do not need it

    features, single = answers.features, targets.sum(dim=1) == 1
    own = features[single]  # (clips with one label, 384)
    labels = targets[single].argmax(dim=1)
    if len(set(labels.tolist())) < 2:
        raise InvalidInput("a teacher needs clips of two classes or more that have one label each")
    mean, std = own.mean(dim=0), own.std(dim=0) + 1e-3
    probe = LogisticRegression(C=PROBE_C, max_iter=500).fit(((own - mean) / std).numpy(), labels.numpy())
    classes = torch.zeros(len(features), targets.shape[1])
    classes[:, torch.from_numpy(probe.classes_)] = torch.from_numpy(
        probe.predict_proba(((features - mean) / std).numpy())
    ).float()
    _, sizes, axes = torch.linalg.svd(own - mean, full_matrices=False)  # (k,), (k, 384)
    axes, scales = axes[:dim], (sizes[:dim] / math.sqrt(len(own))).clamp(min=1e-6).sqrt()
    directions = F.normalize((features - mean) @ axes.T / scales, dim=1)  # (clips, at most dim)
    return Lesson(classes, F.pad(directions, (0, dim - directions.shape[1])))


def taught_loss(
    vectors: Tensor, logits: Tensor, targets: Tensor, lesson: Lesson, weight_classes: float, weight_features: float
) -> Tensor:
    """Compute the loss of a batch: that of the labels, of the teacher's classes and of the teacher's direction.

    Args:
        vectors: the student's, `(batch, dim)`.
        logits: the student's, `(batch, classes)`.
        targets: `(batch, classes)`, the labels; the two of a mixture count one half each.
        lesson: what the teacher says of these clips.
        weight_classes: of the cross-entropy with the teacher's classes.
        weight_features: of one minus the cosine of the student's vector and the teacher's direction.

    Returns:
        `(batch,)`, one number a clip.
    """
    targets = targets / targets.sum(dim=1, keepdim=True).clamp(min=1)
    loss = loss_function(logits, targets, "ce", reduction="none")
    classes = loss_function(logits, lesson.classes, "ce", reduction="none")
    features = 1 - F.cosine_similarity(vectors, lesson.directions)
    return loss + weight_classes * classes + weight_features * features


class Student(nn.Module):
    """A network that gives its vector of a clip beside its logits, so that a teacher can correct both.

    Args:
        network: the AST that learns.
    """

    def __init__(self, network: AST) -> None:
        super().__init__()
        self.network = network

    def forward(self, mel: Tensor, kept: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """Compute vectors and logits.

        Args:
            mel: normalised log-mel `(batch, frames, mels)`.
            kept: numbers of the patches that stay, see `astlib.AST.tokens`.

        Returns:
            `(batch, dim)` and `(batch, classes)`.
        """
        vectors = self.network.embed(mel, kept)
        return vectors, self.network.mlp_head(vectors)


class TaughtStepper(Stepper):
    """Steps whose loss is that of the labels and of the lesson. `model` is a `Student`.

    Args:
        recipe: the weights of the parts of the loss, and all that `Stepper` needs.
        train: clips and mixtures.
        rest: as for `Stepper`.
    """

    train: Joined

    def __init__(self, recipe: Recipe, train: Joined, *rest: Any) -> None:
        super().__init__(recipe, train, *rest)
        self.lesson: Lesson | None = None

    def listen(self, progress: bool) -> None:
        """Let the teacher hear the training clips, and prepare the lesson. To be called before the first step.

        Args:
            progress: show a progress bar.
        """
        with self.accelerator.main_process_first():  # the other processes read what the first one kept
            answers = hear(self.train, progress)
        dim = self.accelerator.unwrap_model(self.model).network.cfg.dim
        found = lesson(answers, self.train.targets, dim)
        device = self.accelerator.device
        self.lesson = Lesson(found.classes.to(device), found.directions.to(device))

    def _loss(self, mel: Tensor, targets: Tensor, clips: Tensor, kept: Tensor | None) -> Tensor:
        assert self.lesson is not None  # noqa: S101  (listen comes first)
        with self.accelerator.autocast():
            vectors, logits = self.model(mel, kept)  # (n, dim), (n, classes)
        vectors, logits, clips = vectors.float(), logits.float(), clips.to(self.lesson.classes.device)
        found = Lesson(self.lesson.classes[clips], self.lesson.directions[clips])
        recipe = self.recipe
        return taught_loss(vectors, logits, targets, found, recipe.teacher_classes, recipe.teacher_features)


# --- with a teacher or without --------------------------------------------------------------------------------------


def learner(recipe: Recipe, network: Network) -> nn.Module:
    """Choose what is trained: the network, or with a teacher a `Student`, whose vectors are corrected too.

    Args:
        recipe: the run.
        network: its network.

    Returns:
        The module whose outputs enter the loss.
    """
    return Student(network) if recipe.teacher and isinstance(network, AST) else network


def stepper_of(
    recipe: Recipe,
    train: AudioDataset | AudioStream,
    prepared: nn.Module,
    cfg: SoundConfig,
    accelerator: Accelerator,
    options: Options,
) -> Stepper:
    """Build what makes the steps of a run, with a teacher or without.

    Args:
        recipe: the run.
        train: its training part.
        prepared: what `learner` chose, as Accelerate prepared it.
        cfg: the configuration of the network.
        accelerator: knows the device and this process's place among the others.
        options: how the run is carried out.

    Returns:
        A `TaughtStepper` if there is a teacher, else a `Stepper`.
    """
    features = Features(cfg).to(accelerator.device)
    if isinstance(train, Joined) and recipe.teacher:
        return TaughtStepper(recipe, train, prepared, features, accelerator, options.micro_batch, options.workers)
    return Stepper(recipe, train, prepared, features, accelerator, options.micro_batch, options.workers)
