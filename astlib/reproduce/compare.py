"""Published against obtained: what the paper says in a cell, what our runs gave, and what a difference can mean.

Two settings are compared fold by fold; where they have several seeds, the differences of a fold are averaged over these
first. The folds of a cross-validation share training clips, so the variance of their mean difference is larger than 1/k
of theirs; Nadeau and Bengio (2003) put (1/k + test/train clips) in its place, and Bouckaert and Frank (2004) found that
with it comparisons can be repeated. A chapter makes many comparisons, so p is adjusted by Holm's method over all of
them. Two one-sided tests can show that two settings are equal within a margin, which `results/protocol.json` fixes. A
second test, McNemar's over the clips, takes the networks as given.

Chapters: notebooks/09_esc50.ipynb, notebooks/12_the_ablations.ipynb
"""

import html
import math
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from statistics import mean, stdev
from typing import Any

from .. import metrics
from ..errors import MissingPackage
from ..ledger.ledger import Ledger
from ..ledger.published import Published, paper, protocol
from ..ledger.record import Record
from ..recipes import Metric
from ..scores import unpack
from ..table import Table, decimal
from . import costs
from .cells import SCALES, TABLES, AnyCell, Cell, Ensemble, select
from .jobs import record_of_ensemble, records_of

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
SELECTED_ON_TEST = ("esc50-ast-s", "esc50-ast-p")  # published numbers of the epoch that is best on the test folds
LEVEL = 0.05  # of p after Holm's correction, below which a difference is called settled


