"""Published against obtained: what the paper says in a cell, what our runs gave, and whether the two can be compared.

Chapters: notebooks/09_esc50.ipynb, notebooks/12_the_ablations.ipynb
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from statistics import mean, stdev
from typing import Any

from .. import metrics
from ..errors import MissingPackage
from ..ledger.ledger import Ledger
from ..ledger.published import Published, paper
from ..ledger.record import Record
from ..recipes import Metric
from ..scores import unpack
from ..table import Table, duration
from . import costs
from .cells import ALL_FOLDS, SCALES, TABLES, AnyCell, Cell, Ensemble, select
from .jobs import Job, record_of, record_of_ensemble

# How a value of a recipe that differs from the paper's is named. Fields that are not here do not matter to a reader.
DIFFERENCES = {
    "dataset": "{}",
    "model_size": "{}",
    "fstride": "stride {}",
    "epochs": "{} epochs",
    "init": "from {}",
    "lr": "learning rate {:g}",
    "batch": "batch {}",
    "fill": "fill {}",
    "loss": "loss {}",
}


@dataclass(frozen=True)
class Obtained:
    """What our runs gave for one cell.

    Attributes:
        cell: the cell.
        records: those of its runs that were done, seed by seed and fold by fold.
        values: one per fold; or one per seed, the mean of its folds, if the cell has several seeds. From 0 to 1.
        wanted: how many runs the cell asks for.
    """

    cell: AnyCell
    records: list[Record]
    values: list[float]
    wanted: int

    @property
    def mean(self) -> float:
        """Mean of the values."""
        return mean(self.values)

    @property
    def sd(self) -> float | None:
        """Their standard deviation; None for a single value."""
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def text(self) -> str:
        """Mean ± standard deviation (number of values), in per cent for accuracy."""
        if not self.values:
            return "not run"
        metric = self.cell.metric
        spread = "" if self.sd is None else f" ± {_number(self.sd, metric)}"
        unit = " %" if metric == "accuracy" else ""
        return f"{_number(self.mean, metric)}{spread}{unit} (n = {len(self.values)})"


def _number(value: float, metric: Metric, sign: str = "") -> str:
    """A value as it is printed: accuracy in per cent, mAP from 0 to 1."""
    return f"{100 * value:{sign}.1f}" if metric == "accuracy" else f"{value:{sign}.3f}"


def value(record: Record, cell: AnyCell) -> float:
    """Return the number of a record that a cell shows.

    Args:
        record: serves the cell.
        cell: its rule decides which result of the record counts.

    Returns:
        The metric of the cell, from 0 to 1. If the run is longer than the cell's, that of the cell's last epoch.
    """
    shown: Mapping[str, Any] = record.metrics
    if isinstance(cell, Cell) and record.parameters["epochs"] > cell.recipe.epochs:
        shown = record.epochs[cell.recipe.epochs - 1]
    elif isinstance(cell, Cell) and cell.rule:
        shown = record.metrics[cell.rule]
    result: float = shown[cell.metric]
    return result


def obtained(cell: AnyCell, ledger: Ledger) -> Obtained:
    """Collect what our runs gave for a cell.

    Args:
        cell: the cell.
        ledger: all records.

    Returns:
        The records of its runs, and their values.
    """
    if isinstance(cell, Ensemble):
        record = record_of_ensemble(cell, ledger)
        return Obtained(cell, [record] if record else [], [value(record, cell)] if record else [], 1)
    by_seed = [[record_of(Job(cell, fold, seed), ledger) for fold in cell.folds] for seed in cell.seeds]
    records = [record for records in by_seed for record in records if record]
    if len(cell.seeds) > 1:
        whole = [[record for record in records if record] for records in by_seed if all(records)]
        values = [mean(value(record, cell) for record in records) for records in whole]
    else:
        values = [value(record, cell) for record in records]
    return Obtained(cell, records, values, len(cell.folds) * len(cell.seeds))


def differences(cell: AnyCell) -> list[str]:
    """Say in which values of its recipe a cell differs from the paper's cell with the same published number.

    Args:
        cell: has a published number.

    Returns:
        One phrase per value; an empty list for an ensemble.
    """
    theirs = next(c for c in SCALES["paper"].values() if c.published == cell.published)
    if isinstance(theirs, Ensemble) or isinstance(cell, Ensemble):
        return []
    ours, wanted = asdict(cell.recipe), asdict(theirs.recipe)
    return [words.format(ours[name]) for name, words in DIFFERENCES.items() if ours[name] != wanted[name]]


def fewer_clips(found: Obtained) -> list[str]:
    """Say whether the runs had fewer than 90 % of their data set's training clips: a part of it, or a copy with gaps.

    Args:
        found: what our runs gave, with at least one record.

    Returns:
        A list with one phrase, or an empty one.
    """
    data = found.records[0].data
    here, whole = data.get("train", {}).get("clips"), costs.CLIPS.get(data["name"], (0, 0))[0]
    return [f"{here:,} of {whole:,} training clips"] if here and here < 0.9 * whole else []


def verdict(found: Obtained, published: Published | None) -> str:
    """Say whether a cell lies within the spread, outside it, or why the two cannot be compared.

    The spread is the sum of the published standard deviation and ours; without both there is no verdict.

    Args:
        found: what our runs gave.
        published: what the paper says; None if it says nothing.

    Returns:
        A phrase.
    """
    if not found.records:
        return "not run"
    if published is None:
        return "the paper has no such number"
    if differs := differences(found.cell) + fewer_clips(found):
        return f"not comparable: {', '.join(differs)}"
    if len(found.records) < found.wanted:
        return f"{len(found.records)} of {found.wanted} runs"
    spread = (published["spread"] or 0) + scaled(found.sd or 0, published)
    if not spread:
        return "no spread known"
    return "within the spread" if abs(difference(found, published)) <= spread else "outside the spread"


def scaled(number: float, published: Published) -> float:
    """Convert a metric to the unit of a published number.

    Args:
        number: from 0 to 1.
        published: the published number.

    Returns:
        The metric in per cent if that is the unit, else unchanged.
    """
    return 100 * number if published["unit"] == "%" else number


def difference(found: Obtained, published: Published) -> float:
    """Subtract the published number from the obtained one.

    Args:
        found: what our runs gave, with at least one value.
        published: the published number.

    Returns:
        The difference, in the unit of the published number.
    """
    return scaled(found.mean, published) - published["value"]


@dataclass(frozen=True)
class Paired:
    """Two settings compared on the same folds, with two tests of the hypothesis that they do not differ.

    Attributes:
        difference: mean of the folds' differences, from -1 to 1.
        sd: standard deviation of the folds' differences; None for a single fold.
        folds: how many folds (and seeds) the two settings share.
        p_folds: p of the paired t-test over the folds; None for a single fold. Folds share training clips, so the true
            p is somewhat larger.
        p_clips: p of McNemar's exact test over all test clips; None if a record lacks the list of right answers.
        same_precision: whether both settings ran in the same precision.
    """

    difference: float
    sd: float | None
    folds: int
    p_folds: float | None
    p_clips: float | None
    same_precision: bool


def paired(found: Obtained, reference: Obtained) -> Paired | None:
    """Compare two settings fold by fold and seed by seed.

    Args:
        found: results of one setting.
        reference: results of the other one, which is subtracted.

    Returns:
        The comparison; None if the two share no fold.

    Raises:
        MissingPackage: scipy is not installed.
    """
    there = {(record.parameters["fold"], record.seed): record for record in reference.records}
    keys = [(record.parameters["fold"], record.seed) for record in found.records]
    pairs = [(record, there[key]) for key, record in zip(keys, found.records, strict=True) if key in there]
    if not pairs:
        return None
    gaps = [value(one, found.cell) - value(other, reference.cell) for one, other in pairs]
    several = len(gaps) > 1
    return Paired(
        difference=mean(gaps),
        sd=stdev(gaps) if several else None,
        folds=len(gaps),
        p_folds=_t_test(gaps) if several else None,
        p_clips=_mcnemar(pairs, found.cell, reference.cell),
        same_precision=all(one.hardware["precision"] == other.hardware["precision"] for one, other in pairs),
    )


def _t_test(gaps: list[float]) -> float:
    try:
        from scipy.stats import ttest_1samp
    except ImportError as error:
        raise MissingPackage('the paired t-test needs scipy: pip install "astlib[reproduce]"') from error
    return float(ttest_1samp(gaps, 0).pvalue) if stdev(gaps) else float(mean(gaps) == 0)


def shown_epoch(record: Record, cell: AnyCell) -> int | None:
    """Return the epoch whose weights gave the number that a cell shows.

    Args:
        record: serves the cell.
        cell: the cell.

    Returns:
        The epoch, counted from 1; None for an ensemble and for an average of weights, which belong to no single epoch.
    """
    if isinstance(cell, Ensemble):
        return None
    if record.parameters["epochs"] > cell.recipe.epochs:
        return cell.recipe.epochs
    if cell.rule == "average" or (not cell.rule and cell.recipe.selection == "average"):
        return None
    epoch: int = (record.metrics[cell.rule] if cell.rule else record.metrics)["epoch"]
    return epoch


def _mcnemar(pairs: Iterable[tuple[Record, Record]], cell: AnyCell, reference: AnyCell) -> float | None:
    """p of McNemar's test over the clips of all pairs, each record at the epoch whose number its cell shows."""
    only_one = only_other = 0  # clips that only one of the two networks classified correctly
    for pair in pairs:
        rights = []
        for record, of in zip(pair, (cell, reference), strict=True):
            epoch = shown_epoch(record, of)
            right = None if epoch is None else record.epochs[epoch - 1].get("right")
            if right is None:
                return None
            rights.append(unpack(right, record.data["test"]["clips"]))
        one, other = rights
        only_one += int((one & ~other).sum())
        only_other += int((other & ~one).sum())
    return metrics.sign_test(only_one, only_other)


