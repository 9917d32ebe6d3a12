"""Learning from a teacher: what it hears and how often, what the student is told, and the loss by hand."""

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from small_run import LABELS, RECIPE, equal, weights
from torch import Tensor, nn

from astlib.data import Parts, Synthetic
from astlib.data.joined import Joined
from astlib.devices import new_accelerator
from astlib.efficientat import Answers
from astlib.errors import Interrupted, InvalidInput, WeightsNotFound
from astlib.frontend import Features
from astlib.model import AST
from astlib.recipes import RECIPES, Recipe
from astlib.train import distillation, fit
from astlib.train.distillation import Lesson, Student, TaughtStepper, lesson, with_mixtures

TAUGHT = RECIPE.replace(
    name="taught",
    mixup=0.0,
    timem=0,
    freqm=0,
    teacher="efficientat-mn04",
    mixtures=4,
    teacher_classes=1.0,
    teacher_features=1.0,
    keep=0.5,
    batch=12,
)


class Ear(nn.Module):
    """A teacher that remembers what it heard; its features are 384 places of the spectrum."""

    def __init__(self) -> None:
        super().__init__()
        self.heard: list[Tensor] = []

    def forward(self, waveforms: Tensor) -> Answers:
        self.heard += list(waveforms)
        spectrum = torch.fft.rfft(waveforms[:, :16_000]).abs()[:, : 384 * 20].reshape(len(waveforms), 384, 20)
        features = spectrum.mean(dim=2).log1p()
        return Answers(features, features.repeat(1, 2)[:, :527])


@pytest.fixture
def ear(monkeypatch, tmp_path) -> Ear:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    teacher = Ear()
    monkeypatch.setattr(distillation, "load_efficientat", lambda: teacher)
    return teacher


@pytest.fixture(scope="module")
def folded():
    """Two classes, five folds, one clip of every class in each."""
    everything = Synthetic(split="all").select(labels=LABELS[:2])
    rows = [
        next(i for i in range(len(everything)) if everything.folds[i] == fold and everything.targets[i, column])
        for fold in range(1, 6)
        for column in range(2)
    ]
    return everything.select(rows=sorted(rows))


def parts_of(folded, fold: int) -> Parts:
    others = [other for other in range(1, 6) if other != fold]
    return Parts(folded.select(folds=others), None, folded.select(folds=fold))


def test_the_teacher_hears_every_training_clip_and_no_test_clip(ear, folded, tmp_path):
    train, _, test = parts_of(folded, 2)
    record = fit(TAUGHT.replace(epochs=1, mixtures=2), tmp_path / "run", train, test, progress=False)
    heard = torch.stack(ear.heard)
    for i in range(len(train)):
        assert (heard == train.waveform(i)).all(dim=1).any()
    # Not alone and not in a mixture: no sound that was heard has anything in common with a test clip.
    for i in range(len(test)):
        clip = test.waveform(i)
        assert not (heard == clip).all(dim=1).any()
        likeness = F.cosine_similarity(heard, clip[None], dim=-1)  # (heard,)
        trained = torch.stack([train.waveform(j) for j in range(len(train))])[:, None]
        own = F.cosine_similarity(heard, trained, dim=-1).amax(dim=0)  # (heard,), of the nearest training clip
        assert (own > 0.7).all() and (likeness < own).all()
    assert len(heard) == len(train) + 4 * 2 == record.data["train"]["clips"]
    assert record.data["train"]["hash"] == train.manifest_hash()
    assert record.weights["teacher"].startswith("sha256:")


def test_runs_that_train_on_a_fold_share_its_mixtures_and_the_teachers_answers(ear, folded):
    first = distillation.hear(with_mixtures(parts_of(folded, 1), 2, seed=0).train, progress=False)
    asked = len(ear.heard)
    second = distillation.hear(with_mixtures(parts_of(folded, 2), 2, seed=0).train, progress=False)
    assert len(ear.heard) == asked + 2 + 2  # fold 1 alone is new: two clips and two mixtures
    torch.testing.assert_close(first.features[2:8], second.features[2:8])  # the clips of the folds 3, 4 and 5
    distillation.hear(with_mixtures(parts_of(folded, 2), 2, seed=1).train, progress=False)
    assert len(ear.heard) == asked + 4 + 8  # another seed, other mixtures


