"""Measuring a network: the loss, and every clip once."""

import math

import pytest
import torch
from sklearn.metrics import accuracy_score

from astlib.data import Synthetic
from astlib.errors import AudioError, Diverged, InvalidInput
from astlib.measure import Evaluation, evaluate, loss_function
from astlib.model import AST
from astlib.recipes import RECIPES

TEST = Synthetic(fold=1, split="test").select(limit_per_class=2)
RECIPE = RECIPES["synthetic"].replace(init="scratch", input_tdim=128)


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    return AST(RECIPE.model_config(TEST.labels))


def test_soft_targets_count_in_cross_entropy():
    """The original turns mixed targets into class 0; here the loss is smallest at the mixture itself."""
    soft = torch.tensor([[0.0, 0.6, 0.4]])
    at_mixture = loss_function(soft.clamp(min=1e-9).log(), soft, "ce")
    class_zero = loss_function(torch.tensor([[9.0, 0.0, 0.0]]), soft, "ce")
    entropy = -(0.6 * math.log(0.6) + 0.4 * math.log(0.4))
    assert at_mixture.item() == pytest.approx(entropy, abs=1e-6)
    assert class_zero > 5


@pytest.mark.parametrize("kind", ["ce", "bce"])
def test_the_mean_is_that_of_the_clips(kind):
    logits, targets = torch.randn(5, 4), torch.eye(4)[[0, 1, 2, 3, 0]]
    each = loss_function(logits, targets, kind, reduction="none")
    assert each.shape == (5,) and loss_function(logits, targets, kind) == each.mean()


def test_evaluate_counts_every_clip_once_whatever_the_batch(model):
    one, whole = (
        evaluate(model, TEST, batch=1, progress=False, windows=False),
        evaluate(model, TEST, batch=64, progress=False, windows=False),
    )
    assert isinstance(one, Evaluation) and one.names == TEST.names and not one.unusable.problems
    assert one.logits.shape == (len(TEST), len(TEST.labels)) and one.logits.dtype == torch.float32
    torch.testing.assert_close(one.logits, whole.logits, rtol=1e-4, atol=1e-4)
    assert one.metrics["accuracy"] == accuracy_score(TEST.targets.argmax(1), one.logits.argmax(1))
    assert one.metrics["loss"] == pytest.approx(loss_function(one.logits, TEST.targets, "ce").item())


class Broken(Synthetic):
    """Synthetic clips of which some cannot be decoded."""

    bad = ()

    def read(self, source):
        if source in self.bad:
            raise AudioError("is truncated")
        return super().read(source)


def test_a_clip_that_cannot_be_read_counts_nowhere(model):
    clips = Broken(fold=1, split="test").select(limit_per_class=2)
    clips.bad = {clips.sources[3]}
    found, whole = (
        evaluate(model, clips, batch=4, progress=False, windows=False),
        evaluate(model, TEST, batch=4, progress=False, windows=False),
    )
    assert found.names == [name for i, name in enumerate(clips.names) if i != 3]
    assert found.unusable.counts()["unreadable"] == 1 and list(found.unusable.problems) == [clips.names[3]]
    torch.testing.assert_close(found.logits, torch.cat([whole.logits[:3], whole.logits[4:]]), rtol=1e-4, atol=1e-4)
    clips.bad = set(clips.sources)
    with pytest.raises(InvalidInput, match="no clip of synthetic could be used"):
        evaluate(model, clips, progress=False, windows=False)


def test_outputs_that_are_not_finite_are_an_error_of_their_own(model):
    broken = AST(model.cfg)
    torch.nn.init.constant_(broken.mlp_head[1].bias, math.inf)
    with pytest.raises(Diverged, match=f"the logits of {len(TEST)} of {len(TEST)} clips.*training has diverged"):
        evaluate(broken, TEST, progress=False, windows=False)
