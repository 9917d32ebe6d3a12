"""Expected against obtained: what the paper says in a cell, what our runs gave, and whether the two can be compared.

Chapters: notebooks/09_esc50.ipynb, notebooks/12_the_ablations.ipynb
"""

from dataclasses import asdict, dataclass
from statistics import mean, stdev

from . import costs, metrics, tables
from .ledger import Run, Table, duration, paper, unpack
from .reproduce import Job, Ledger
from .tables import Cell

WORDS = {  # what a reader should hear about a value of a recipe that differs from the paper's
    "dataset": "{}", "model_size": "{}", "fstride": "stride {}", "epochs": "{} epochs", "init": "from {}",
    "lr": "learning rate {:g}", "batch": "batch {}", "fill": "fill {}", "loss": "loss {}",
}  # fmt: skip


@dataclass
class Obtained:
    """What our runs gave for one cell.

    values: one a fold, or where there are several seeds one a seed (the mean of its folds). runs: fold by fold.
    wanted: how many runs the cell asks for.
    """

    cell: Cell
    runs: list[Run]
    values: list[float]
    wanted: int

    @property
    def mean(self) -> float:
        return mean(self.values)

    @property
    def sd(self) -> float | None:
        return stdev(self.values) if len(self.values) > 1 else None

    @property
    def text(self) -> str:
        """Mean ± standard deviation (number of values), in per cent for accuracy."""
        if not self.values:
            return "not run"
        accuracy = metric_of(self.cell) == "accuracy"
        number = (lambda value: f"{100 * value:.1f}") if accuracy else (lambda value: f"{value:.3f}")
        spread = "" if self.sd is None else f" ± {number(self.sd)}"
        return f"{number(self.mean)}{spread}{' %' if accuracy else ''} (n = {len(self.values)})"


def metric_of(cell: Cell) -> str:
    return cell.recipe.metric if cell.recipe else "mAP"


def value(run: Run, cell: Cell) -> float:
    """The number of a record that a cell shows: of the cell's rule, at the cell's last epoch if the run is longer."""
    metric = metric_of(cell)
    if cell.recipe is None:
        return run.metrics[metric]
    if run.parameters["epochs"] > cell.recipe.epochs:
        return run.epochs[cell.recipe.epochs - 1][metric]
    return run.metrics[cell.take][metric] if cell.take else run.metrics[metric]


def obtained(cell: Cell, scale: str, ledger: Ledger) -> Obtained:
    if cell.recipe is None:
        run = ledger.ensemble(cell, scale)
        return Obtained(cell, [run] if run else [], [value(run, cell)] if run else [], 1)
    by_seed = [[ledger.find(Job(cell, fold, seed, scale)) for fold in cell.folds] for seed in cell.seeds]
    runs = [run for runs in by_seed for run in runs if run]
    if len(cell.seeds) > 1:
        values = [mean(value(run, cell) for run in runs) for runs in by_seed if all(runs)]
    else:
        values = [value(run, cell) for run in runs]
    return Obtained(cell, runs, values, len(cell.folds) * len(cell.seeds))


def differences(cell: Cell) -> list[str]:
    """In which values of its recipe a cell differs from the paper's cell with the same published number, in words."""
    theirs = next(c for c in tables.SCALES["paper"].values() if c.published == cell.published)
    if theirs.recipe is None or cell.recipe is None:
        return []
    ours, wanted = asdict(cell.recipe), asdict(theirs.recipe)
    return [words.format(ours[name]) for name, words in WORDS.items() if ours[name] != wanted[name]]


def fewer_clips(found: Obtained) -> list[str]:
    """Whether the runs had clearly fewer training clips than their data set has: a part of it, or a copy with gaps."""
    run = found.runs[0]
    here, whole = run.data.get("train", {}).get("clips"), costs.CLIPS.get(run.data["name"], (0,))[0]
    return [f"{here:,} of {whole:,} training clips"] if here and here < 0.9 * whole else []


def verdict(found: Obtained, published: dict | None) -> str:
    """Within the spread, outside it, or why the two cannot be compared.

    The spread is the published one and ours added, in the published unit; where neither is known there is no verdict.
    """
    if not found.runs:
        return "not run"
    if published is None:
        return "the paper has no such number"
    if differs := differences(found.cell) + fewer_clips(found):
        return f"not comparable: {', '.join(differs)}"
    if len(found.runs) < found.wanted:
        return f"{len(found.runs)} of {found.wanted} runs"
    spread = (published["spread"] or 0) + scaled(found.sd or 0, published)
    if not spread:
        return "no spread known"
    return "within the spread" if abs(difference(found, published)) <= spread else "outside the spread"


def scaled(number: float, published: dict) -> float:
    return 100 * number if published["unit"] == "%" else number


def difference(found: Obtained, published: dict) -> float:
    """Obtained minus published, in the published unit."""
    return scaled(found.mean, published) - published["value"]


@dataclass
class Paired:
    """Two settings on the same folds: the mean difference, its standard deviation, and two tests of "no difference".

    t: p of the paired t-test over folds (the folds share training clips, so it is somewhat too sure). clips: p of
    McNemar's exact test over all test clips, None where a record has no list of right answers. alike: whether both
    ran in one precision.
    """

    difference: float
    sd: float | None
    folds: int
    t: float | None
    clips: float | None
    alike: bool


