"""Heads equal scikit-learn's, choices are informative and differ, and a saved head is an ordinary network."""

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LogisticRegression

from astlib import AST, ASTConfig, few
from astlib.embeddings import Embeddings, embed
from astlib.encoders import ASTEncoder, open_encoder
from astlib.errors import InvalidInput
from astlib.frontend import Features
from astlib.networks import open_model
from astlib.predict import timeline

SMALL = ASTConfig(label_dim=2, model_size="tiny224", fstride=16, tstride=16, input_tdim=64, multi_label=True)


def clouds(classes, per_class, dim=24, seed=0, spread=1.0):
    """Vectors around one centre for each class."""
    random = np.random.default_rng(seed)
    centres = random.standard_normal((classes, dim))
    labels = np.arange(classes).repeat(per_class)
    return (centres[labels] + spread * random.standard_normal((len(labels), dim))).astype(np.float32), labels


@pytest.mark.parametrize("classes", [2, 3, 5])
@pytest.mark.parametrize("penalty", [0.1, 1.0])
def test_a_head_equals_scikit_learn(classes, penalty):
    vectors, labels = clouds(classes, 12)
    head = few.fit_head(vectors, labels, classes, penalty)
    normed = F.layer_norm(torch.from_numpy(vectors), vectors.shape[1:]).double().numpy()
    theirs = LogisticRegression(C=penalty, max_iter=1000).fit(normed, labels)
    found = few.probabilities(head, vectors)
    np.testing.assert_allclose(found, theirs.predict_proba(normed), atol=1e-5)
    np.testing.assert_allclose(found.sum(axis=1), 1, atol=1e-5)


def test_a_class_without_examples_is_never_answered():
    vectors, labels = clouds(3, 6)
    head = few.fit_head(vectors[6:], labels[6:], 4)
    assert few.probabilities(head, vectors)[:, [0, 3]].max() < 1e-6


def test_one_class_is_not_enough():
    with pytest.raises(InvalidInput, match="background"):
        few.fit_head(np.ones((3, 4), np.float32), np.zeros(3, int), 2)
    with pytest.raises(InvalidInput, match="two classes or more; found 1"):
        few.choose(np.random.rand(5, 4).astype(np.float32), np.array([0, 0, -1, -1, -1]), 2)


def test_probabilities_do_not_depend_on_the_blocks(monkeypatch):
    vectors, labels = clouds(3, 20)
    head = few.fit_head(vectors, labels, 3)
    whole = few.probabilities(head, vectors)
    monkeypatch.setattr(few, "BLOCK_ROWS", 7)
    np.testing.assert_allclose(few.probabilities(head, vectors), whole, atol=1e-6)


@given(seed=st.integers(0, 500), n=st.integers(1, 40), how=st.sampled_from(few.get_args(few.How)))
@settings(max_examples=40, deadline=None)
def test_what_is_chosen_has_no_label_and_comes_once(seed, n, how):
    vectors, labels = clouds(3, 15, seed=seed)
    known = np.full(45, few.UNKNOWN)
    known[[0, 15, 30]] = [0, 1, 2]
    chosen = few.choose(vectors, known, n, how, seed)
    assert len(chosen) == len(set(chosen)) == min(n, 42)
    assert (known[chosen] == few.UNKNOWN).all()


def test_each_way_asks_what_it_says():
    answers = np.array([[0.5, 0.5, 0.0], [0.4, 0.3, 0.3], [0.9, 0.06, 0.04], [0.1, 0.2, 0.7]], np.float32)
    assert few.interest(answers, "uncertain").argmax() == 1, "its best class is the least probable"
    assert few.interest(answers, "margin").argmax() == 0, "its two best classes are equal"
    assert few.interest(answers, "likely", target=2).argmax() == 3
    with pytest.raises(InvalidInput, match="random, uncertain, margin, likely; found 'best'"):
        few.choose(np.ones((2, 2), np.float32), np.array([-1, -1]), 1, "best")


def test_twenty_copies_of_one_window_are_asked_about_once():
    random = np.random.default_rng(0)
    different = random.standard_normal((5, 8)).astype(np.float32)
    copies = different[:1] + 1e-4 * random.standard_normal((20, 8)).astype(np.float32)
    chosen = few.unlike(np.concatenate([copies, different[1:]]), 5)
    assert (chosen < 20).sum() == 1 and len(set(chosen)) == 5


def test_the_test_of_a_head_keeps_recordings_apart():
    """Vectors that tell the recording and nothing else: apart, nothing is recognised; mixed, everything is."""
    random = np.random.default_rng(0)
    recordings = random.standard_normal((8, 16))
    group = np.arange(8).repeat(6)
    vectors = (recordings[group] + 0.01 * random.standard_normal((48, 16))).astype(np.float32)
    classes = group % 2
    apart = few.cross_validate(vectors, classes, group, 2)
    mixed = few.cross_validate(vectors, classes, np.where(classes == 0, 0, 1), 2)
    assert apart.is_grouped and not mixed.is_grouped
    assert (apart.probabilities.argmax(1) == classes).mean() < 0.8
    assert (mixed.probabilities.argmax(1) == classes).mean() == 1