def test_the_teachers_answers_belong_to_their_clips(ear, folded):
    train = with_mixtures(parts_of(folded, 1), 3, seed=0).train
    answers = distillation.hear(train, progress=False)
    for i in (0, 5, len(train) - 1):
        torch.testing.assert_close(answers.features[i : i + 1], Ear()(train.waveform(i)[None]).features)


def test_mixtures_have_the_labels_of_both_and_stay_in_their_fold(folded):
    train = with_mixtures(parts_of(folded, 3), 3, seed=0).train
    assert isinstance(train, Joined) and len(train) == 8 + 4 * 3
    assert train.targets[:8].sum(dim=1).eq(1).all() and train.targets[8:].sum(dim=1).eq(2).all()
    for part in train.parts[4:]:
        assert len(set(part.base.folds)) == 1


@pytest.mark.parametrize("dim", [3, 8, 400])
def test_a_lesson_has_probabilities_and_directions(dim):
    torch.manual_seed(0)
    labels = F.one_hot(torch.arange(40) % 4, 4).float()
    features = torch.randn(40, 384) + 5 * labels @ torch.randn(4, 384)
    labels[-1] = torch.tensor([1.0, 1, 0, 0])  # a mixture
    found = lesson(Answers(features, torch.zeros(40, 527)), labels, dim)
    torch.testing.assert_close(found.classes.sum(dim=1), torch.ones(40))
    assert found.classes[:-1].argmax(dim=1).equal(labels[:-1].argmax(dim=1))
    assert found.directions.shape == (40, dim)
    torch.testing.assert_close(found.directions.norm(dim=1), torch.ones(40))
    same = F.cosine_similarity(found.directions[0], found.directions[4], dim=0)
    other = F.cosine_similarity(found.directions[0], found.directions[1], dim=0)
    assert same > other


def test_a_class_without_a_clip_has_no_probability():
    labels = F.one_hot(torch.tensor([0, 2] * 10), 3).float()
    features = torch.randn(20, 384) + labels @ torch.randn(3, 384)
    assert lesson(Answers(features, torch.zeros(20, 527)), labels, 4).classes[:, 1].eq(0).all()


def test_one_class_alone_teaches_nothing():
    labels = F.one_hot(torch.zeros(5, dtype=torch.int64), 3).float()
    with pytest.raises(InvalidInput, match="two classes"):
        lesson(Answers(torch.randn(5, 384), torch.zeros(5, 527)), labels, 4)


def stepper(recipe: Recipe, train: Joined) -> TaughtStepper:
    accelerator, network = new_accelerator(), AST(recipe.model_config(train.labels))
    return TaughtStepper(recipe, train, Student(network), Features(network.cfg), accelerator)


def test_the_loss_is_that_of_the_formula(folded):
    train = with_mixtures(parts_of(folded, 1), 1, seed=0).train
    made = stepper(TAUGHT.replace(teacher_classes=0.5, teacher_features=2.0), train)
    classes = torch.rand(len(train), 2)
    made.lesson = Lesson(classes / classes.sum(dim=1, keepdim=True), F.normalize(torch.randn(len(train), 192), dim=1))
    mel, clips = torch.randn(2, 128, 128), torch.tensor([3, 8])
    targets = torch.tensor([[0.0, 1.0], [1.0, 1.0]])  # a clip and a mixture
    loss = made._loss(mel, targets, clips, None)
    network = made.model.network
    vectors = network.embed(mel)
    log = network.mlp_head(vectors).log_softmax(dim=1)
    for row, (clip, label) in enumerate(zip(clips, torch.tensor([[0.0, 1.0], [0.5, 0.5]]), strict=True)):
        cosine = vectors[row] @ made.lesson.directions[clip] / vectors[row].norm()
        by_hand = -(label @ log[row]) - 0.5 * (made.lesson.classes[clip] @ log[row]) + 2 * (1 - cosine)
        torch.testing.assert_close(loss[row], by_hand)