def paired(found: Obtained, reference: Obtained) -> Paired | None:
    """`found` minus `reference`, fold by fold; None if they share no fold."""
    key = lambda run: (run.parameters["fold"], run.seed)  # noqa: E731
    there = {key(run): run for run in reference.runs}
    pairs = [(run, there[key(run)]) for run in found.runs if key(run) in there]
    if not pairs:
        return None
    gaps = [value(run, found.cell) - value(other, reference.cell) for run, other in pairs]
    sd, t = (stdev(gaps), _t_test(gaps)) if len(gaps) > 1 else (None, None)
    alike = all(run.hardware["precision"] == other.hardware["precision"] for run, other in pairs)
    return Paired(mean(gaps), sd, len(gaps), t, _clips(pairs, found.cell, reference.cell), alike)


def _t_test(gaps: list[float]) -> float:
    from scipy.stats import ttest_1samp

    return float(ttest_1samp(gaps, 0).pvalue) if stdev(gaps) else float(mean(gaps) == 0)


def _clips(pairs: list[tuple[Run, Run]], cell: Cell, reference: Cell) -> float | None:
    one = other = 0
    for run, second in pairs:
        rights = []
        for record, of in ((run, cell), (second, reference)):
            entry = record.epochs[min(len(record.epochs), of.recipe.epochs) - 1]
            if "right" not in entry:
                return None
            rights.append(unpack(entry["right"], record.data["test"]["clips"]))
        one, other = one + int((rights[0] & ~rights[1]).sum()), other + int((rights[1] & ~rights[0]).sum())
    return metrics.coins(one, other)


def rows_of(table: str, scale: str, ledger: Ledger | None = None) -> list[dict]:
    """A table cell by cell: `cell`, `found` (Obtained), `published` (row of paper.json or None), `paired` or None."""
    ledger = ledger or Ledger()
    numbers = {row["id"]: row for row in paper()["rows"]}
    cells = tables.cells(table, scale=scale)
    found = {cell.name: obtained(cell, scale, ledger) for cell in cells}
    return [
        {"cell": cell, "found": found[cell.name], "published": numbers.get(cell.published),
         "paired": None if (other := reference(cell, found)) in (None, cell.name)
         else paired(found[cell.name], found[other])}
        for cell in cells
    ]  # fmt: skip


def reference(cell: Cell, found: dict[str, Obtained]) -> str | None:
    """The cell that this one is compared with: the table's own where it was run, else the first that was.

    Only cells on the same data can be compared: of tables 2 and 5 each half has a reference of its own.
    """
    wanted, part = tables.TABLES[cell.table].reference, cell.name.rpartition("-")[2]
    done = [name for name, one in found.items() if one.runs and cell.recipe and one.cell.recipe
            and one.cell.recipe.dataset == cell.recipe.dataset]  # fmt: skip
    return next((name for name in (wanted, f"{wanted}-{part}") if name in done), done[0] if done else None)


def table(name: str, scale: str, ledger: Ledger | None = None) -> Table:
    """Published and obtained side by side, with difference, verdict, paired test, hardware, hours and commit."""
    rows = []
    for row in rows_of(name, scale, ledger):
        found, published, pair = row["found"], row["published"], row["paired"]
        theirs = "" if published is None else f"{published['value']:g}" + (
            f" ± {published['spread']:g}" if published["spread"] is not None else "")  # fmt: skip
        theirs += " %" if theirs and published["unit"] == "%" else ""
        gap = verdict_gap(found, published)
        rows.append([
            row["cell"].name, row["cell"].what, theirs, found.text, gap, verdict(found, published),
            paired_text(pair, metric_of(row["cell"])), hardware(found.runs),
            duration(sum(run.wall_seconds for run in found.runs)) if found.runs else "",
            ", ".join(sorted({(run.commit or "")[:8] for run in found.runs})),
        ])  # fmt: skip
    head = ["cell", "what", "published", "obtained", "difference", "verdict", "against the reference", "hardware",
            "time", "commit"]  # fmt: skip
    return Table(head, rows)


def verdict_gap(found: Obtained, published: dict | None) -> str:
    if not found.values or published is None or differences(found.cell) or fewer_clips(found):
        return ""
    return f"{difference(found, published):{'+.1f' if published['unit'] == '%' else '+.3f'}}"


def paired_text(pair: Paired | None, metric: str) -> str:
    if pair is None:
        return ""
    number = (lambda v: f"{100 * v:+.1f}") if metric == "accuracy" else (lambda v: f"{v:+.3f}")
    text = f"{number(pair.difference)} over {pair.folds} fold{'s' if pair.folds > 1 else ''}"
    tests = [f"{name} p {'= ' + format(p, '.2g') if p >= 1e-9 else '< 1e-9'}"
             for name, p in (("t-test", pair.t), ("clips", pair.clips)) if p is not None]  # fmt: skip
    return ", ".join([text, *tests, *([] if pair.alike else ["not in the same precision"])])


def claim(row: dict) -> str:
    """What a row of `rows_of` lets us say about its setting against the table's reference.

    With all five folds in one precision and p of the paired t-test below 0.05 it is "beyond the spread", else there is
    no difference that one can claim; one fold, or two precisions, claim nothing about training at all.
    """
    pair, found = row["paired"], row["found"]
    if pair is None:
        return "the others are compared with this one" if found.runs else "not run"
    points = f"{100 * pair.difference:+.1f} points over {pair.folds} of {found.wanted} runs"
    if not pair.alike:
        return f"{points}: no claim, not in the same precision"
    if pair.folds < len(tables.FOLDS):
        return f"{points}: no claim" + (f", but for these clips p = {pair.clips:.2g}" if pair.clips is not None else "")
    return f"{points}: {'' if pair.t < 0.05 else 'no difference '}beyond the spread, p = {pair.t:.2g}"


def hardware(runs: list[Run]) -> str:
    return ", ".join(sorted({f"{run.hardware['name']}, {run.hardware['precision']}" for run in runs}))