@dataclass(frozen=True)
class Obtained:
    """What our runs gave for one cell.

    Attributes:
        cell: the cell.
        records: those of its runs that were done, seed by seed and fold by fold.
        values: from 0 to 1. At the tiny scale one per fold, the mean of its seeds. Else one per seed, the mean of its
            folds, as the paper has it, if the cell has several seeds.
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
        """Mean ± standard deviation, in per cent for accuracy."""
        if not self.values:
            return "not run"
        metric = self.cell.metric
        spread = "" if self.sd is None else f" ± {number(self.sd, metric)}"
        return f"{number(self.mean, metric)}{spread}{' %' if metric == 'accuracy' else ''}"


def number(value: float, metric: Metric, sign: str = "") -> str:
    """Write a value of a metric as every table and figure does.

    Args:
        value: from -1 to 1.
        metric: accuracy is written in per cent, mAP as it is.
        sign: "+" writes the sign of positive numbers as well.

    Returns:
        One decimal of a per cent, or three decimals.
    """
    return decimal(100 * value, 1, sign) if metric == "accuracy" else decimal(value, 3, sign)


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
    there = records_of(cell, ledger)
    by_seed = [[there.get((fold, seed)) for fold in cell.folds] for seed in cell.seeds]
    records = list(there.values())
    if cell.scale == "paper" and len(cell.seeds) > 1:
        groups = [[record for record in records if record] for records in by_seed if all(records)]
    elif len(cell.folds) > 1:
        groups = [[record for record in records if record] for records in zip(*by_seed, strict=True)]
    else:
        groups = [[record] for record in records]
    values = [mean(value(record, cell) for record in group) for group in groups if group]
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
    found = [words.format(ours[name]) for name, words in DIFFERENCES.items() if ours[name] != wanted[name]]
    if cell.published in SELECTED_ON_TEST and (cell.rule or cell.recipe.selection) != "best_on_test":
        found.append("the last epoch instead of the best one on the test folds")
    if cell.recipe.dataset == "audioset-balanced":
        found.append("AudioSet's own labels instead of PSLA's enhanced ones")
    return found


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
    """Say how far a cell lies from the published number, or why the two cannot be compared.

    It gives both standard deviations and judges nothing: the paper's are over seeds, and ours may be over folds.

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
    spreads = [
        f"{words} {spread:.2g}"
        for words, spread in (("published", published["spread"]), ("ours", found.sd and scaled(found.sd, published)))
        if spread is not None
    ]
    known = f"; standard deviation {', '.join(spreads)}" if spreads else ""
    return f"{gap_text(found, published)} against the published number{known}"


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
    """Two settings compared on the same folds and seeds, with tests whether they differ and whether they are equal.

    Attributes:
        gaps: the difference on each fold that the two share, the mean over their shared seeds; of a cell with one fold
            that on each shared seed. From -1 to 1.
        runs: how many pairs of runs they come from.
        half: half the width of the 95 % interval of the mean difference; None for a single gap.
        half_90: the same of the 90 % interval, which two one-sided tests at 0.05 look at.
        p_folds: p of the corrected paired t-test over the gaps, see `t_test`; None for a single gap.
        p_clips: p of McNemar's exact test over all test clips, one seed a fold; None if a record lacks the list of
            right answers.
        same_precision: whether both settings ran in the same precision.
        whole: whether every fold of the cell is there, or every seed of one that has a single fold.
        every_run: whether every fold is there with every seed.
    """

    gaps: tuple[float, ...]
    runs: int
    half: float | None
    half_90: float | None
    p_folds: float | None
    p_clips: float | None
    same_precision: bool
    whole: bool
    every_run: bool

    @property
    def difference(self) -> float:
        """Mean of the gaps."""
        return mean(self.gaps)

    @property
    def sd(self) -> float | None:
        """Standard deviation of the gaps; None for a single one."""
        return stdev(self.gaps) if len(self.gaps) > 1 else None

    @property
    def folds(self) -> int:
        """How many folds the two settings share; of cells with one fold, how many seeds."""
        return len(self.gaps)

    @property
    def complete(self) -> bool:
        """Whether something can be said about training: all folds (or seeds), in one precision."""
        return self.same_precision and self.whole and self.p_folds is not None

    def within(self, margin: float) -> bool:
        """Tell whether the two are equal within a margin: all runs are there, and the 90 % interval lies inside it.

        Args:
            margin: the largest difference that does not matter, above 0.

        Returns:
            False also means that it was not shown.
        """
        if not (self.complete and self.every_run) or self.half_90 is None:
            return False
        return abs(self.difference) + self.half_90 < margin


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
    groups: dict[int, list[tuple[Record, Record]]] = defaultdict(list)  # fold, or seed -> pairs of runs
    one_fold = isinstance(found.cell, Ensemble) or len(found.cell.folds) == 1
    for record in found.records:
        other = there.get((record.parameters["fold"], record.seed))
        if other is not None and other.draws == record.draws:
            groups[record.seed if one_fold else record.parameters["fold"]].append((record, other))
    pairs = [pair for group in groups.values() for pair in group]
    if not pairs:
        return None
    gaps = tuple(
        mean(value(one, found.cell) - value(other, reference.cell) for one, other in group) for group in groups.values()
    )
    half = half_90 = p_folds = None
    if len(gaps) > 1:
        # Runs of one division share all their training clips and all their test clips: what varies is the seed.
        share = 0.0 if one_fold else mean(one.data["test"]["clips"] / one.data["train"]["clips"] for one, _ in pairs)
        half, p_folds = t_test(gaps, share)
        half_90, _ = t_test(gaps, share, level=0.90)
    return Paired(
        gaps=gaps,
        runs=len(pairs),
        half=half,
        half_90=half_90,
        p_folds=p_folds,
        p_clips=_mcnemar([min(group, key=_seed) for group in groups.values()], found.cell, reference.cell),
        same_precision=all(one.hardware["precision"] == other.hardware["precision"] for one, other in pairs),
        whole=isinstance(found.cell, Cell) and len(gaps) == len(found.cell.seeds if one_fold else found.cell.folds),
        every_run=len(pairs) == found.wanted,
    )


def _seed(pair: tuple[Record, Record]) -> int:
    return pair[0].seed


def t_test(gaps: Sequence[float], share: float, level: float = 0.95) -> tuple[float, float]:
    """Test whether differences over the folds of a cross-validation have the mean 0, with Nadeau and Bengio's variance.

    The variance of their mean is s^2 (1/k + share) and not s^2 / k, because the training sets of the folds overlap.

    Args:
        gaps: the k differences, two or more.
        share: test clips over training clips of a fold, 1/4 for five folds; 0 gives the ordinary paired t-test.
        level: of the interval, from 0 to 1.

    Returns:
        Half the width of the interval of the mean, and p.

    Raises:
        MissingPackage: scipy is not installed.
    """
    try:
        from scipy.stats import t
    except ImportError as error:
        raise MissingPackage('the paired t-test needs scipy: pip install "astlib[reproduce]"') from error
    k = len(gaps)
    error_of_mean = stdev(gaps) * math.sqrt(1 / k + share)
    if error_of_mean == 0:
        return 0.0, float(mean(gaps) == 0)
    return float(t.ppf((1 + level) / 2, k - 1)) * error_of_mean, float(2 * t.sf(abs(mean(gaps)) / error_of_mean, k - 1))


