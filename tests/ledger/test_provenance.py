"""Where a result came from: commit, machine, weights."""

import importlib.metadata
import subprocess

import pytest
import torch
from made_records import ROOT

from astlib import paths
from astlib.ledger import provenance
from astlib.ledger.provenance import History
from astlib.saved import weights_hash
from astlib.train import sampling, steps


def test_weights_hash_sees_names_and_values():
    state = {"a": torch.zeros(3), "b": torch.ones(3)}
    assert weights_hash(state) == weights_hash(dict(reversed(state.items())))
    assert weights_hash(state) != weights_hash({"a": torch.ones(3), "b": torch.zeros(3)})
    assert weights_hash(state) != weights_hash({"a": torch.zeros(3), "c": torch.ones(3)})


def test_git_state_is_that_of_this_checkout():
    wanted = subprocess.run(["git", "rev-parse", "HEAD"], cwd=ROOT, capture_output=True, text=True, check=True)
    commit, dirty = provenance.git_state()
    assert commit == wanted.stdout.strip() and isinstance(dirty, bool)


def test_hardware_names_a_real_cpu():
    found = provenance.hardware(torch.device("cpu"))
    assert found["name"] and found["cores"] >= 1 and found["memory_gib"] >= 1


def test_versions_name_what_is_not_installed_too(monkeypatch):
    monkeypatch.setattr(provenance, "PACKAGES", ("torch", "no-such-package"))
    found = provenance.versions()
    assert (
        found["torch"] == importlib.metadata.version("torch")
        and found["no-such-package"] is None
        and found["python"][:2] == "3."
    )


def test_a_seed_stands_for_the_draws_of_this_version():
    """If this fails, a seed has come to mean other draws: raise `provenance.DRAWS`, then change the numbers here."""
    assert provenance.versions()["draws"] == str(provenance.DRAWS) == "2"
    plan = sampling.plan_epoch(8, batch=8, seed=0, epoch=1, mixup=0.5)
    assert plan.clips.tolist() == [1, 3, 7, 6, 0, 4, 2, 5] and plan.partners[plan.lam < 1].tolist() == [
        0,
        4,
        2,
        5,
        3,
        5,
    ]
    assert plan.lam[1] == pytest.approx(0.5915198)
    assert sampling.random(0, 1, sampling.FIRST_STREAMED_STEP).integers(10**6, size=2).tolist() == [122543, 890446]
    of_a_step = steps.generator(seed=0, epoch=1, step=1)
    assert torch.randint(10**6, (2,), generator=of_a_step).tolist() == [775117, 493778]


def test_the_history_knows_its_commits():
    here = History.read()
    assert here.knows(provenance.git_state()[0]) is True
    assert here.knows("0" * 40) is (False if here.whole else None)


@pytest.fixture
def repository(tmp_path):
    """A repository with two commits; git asks for nobody's settings."""

    def git(*words, folder=tmp_path / "whole"):
        settings = ("-c", "user.name=a", "-c", "user.email=a@b")
        done = subprocess.run(["git", *settings, "-C", folder, *words], check=True, capture_output=True, text=True)
        return done.stdout.strip()

    (tmp_path / "whole").mkdir()
    git("init", "-q")
    for message in ("one", "two"):
        git("commit", "-q", "--allow-empty", "-m", message)
    return tmp_path, git


def test_a_shallow_clone_does_not_know_what_it_lacks(repository, monkeypatch):
    root, git = repository
    git("clone", "-q", "--depth", "1", f"file://{root / 'whole'}", str(root / "shallow"))
    first, second = git("rev-list", "--reverse", "HEAD").split()
    for folder, wanted in (("whole", [True, True, False]), ("shallow", [None, True, None])):
        monkeypatch.setattr(paths, "checkout", lambda folder=folder: (root / folder).resolve())
        assert [History.read().knows(commit) for commit in (first, second, "0" * 40)] == wanted, folder


def test_a_copy_without_a_repository_of_its_own_knows_nothing(repository, monkeypatch):
    root, _ = repository
    (root / "whole" / "unpacked").mkdir()  # in somebody else's repository
    for folder in (None, root / "whole" / "unpacked", root):
        monkeypatch.setattr(paths, "checkout", lambda folder=folder: folder)
        assert provenance.git_state() == (None, None) and History.read().knows("0" * 40) is None