def test_what_is_said_about_a_head():
    vectors, labels = clouds(3, 10, spread=0.3)
    names = np.array(["crow", few.BACKGROUND, "dog"])[labels]
    trained = few.train_head(vectors, list(names), np.arange(30) % 3)
    assert trained.labels == ("crow", "dog", few.BACKGROUND), "the background comes last"
    assert trained.accuracy == 1 and trained.interval[0] < 0.95 and not trained.notes
    assert [(row.labels, row.found) for row in trained.classes] == [(10, 10)] * 3
    notes = few.train_head(vectors, [str(name) for name in labels], np.zeros(30, int)).notes
    assert any("background" in note for note in notes) and any("optimistic" in note for note in notes)
    single = few.train_head(vectors[:21], list(names[:21]), np.arange(21))
    assert np.isnan(single.accuracy) and "dog has one label only" in single.notes[-1]


def test_thresholds_are_for_the_wanted_precision():
    vectors, labels = clouds(2, 100, spread=2.5)
    names = np.array(["call", few.BACKGROUND])[labels]
    trained = few.train_head(vectors, list(names), np.arange(200), precision=0.9)
    assert trained.decision.thresholds is not None and len(trained.decision.thresholds) == 2
    fresh, theirs = clouds(2, 2000, spread=2.5)
    answers = few.probabilities(trained.head, fresh)[:, 0]
    assert (theirs[answers >= trained.decision.thresholds[0]] == 0).mean() > 0.85
    little = few.train_head(vectors[95:105], list(names[95:105]), np.arange(10), precision=0.9)
    assert "do not show a precision of 90%" in little.notes[-1]


@pytest.fixture(scope="module")
def encoder():
    torch.manual_seed(0)
    return ASTEncoder(AST(SMALL), "small")


def test_the_digest_depends_on_the_encoder_and_not_on_its_head(encoder):
    other = AST(SMALL.replace(label_dim=3, labels=("a", "b", "c"), multi_label=False))
    other.load_state_dict({k: v for k, v in encoder.model.state_dict().items() if "head" not in k}, strict=False)
    assert ASTEncoder(other, "other").digest == encoder.digest
    longer = AST(SMALL.replace(mean=-1.0))
    longer.load_state_dict(encoder.model.state_dict())
    assert ASTEncoder(longer, "x").digest != encoder.digest
    assert ASTEncoder(AST(SMALL), "y").digest != encoder.digest


def test_an_encoder_is_the_body_of_its_network(encoder):
    waveforms = 0.1 * torch.randn(2, round(encoder.seconds * 16_000))
    with torch.no_grad():
        wanted = encoder.model.embed(Features(SMALL)(waveforms))
    assert torch.allclose(encoder.embed(waveforms), wanted) and encoder.dim == wanted.shape[1]
    assert encoder.embed(waveforms[:, :100]).shape == (2, 192), "shorter than one frame"
    with pytest.raises(InvalidInput, match="windows of at most 0.66 s"):
        encoder.embed(torch.zeros(1, 16_000))
    with pytest.raises(InvalidInput, match="expected windows"):
        encoder.embed(torch.zeros(16_000))


def test_from_sounds_to_a_model_that_predict_opens(tmp_path):
    """Two kinds of tones, embedded, labelled, trained, saved: the saved network says what the head said."""
    import soundfile

    torch.manual_seed(0)
    (tmp_path / "sounds").mkdir()
    AST(SMALL).save_pretrained(tmp_path / "start")
    time = np.arange(16_000) / 16_000
    for i in range(8):
        tone = 0.3 * np.sin(2 * np.pi * (300 if i % 2 else 2500) * time) + 0.01 * np.random.default_rng(i).normal(
            size=16_000
        )
        soundfile.write(tmp_path / "sounds" / f"{i}.wav", tone, 16_000)
    encoder = open_encoder(tmp_path / "start")
    embed(encoder, tmp_path / "sounds", tmp_path / "features", progress=False)
    features = Embeddings(tmp_path / "features")
    names = ["low" if int(features.window(row).file[0]) % 2 else few.BACKGROUND for row in features.rows]
    trained = few.train_head(features.vectors(), names, features.file_of)
    assert trained.accuracy == 1
    few.save_head(trained, features, tmp_path / "model")
    model = open_model(tmp_path / "model")
    assert model.cfg.labels == ("low", few.BACKGROUND) and not model.cfg.multi_label
    row = int(features.nearest("1.wav", 0.3))
    _, found = timeline(model, features.sounds([row])[row])
    np.testing.assert_allclose(found[0], few.probabilities(trained.head, features.vectors([row]))[0], atol=2e-3)
    embed(open_encoder(tmp_path / "model"), tmp_path / "sounds", tmp_path / "features", progress=False)
    AST(SMALL).save_pretrained(tmp_path / "start")
    with pytest.raises(InvalidInput, match="is now another one"):
        few.save_head(trained, features, tmp_path / "model")