@dataclass(frozen=True)
class Row:
    """One cell of a table beside the published number and the table's reference.

    Attributes:
        cell: the cell.
        found: what our runs gave.
        published: what the paper says; None if it says nothing.
        paired: the comparison with the table's reference; None for the reference itself, or if they share no fold.
    """

    cell: AnyCell
    found: Obtained
    published: Published | None
    paired: Paired | None


def rows_of(table: str, scale: str, ledger: Ledger | None = None) -> list[Row]:
    """Compare the cells of a table with the published numbers and with the table's reference.

    Args:
        table: its name.
        scale: "paper", "tiny" or "try".
        ledger: all records; None reads them.

    Returns:
        One row per cell.

    Raises:
        InvalidInput: the table or the scale is unknown.
        MissingPackage: scipy is not installed.
    """
    ledger = Ledger() if ledger is None else ledger
    numbers = {row["id"]: row for row in paper()["rows"]}
    cells = select(table, scale=scale)
    found = {cell.name: obtained(cell, ledger) for cell in cells}
    rows = []
    for cell in cells:
        other = reference_of(cell, found)
        pair = None if other is None or other.cell.name == cell.name else paired(found[cell.name], other)
        rows.append(Row(cell, found[cell.name], numbers.get(cell.published), pair))
    return rows


