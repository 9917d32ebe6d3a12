"""AudioSet at full size: two million clips open in seconds, loaders stay small, rare classes come often.

What is measured, and with what, is in ci/scale.py. Times are printed and not tested: they are the machine's as much as
the code's. Memory is tested.
"""

import shutil
import sys

import pytest

if not sys.platform.startswith("linux"):
    pytest.skip("memory of processes is measured as Linux tells it", allow_module_level=True)
pytest.importorskip("datasets", reason="Parquet needs the package datasets")

import scale

ROWS = scale.ROWS
pytestmark = pytest.mark.slow  # two million files are written


@pytest.fixture(scope="module")
def root(tmp_path_factory):
    folder = tmp_path_factory.mktemp("scale") / "audioset"
    folder.mkdir()
    print(scale.build(folder, ROWS))
    yield folder
    shutil.rmtree(folder)  # two million files are nothing to keep for the next three runs


@pytest.fixture(scope="module", params=scale.KINDS)
def found(request, root):
    return scale.fresh(root, request.param, ROWS)


def test_it_opens_in_little_memory(found, record_property):
    record_property("figures", scale.told(found))
    assert found["peak"] - found["before"]["rss"] < 500  # MB, beside what torch and datasets take
    assert found["clips"] == ROWS
    if found["kind"] == "folder":  # a tenth more is listed
        assert found["missing"] == ROWS // 10 and found["labels"] > 1.5 * ROWS and found["after"]["rss"] < 1000


def test_an_epoch_is_drawn_as_the_weights_say(found):
    assert found["worst class"] < 6  # standard errors, of 527 classes
    if found["kind"] == "folder":
        before, after = found["spread"]
        assert before > 300 and after < before / 4


def test_workers_stay_small_and_do_not_grow(found):
    assert len(found["epochs"]) >= 8
    for epoch in found["epochs"]:
        assert epoch["clips"] == scale.PER_EPOCH and len(epoch["workers"]) == scale.WORKERS
        assert all(worker["rss"] < 1000 for worker in epoch["workers"])
    # What leaks grows: the sound of an epoch's clips alone is 64 MB a worker.
    for who in range(scale.WORKERS):
        private = [epoch["workers"][who]["uss"] for epoch in found["epochs"]]
        assert max(private[2:]) - min(private[2:]) < 20, private
    assert found["epochs"][-1]["main"]["uss"] - found["epochs"][2]["main"]["uss"] < 20