def test_a_taught_run_goes_on_to_the_bit_after_a_stop(ear, folded, tmp_path):
    train, _, test = parts_of(folded, 1)
    whole = fit(TAUGHT, tmp_path / "whole", train, test, progress=False)

    def ask(training) -> None:
        if (training.epoch, training.step) == (2, 1):
            training.asked.set()

    with pytest.raises(Interrupted):
        fit(TAUGHT, tmp_path / "stopped", train, test, progress=False, after_step=ask)
    resumed = fit(TAUGHT, tmp_path / "stopped", train, test, progress=False)
    assert equal(weights(tmp_path / "whole" / "model"), weights(tmp_path / "stopped" / "model"))
    assert [entry["train_loss"] for entry in whole.epochs] == [entry["train_loss"] for entry in resumed.epochs]


def test_micro_batches_change_nothing(ear, folded, tmp_path):
    train, _, test = parts_of(folded, 1)
    recipe = TAUGHT.replace(epochs=1)
    one, four = (
        fit(recipe, tmp_path / str(size), train, test, progress=False, micro_batch=size).epochs[0]["train_loss"]
        for size in (0, 4)
    )
    assert one == pytest.approx(four, rel=1e-4)


def test_without_the_teachers_weights_a_run_says_so_before_it_trains(monkeypatch, folded, tmp_path):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("ASTLIB_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsNotFound, match="mn04_as_mAP_432.pt"):
        fit(TAUGHT, tmp_path / "run", *parts_of(folded, 1)[::2], progress=False)


@settings(deadline=None, max_examples=10)
@given(st.permutations(range(16)), st.integers(1, 16))
def test_patch_out_keeps_places_and_ignores_order(order, count):
    network = network_of_16_patches()
    mel, kept = torch.randn(1, 64, 64), torch.tensor([order[:count]])
    with torch.inference_mode():
        logits = network(mel, kept)
        torch.testing.assert_close(logits, network(mel, kept.sort(dim=1).values), atol=1e-5, rtol=1e-4)
        changed = mel.clone()  # patches that are left out are not seen
        for number in set(range(16)) - set(order[:count]):
            f, t = divmod(number, 4)
            changed[0, 16 * t : 16 * t + 16, 16 * f : 16 * f + 16] = 9.0
        torch.testing.assert_close(logits, network(changed, kept), atol=1e-5, rtol=1e-4)


def network_of_16_patches() -> AST:
    torch.manual_seed(0)
    cfg = TAUGHT.replace(input_tdim=64, input_fdim=64).model_config(["a", "b"])
    return AST(cfg).eval()


def test_all_patches_kept_is_the_whole_network():
    network, mel = network_of_16_patches(), torch.randn(3, 64, 64)
    with torch.inference_mode():
        torch.testing.assert_close(network(mel), network(mel, torch.arange(16).expand(3, -1)), atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"keep": 0.0}, "keep must be above 0"),
        ({"keep": 1.5}, "keep must be at most 1"),
        ({"teacher": "my-teacher"}, "teacher must be one of"),
        ({"mixtures": 10}, "need a teacher"),
        ({"teacher_features": 1.0}, "need a teacher"),
        ({"teacher": "efficientat-mn04", "mixup": 0.5}, "found mixup=0.5"),
        ({"teacher": "efficientat-mn04", "loss": "bce"}, "found mixup=0.0, loss='bce'"),
        ({"network": "psla", "keep": 0.5}, "are for an AST"),
    ],
)
def test_values_that_contradict_each_other_are_refused(changes, words):
    with pytest.raises(InvalidInput, match=words):
        RECIPES["esc50-tiny"].replace(**changes)