def reference_of(cell: AnyCell, found: Mapping[str, Obtained]) -> Obtained | None:
    """Choose the cell that another one is compared with: the table's reference if it was run, else the first that was.

    Only cells on the same data can be compared: each half of tables 2 and 5 has a reference of its own.

    Args:
        cell: the cell to compare.
        found: what our runs gave for each cell of the table, by name.

    Returns:
        The results of the reference; None if no such cell was run, or for an ensemble.
    """
    if isinstance(cell, Ensemble):
        return None
    wanted, part = TABLES[cell.table].reference, cell.name.rpartition("-")[2]
    done = {
        name: other
        for name, other in found.items()
        if other.records and isinstance(other.cell, Cell) and other.cell.recipe.dataset == cell.recipe.dataset
    }
    return next((done[name] for name in (wanted, f"{wanted}-{part}") if name in done), next(iter(done.values()), None))


def side_by_side(table: str, scale: str, ledger: Ledger | None = None) -> Table:
    """Show the published and the obtained numbers of a table side by side.

    Args:
        table: its name.
        scale: "paper", "tiny" or "try".
        ledger: all records; None reads them.

    Returns:
        One row per cell, with difference, verdict, paired tests, hardware, time and commit.

    Raises:
        InvalidInput: the table or the scale is unknown.
        MissingPackage: scipy is not installed.
    """
    header = [
        *("cell", "what", "published", "obtained", "difference", "verdict", "against the reference", "hardware"),
        *("time", "commit"),
    ]
    return Table(header, [_as_text(row) for row in rows_of(table, scale, ledger)])