def holm(p_values: Mapping[str, float]) -> dict[str, float]:
    """Adjust the p values of several comparisons, so that any false finding among them has at most their level.

    The smallest of m is multiplied by m, the next by m - 1, and so on; no adjusted value is below that of a smaller p.

    Args:
        p_values: name of the comparison to its p.

    Returns:
        Name to adjusted p, at most 1.
    """
    adjusted: dict[str, float] = {}
    largest = 0.0
    for rank, name in enumerate(sorted(p_values, key=lambda name: p_values[name])):
        largest = max(largest, (len(p_values) - rank) * p_values[name])
        adjusted[name] = min(1.0, largest)
    return adjusted


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
        p_holm: p of the test over folds, adjusted over all complete comparisons of the chapter; None if there is none.
        family: how many comparisons p was adjusted for.
    """

    cell: AnyCell
    found: Obtained
    published: Published | None
    paired: Paired | None
    p_holm: float | None = None
    family: int = 0

    @property
    def settled(self) -> bool:
        """Whether the setting differs from the reference, after the correction for all comparisons of the chapter."""
        return self.p_holm is not None and self.p_holm < LEVEL

    @property
    def equal(self) -> bool:
        """Whether the setting equals the reference within the margin of the protocol, all its runs considered."""
        return self.paired is not None and self.paired.within(protocol()["margin"][self.cell.metric])

    @property
    def finding(self) -> str:
        """What the comparison supports: "settled", "equal within the margin" or "not settled"; "" for none."""
        if self.p_holm is None:
            return ""
        return "settled" if self.settled else "equal within the margin" if self.equal else "not settled"


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
    chapter = select(table, scale=scale)[0].chapter
    return [row for row in rows_of_chapter(chapter, scale, ledger) if row.cell.table == table]


def rows_of_chapter(chapter: str, scale: str, ledger: Ledger | None = None) -> list[Row]:
    """Compare the cells of all tables of a chapter, and adjust p over its complete comparisons by Holm's method.

    Args:
        chapter: the notebook that shows the tables, such as "12_the_ablations".
        scale: "paper", "tiny" or "try".
        ledger: all records; None reads them.

    Returns:
        One row per cell, in the order of the tables.

    Raises:
        InvalidInput: the scale is unknown.
        MissingPackage: scipy is not installed.
    """
    ledger = Ledger() if ledger is None else ledger
    numbers = {row["id"]: row for row in paper()["rows"]}
    cells = [cell for cell in select(scale=scale) if cell.chapter == chapter]
    found = {cell.name: obtained(cell, ledger) for cell in cells}
    rows = []
    for cell in cells:
        table = {name: other for name, other in found.items() if other.cell.table == cell.table}
        other = reference_of(cell, table)
        pair = None if other is None or other.cell.name == cell.name else paired(found[cell.name], other)
        rows.append(Row(cell, found[cell.name], numbers.get(cell.published), pair))
    p_values = {row.cell.name: row.paired.p_folds for row in rows if row.paired and row.paired.complete}
    adjusted = holm({name: p for name, p in p_values.items() if p is not None})
    return [replace(row, p_holm=adjusted.get(row.cell.name), family=len(adjusted)) for row in rows]


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


class SideBySide(Table):
    """A table with a sentence above it about all of its rows.

    Args:
        header: the title of each column.
        rows: one sequence of cells per row.
        note: the sentence; "" for none.
    """

    def __init__(self, header: list[str], rows: Iterable[Sequence[object]], note: str) -> None:
        super().__init__(header, rows)
        self.note = note

    def __repr__(self) -> str:
        return f"{self.note}\n\n{super().__repr__()}" if self.note else super().__repr__()

    def _repr_html_(self) -> str:
        return (f"<p>{html.escape(self.note)}</p>" if self.note else "") + super()._repr_html_()


def side_by_side(table: str, scale: str, ledger: Ledger | None = None) -> SideBySide:
    """Show the published and the obtained numbers of a table side by side, and the comparison with its reference.

    Args:
        table: its name.
        scale: "paper", "tiny" or "try".
        ledger: all records; None reads them.

    Returns:
        One row per cell. The columns of the published numbers, of the comparison and of the clips are there if one row
        has such an entry. Above it stands in what all the runs differ from the paper's.

    Raises:
        InvalidInput: the table or the scale is unknown.
        MissingPackage: scipy is not installed.
    """
    rows = rows_of(table, scale, ledger)
    header = ["cell", "published", "obtained", "difference (95 %)", "p (Holm)", "p (clips)", "runs"]
    lines = [_as_text(row) for row in rows]
    empty = ("", "reference")
    kept = [i for i in range(len(header)) if i in (0, 2, 6) or any(line[i] not in empty for line in lines)]
    return SideBySide([header[i] for i in kept], [[line[i] for i in kept] for line in lines], note(rows))


def note(rows: Sequence[Row]) -> str:
    """Say in what the runs of a table differ from those behind the published numbers.

    Args:
        rows: of one table.

    Returns:
        A sentence; "" if nothing was run, or if nothing was published.
    """
    run = [row for row in rows if row.published is not None and row.found.records]
    phrases = dict.fromkeys(text for row in run for text in differences(row.cell) + fewer_clips(row.found))
    if not phrases:
        return ""
    return f"Our numbers cannot be compared with the published ones. What is different: {', '.join(phrases)}."


def _as_text(row: Row) -> list[str]:
    found, published, pair = row.found, row.published, row.paired
    theirs = ""
    if published is not None:
        spread = "" if published["spread"] is None else f" ± {published['spread']:g}"
        theirs = f"{published['value']:g}{spread}{' %' if published['unit'] == '%' else ''}"
        if gap := gap_text(found, published):
            theirs = f"{theirs} (ours {gap})"
    return [
        row.cell.name.partition("/")[2],
        theirs,
        found.text,
        interval_text(pair, row.cell.metric) if pair else "reference" if found.records else "",
        "two precisions" if pair and not pair.same_precision else p_text(row.p_holm),
        p_text(pair.p_clips) if pair else "",
        f"{len(found.records)} of {found.wanted}",
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
    return decimal(difference(found, published), 1 if published["unit"] == "%" else 3, "+")


def interval_text(pair: Paired, metric: Metric) -> str:
    """Write the mean difference to the reference and its 95 % interval.

    Args:
        pair: the comparison.
        metric: the metric that was compared.

    Returns:
        Such as "-2.2 (-5.6 to +1.3)"; the difference alone for a single fold.
    """
    text = number(pair.difference, metric, "+")
    if pair.half is None:
        return text
    low, high = (number(pair.difference + side * pair.half, metric, "+") for side in (-1, 1))
    return f"{text} ({low} to {high})"


def p_text(p: float | None) -> str:
    """Write a p value.

    Args:
        p: from 0 to 1; None for none.

    Returns:
        Two digits, or "< 0.001"; "" for none.
    """
    if p is None:
        return ""
    return "< 0.001" if p < 0.001 else f"{p:.2g}"


def claim(row: Row) -> str:
    """Say what a row supports about its setting, compared with the table's reference: first the difference, then p.

    A difference is settled if all five folds were run in one precision and p of the corrected t-test is below 0.05
    after Holm's correction over the chapter's comparisons. Otherwise two settings are equal within the margin of
    `results/protocol.json` if its test says so, and nothing is settled if it does not. One fold, or two precisions, say
    nothing about training.

    Args:
        row: a row of a table.

    Returns:
        A phrase.
    """
    pair, found, metric = row.paired, row.found, row.cell.metric
    unit = "points" if metric == "accuracy" else metric
    if pair is None:
        return "the reference of its table" if found.records else "not run"
    if not pair.same_precision or row.p_holm is None:
        points = f"{number(pair.difference, metric, '+')} {unit} over {pair.runs} of {found.wanted} runs"
        if not pair.same_precision:
            return f"{points}: no claim, not in the same precision"
        known = "" if pair.p_clips is None else f", but for these clips p = {pair.p_clips:.2g}"
        return f"{points}: no claim{known}"
    p, measured = p_text(row.p_holm), interval_text(pair, metric)
    units = "seeds" if isinstance(row.cell, Cell) and len(row.cell.folds) == 1 else "folds"
    return (
        f"{measured} {unit} over {pair.folds} {units}, p {p if '<' in p else f'= {p}'} after Holm's correction of "
        f"{row.family}: {row.finding}"
    )


def hardware_text(records: Iterable[Record]) -> str:
    """List the devices and precisions of records.

    Args:
        records: any number of them.

    Returns:
        Each pair once, in alphabetical order.
    """
    return ", ".join(sorted({f"{record.hardware['name']}, {record.hardware['precision']}" for record in records}))
