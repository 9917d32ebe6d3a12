"""Scores kept without their network: files, ensembles, and lists of right answers."""

import numpy as np
import pytest
import torch

from astlib.data import Synthetic
from astlib.errors import CheckpointError, InvalidInput
from astlib.metrics import all_metrics
from astlib.scores import (
    ensemble,
    evaluate_ensemble,
    evaluate_scores,
    load_scores,
    pack,
    right_answers,
    save_scores,
    unpack,
)

CLIPS = Synthetic(split="test").select(limit_per_class=2)


def logits(seed):
    return torch.randn(len(CLIPS), len(CLIPS.labels), generator=torch.Generator().manual_seed(seed))


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_file_gives_probabilities_and_names(tmp_path, multi_label):
    save_scores(tmp_path / "new" / "scores.npz", logits(0), CLIPS.names, multi_label)
    scores, names = load_scores(tmp_path / "new" / "scores.npz")
    assert names == CLIPS.names and scores.dtype == torch.float32
    assert torch.equal(scores, logits(0).sigmoid() if multi_label else logits(0).softmax(-1))


def test_an_ensemble_averages_probabilities_of_files_and_folders(tmp_path):
    save_scores(tmp_path / "run" / "scores.npz", logits(0), CLIPS.names, False)
    save_scores(tmp_path / "other.npz", logits(1), CLIPS.names, False)
    scores, names = ensemble([tmp_path / "run", tmp_path / "other.npz"])
    mean = (logits(0).softmax(-1) + logits(1).softmax(-1)) / 2
    torch.testing.assert_close(scores, mean)
    found = evaluate_ensemble([tmp_path / "run", tmp_path / "other.npz"], CLIPS)
    assert (
        found
        == {"members": 2, **all_metrics(CLIPS.targets, scores)}
        == {"members": 2, **evaluate_scores(scores, names, CLIPS)}
    )
    save_scores(tmp_path / "fewer.npz", logits(1)[1:], CLIPS.names[1:], False)
    with pytest.raises(InvalidInput, match="other clips or classes"):
        ensemble([tmp_path / "run", tmp_path / "fewer.npz"])
    with pytest.raises(InvalidInput, match="at least one"):
        ensemble([])


def test_files_that_are_no_scores_are_named(tmp_path):
    with pytest.raises(CheckpointError, match=r"gone.npz is not a file of scores"):
        load_scores(tmp_path / "gone.npz")
    (tmp_path / "text.npz").write_text("no scores")
    with pytest.raises(CheckpointError, match=r"text.npz is not a file of scores"):
        load_scores(tmp_path / "text.npz")
    np.savez(tmp_path / "other.npz", logits=np.zeros((1, 2)))
    with pytest.raises(CheckpointError, match=r"other.npz is not a file of scores"):
        load_scores(tmp_path / "other.npz")


def test_right_answers_are_about_all_clips_whatever_was_measured():
    scores, chosen = logits(2), [5, 3, 0]
    right = right_answers(scores[chosen], [CLIPS.names[i] for i in chosen], CLIPS)
    truth = scores.argmax(1) == CLIPS.targets.argmax(1)
    assert right.tolist() == [bool(truth[i]) if i in chosen else False for i in range(len(CLIPS))]
    with pytest.raises(InvalidInput, match="'no such clip', which is no clip of synthetic"):
        right_answers(scores[:1], ["no such clip"], CLIPS)


@pytest.mark.parametrize("clips", [1, 8, 9, 400])
def test_lists_of_right_answers_survive_as_text(clips):
    right = torch.rand(clips, generator=torch.Generator().manual_seed(clips)) < 0.5
    text = pack(right)
    assert len(text) == 2 * -(-clips // 8) and (unpack(text, clips) == right.numpy()).all()
    with pytest.raises(InvalidInput, match=f"and there are {clips + 8} clips"):
        unpack(text, clips + 8)
    with pytest.raises(InvalidInput, match="not hexadecimal"):
        unpack("x" * len(text), clips)
