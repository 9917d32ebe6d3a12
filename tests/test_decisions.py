"""How outputs are read: temperature, thresholds, none of these; kept beside the weights, refused when damaged."""

import json

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from astlib.decisions import Decision, known_score, to_probabilities
from astlib.errors import InvalidInput
from astlib.model import AST, ASTConfig

LOGITS = torch.randn(200, 6, generator=torch.Generator().manual_seed(0)) * 3
WHOLE = Decision(
    temperature=1.7,
    thresholds=(0.1, 0.2, 0.3, 0.4, 0.5, 0.6),
    none_score="background",
    none_threshold=0.25,
    none_weights=(0.5, -1.0, 2.0, 0.0, 1.0, -0.25),
    note="made for a test",
)
TINY = ASTConfig(label_dim=6, model_size="tiny224", fstride=16, tstride=16, input_fdim=32, input_tdim=32)


@pytest.mark.parametrize("multi_label", [False, True])
def test_the_default_takes_the_outputs_as_they_are(multi_label):
    decision = Decision()
    assert torch.equal(decision.probabilities(LOGITS, multi_label), to_probabilities(LOGITS, multi_label))
    assert not decision.is_none(LOGITS).any() and decision.is_none(LOGITS).shape == (200,)
    assert torch.equal(decision.passes(LOGITS.sigmoid()), LOGITS.sigmoid() >= 0.5)


@given(temperature=st.floats(0.05, 20))
def test_the_temperature_changes_no_answer(temperature):
    for multi_label in (False, True):
        # float64: in float32 two probabilities close to 1 can become the same number
        found = Decision(temperature=temperature).probabilities(LOGITS.double(), multi_label)
        top = found.max(dim=1).values
        assert torch.equal(found.gather(1, LOGITS.argmax(dim=1, keepdim=True))[:, 0], top)


def test_a_higher_temperature_is_less_sure():
    sure = [Decision(temperature=t).probabilities(LOGITS, False).max(dim=1).values.mean() for t in (0.5, 1, 2, 4)]
    assert sure == sorted(sure, reverse=True)


def test_thresholds_belong_to_their_classes():
    p = torch.tensor([[0.1, 0.19, 0.3, 0.39, 0.5, 0.59], [0.0, 1.0, 0.0, 1.0, 0.0, 1.0]])
    assert WHOLE.passes(p).tolist() == [[True, False] * 3, [False, True] * 3]
    with pytest.raises(InvalidInput, match="6 classes, the network has 5"):
        WHOLE.passes(p[:, :5])


def test_scores_by_hand():
    two = torch.tensor([[0.0, 0.0], [3.0, 1.0]])
    assert known_score(two, "max_logit").tolist() == [0, 3]
    assert known_score(two, "max_softmax")[0] == 0.5
    assert torch.allclose(known_score(two, "energy"), torch.tensor([0.6931, 3.1269]), atol=1e-4)
    assert known_score(two, "background", (1.0, -2.0)).tolist() == [0, 1]
    assert Decision(none_score="max_logit", none_threshold=2.0).is_none(two).tolist() == [True, False]


@given(st.integers(0, 5), st.floats(0.01, 5))
def test_the_energy_rises_with_every_logit(column, step):
    higher = LOGITS.double().clone()
    higher[:, column] += step
    assert (known_score(higher, "energy") > known_score(LOGITS.double(), "energy")).all()
    assert (known_score(higher, "max_logit") >= known_score(LOGITS.double(), "max_logit")).all()


def test_it_comes_back_from_the_disk_as_it_was(tmp_path):
    WHOLE.save(tmp_path)
    assert Decision.load(tmp_path) == WHOLE
    assert Decision.load(tmp_path / "nothing here") is None


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ("{", "decision.json cannot be used"),
        ("[1]", "expected an object, found list"),
        ('{"warmth": 2}', "unknown keys warmth"),
        ('{"temperature": 0}', "above 0"),
        ('{"temperature": "warm"}', "temperature must be a finite number; found 'warm'"),
        ('{"thresholds": [0.5, 50]}', "0 to 1; found 50"),
        ('{"thresholds": 0.5}', "cannot be used"),
        ('{"none_score": "vibes", "none_threshold": 1}', "must be one of"),
        ('{"none_score": "energy"}', "belong together"),
        ('{"none_threshold": 3}', "belong together"),
        ('{"none_score": "energy", "none_threshold": NaN}', "finite"),
        ('{"none_score": "background", "none_threshold": 1}', "none_weights"),
        ('{"none_score": "background", "none_threshold": 1, "none_weights": [1, "b"]}', "finite"),
        ('{"note": 7}', "note must be a text"),
    ],
)
def test_a_damaged_file_is_named_and_said_what_to_do(tmp_path, content, says):
    (tmp_path / "decision.json").write_text(content, encoding="utf-8")
    with pytest.raises(InvalidInput, match=says) as error:
        Decision.load(tmp_path)
    assert str(tmp_path) in str(error.value) and "astlib calibrate" in str(error.value)


def test_a_saved_network_brings_its_decision_along(tmp_path):
    model = AST(TINY)
    assert model.decision == Decision()
    model.save_pretrained(tmp_path)
    assert not (tmp_path / "decision.json").exists()
    model.decision = WHOLE
    model.save_pretrained(tmp_path)
    assert AST.from_pretrained(tmp_path).decision == WHOLE
    AST(TINY.replace(label_dim=5)).save_pretrained(tmp_path)  # other weights: the earlier ones' decision does not hold
    assert AST.from_pretrained(tmp_path).decision == Decision()
    WHOLE.save(tmp_path)
    with pytest.raises(InvalidInput, match="about another network.*6 classes, the network has 5"):
        AST.from_pretrained(tmp_path)


def test_the_file_is_plain_json(tmp_path):
    WHOLE.save(tmp_path)
    values = json.loads((tmp_path / "decision.json").read_text(encoding="utf-8"))
    assert values["none_score"] == "background" and values["thresholds"] == list(WHOLE.thresholds)
