"""The tables as data: every cell can be run, and cells share their runs."""

import pytest

from astlib import notebooks, reproduce
from astlib.ledger import paper
from astlib.model import token_grid
from astlib.reproduce import SCALES, TABLES, Cell, Ensemble
from astlib.reproduce.cells import RELEASED_MODEL, select
from astlib.transfer import VIT_NAMES


@pytest.mark.parametrize("scale", SCALES)
def test_every_cell_can_be_run_and_has_its_chapter(scale):
    for name, cell in SCALES[scale].items():
        assert cell.table in TABLES and cell.name == name and cell.scale == scale
        assert (notebooks.folder() / f"{cell.chapter}.ipynb").is_file(), name
        if isinstance(cell, Ensemble):
            for member in cell.members:
                assert SCALES[scale][member.name] == member and isinstance(member, Cell)
        else:
            assert cell.recipe.network != "ast" or min(token_grid(cell.recipe.model_config(["a"]))) >= 1
            assert "cell" in notebooks.declared(notebooks.folder() / f"{cell.chapter}.ipynb")


def test_the_reference_of_a_table_is_one_of_its_cells():
    for name, table in TABLES.items():
        there = [cell for scale in SCALES for cell in SCALES[scale] if cell.split("/")[0] == name]
        assert table.name == name
        assert table.reference in there or f"{table.reference}-balanced" in there, name


@pytest.mark.parametrize("scale", ["paper", "tiny"])
def test_published_numbers_are_of_the_same_metric(scale):
    metrics = {row["id"]: row["metric"] for row in paper()["rows"]}
    if scale == "paper":
        assert all(cell.metric == metrics[cell.published] for cell in SCALES[scale].values() if cell.published)
    cells = [cell for cell in SCALES[scale].values() if isinstance(cell, Ensemble)]
    assert all(cell.metric == cell.members[0].recipe.metric for cell in cells)


def test_cells_share_their_runs():
    alone = [reproduce.jobs_of([cell]) for cell in select("all", scale="tiny")]
    together = reproduce.jobs_of(select("all", scale="tiny"))
    assert len({job.recipe for job in together}) == len(together) < sum(map(len, alone))
    position, pretraining = (
        reproduce.jobs_of(select(*cell)) for cell in (("position", "bilinear"), ("pretraining", "imagenet"))
    )
    assert [job.recipe for job in position] == [job.recipe for job in pretraining]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("positions",), "no table 'positions'.*position"),
        (("position", "cubic"), "no cell 'cubic'.*reinit, nearest, bilinear"),
        (("position", "", "huge"), "paper, tiny, try"),
    ],
)
def test_unknown_names_are_refused_with_what_there_is(arguments, words):
    with pytest.raises(ValueError, match=words):
        select(*arguments)


def test_the_paper_scale_starts_from_public_weights_by_name():
    for cell in SCALES["paper"].values():
        if isinstance(cell, Ensemble):
            continue
        if cell.recipe.init == "imagenet":
            assert cell.recipe.weights or VIT_NAMES[cell.recipe.model_size]
        else:
            assert cell.recipe.init in ("scratch", RELEASED_MODEL)