def _as_text(row: Row) -> list[str]:
    found, published = row.found, row.published
    theirs = ""
    if published is not None:
        spread = "" if published["spread"] is None else f" ± {published['spread']:g}"
        theirs = f"{published['value']:g}{spread}{' %' if published['unit'] == '%' else ''}"
    records = found.records
    return [
        row.cell.name,
        row.cell.what,
        theirs,
        found.text,
        gap_text(found, published),
        verdict(found, published),
        paired_text(row.paired, row.cell.metric),
        hardware_text(records),
        duration(sum(record.wall_seconds for record in records)) if records else "",
        ", ".join(sorted({(record.commit or "")[:8] for record in records})),
    ]


def gap_text(found: Obtained, published: Published | None) -> str:
    """Write the difference to the published number, if the two can be compared.

    Args:
        found: what our runs gave.
        published: what the paper says; None if it says nothing.

    Returns:
        The difference with its sign, or "".
    """
    if not found.values or published is None or differences(found.cell) or fewer_clips(found):
        return ""
    return f"{difference(found, published):{'+.1f' if published['unit'] == '%' else '+.3f'}}"


def paired_text(pair: Paired | None, metric: Metric) -> str:
    """Write a comparison with the reference.

    Args:
        pair: the comparison; None if there is none.
        metric: the metric that was compared.

    Returns:
        The difference, the number of folds and both p values, or "".
    """
    if pair is None:
        return ""
    text = f"{_number(pair.difference, metric, '+')} over {pair.folds} fold{'s' if pair.folds > 1 else ''}"
    tests = [
        f"{name} p {'= ' + format(p, '.2g') if p >= 1e-9 else '< 1e-9'}"
        for name, p in (("t-test", pair.p_folds), ("clips", pair.p_clips))
        if p is not None
    ]
    return ", ".join([text, *tests, *([] if pair.same_precision else ["not in the same precision"])])


def claim(row: Row) -> str:
    """Say what a row supports about its setting, compared with the table's reference.

    A difference is "beyond the spread" if all five folds were run in one precision and p of the paired t-test is below
    0.05. With fewer folds or in two precisions nothing can be claimed about training.

    Args:
        row: a row of a table of accuracies.

    Returns:
        A phrase.
    """
    pair, found = row.paired, row.found
    if pair is None:
        return "the others are compared with this one" if found.records else "not run"
    points = f"{100 * pair.difference:+.1f} points over {pair.folds} of {found.wanted} runs"
    if not pair.same_precision:
        return f"{points}: no claim, not in the same precision"
    if pair.folds < len(ALL_FOLDS) or pair.p_folds is None:
        known = "" if pair.p_clips is None else f", but for these clips p = {pair.p_clips:.2g}"
        return f"{points}: no claim{known}"
    return f"{points}: {'' if pair.p_folds < 0.05 else 'no difference '}beyond the spread, p = {pair.p_folds:.2g}"


def hardware_text(records: Iterable[Record]) -> str:
    """List the devices and precisions of records.

    Args:
        records: any number of them.

    Returns:
        Each pair once, in alphabetical order.
    """
    return ", ".join(sorted({f"{record.hardware['name']}, {record.hardware['precision']}" for record in records}))
