"""The ledger: what was run, on what, with what result, and what the paper says beside it.

A record is written when a run is finished, and it carries its provenance: commit, every parameter, hashes of data and
weights, hardware, versions, seed and time. No number of ours in the book comes from anywhere else.

Chapter: notebooks/09_esc50.ipynb
"""

import hashlib
import html
import json
import math
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import torch

from . import provenance
from .files import write_json

METRICS = ("accuracy", "mAP", "mAUC", "d_prime", "loss")


@dataclass
class Run:
    """One finished run, `results/runs/<id>.json`.

    wall_seconds: training and evaluation, summed over the epochs. throughput: training clips a second.
    peak_memory: bytes, of the process on CPU and of the accelerator otherwise. epochs: one entry each, with loss,
    learning rate, seconds, metrics and, where accuracy counts, `right`: which test clips were right, see `unpack`.
    metrics: the final ones and the rule that selected their epoch. seal: a hash over all of it, set when it is
    complete; who edits a record by hand, or by accident, breaks it (`astlib.audit`).
    """

    id: str
    commit: str | None
    dirty: bool | None
    recipe: str
    parameters: dict
    data: dict
    weights: dict
    seed: int
    hardware: dict
    versions: dict
    started: str
    wall_seconds: float = 0.0
    throughput: float = 0.0
    peak_memory: int = 0
    epochs: list[dict] = field(default_factory=list)
    metrics: dict = field(default_factory=dict)
    seal: str = ""

    def best(self, part: str | None = None) -> dict:
        """The epoch with the highest metric on the "test" or the "validation" part; of equal ones the first.

        By default on the part that selects.
        """
        metric = self.parameters["metric"]
        part = part or ("validation" if self.parameters["selection"] == "validation" else "test")
        scores = [(entry if part == "test" else entry[part])[metric] for entry in self.epochs]
        return self.epochs[max(range(len(scores)), key=lambda i: -math.inf if scores[i] is None else scores[i])]

    def resume(self, history: dict) -> None:
        """Take over what an earlier session of this run has done. `history` is the record that it saved."""
        self.epochs, self.started, self.peak_memory = history["epochs"], history["started"], history["peak_memory"]
        # one run, two states of the code: the record must not look clean
        self.dirty = self.dirty or history["dirty"] or history["commit"] != self.commit
        here = {key: self.hardware[key] for key in ("name", "count")}
        there = {key: history["hardware"][key] for key in ("name", "count")}
        earlier = history["hardware"].get("earlier", [])
        self.hardware["earlier"] = earlier if there == here else [*earlier, there]

    def finish(self, clips: int, more: dict) -> None:
        """Select the weights that count and sum up the times.

        clips: of the training part. more: metrics beyond the epochs': `average` (of the averaged weights).
        All rules are reported side by side, whichever counts: `last`, `best_on_test`, and those that there are of
        `best_on_validation`, `average`, `checkpoint_ensemble`.
        """
        metric, rule = self.parameters["metric"], self.parameters["selection"]
        last, best = self.epochs[-1], self.best("test")
        chosen, words = last, "last epoch"
        if rule == "paper":
            # The original picks one epoch for all five folds, the one with the best mean on the test folds:
            # `best_epoch_over` does that with the records of all folds.
            chosen, words = best, "best epoch of this fold on its test part"
        if rule == "validation":
            chosen, words = self.best(), "best epoch on the validation part"
        if rule == "average":
            first, final = self.parameters["average"]
            chosen, words = {"epoch": final, **more["average"]}, f"weights averaged over epochs {first} to {final}"
        self.metrics = {
            "rule": words,
            "epoch": chosen["epoch"],
            **{name: chosen[name] for name in METRICS},
            "last": {"epoch": last["epoch"], metric: last[metric]},
            "best_on_test": {"epoch": best["epoch"], metric: best[metric]},
            **more,
        }
        if "validation" in last:
            by = self.best("validation")
            self.metrics["best_on_validation"] = {"epoch": by["epoch"], metric: by[metric]}
        self.wall_seconds = sum(entry["seconds"] for entry in self.epochs)
        self.throughput = clips * len(self.epochs) / sum(entry["train_seconds"] for entry in self.epochs)

    def save(self, folder: str | Path) -> Path:
        """Write `<folder>/<id>.json`, whole or not at all."""
        path = Path(folder) / f"{self.id}.json"
        write_json(path, asdict(self))
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Run":
        """Read a record. Raises ValueError that names the file if it is not one."""
        path = Path(path)
        try:
            content = json.loads(path.read_text(encoding="utf-8"))
            if missing := [f.name for f in fields(cls) if f.name not in content]:
                raise ValueError(f"it lacks {', '.join(missing)}")
            return cls(**content)
        except (ValueError, TypeError) as error:
            raise ValueError(f"{path} is not a run record: {error}") from error


def results_folder() -> Path:
    """Where the records are: `results/` of a checkout, or the copy inside an installed wheel."""
    here = Path(__file__).resolve().parent
    return here / "_results" if (here / "_results").is_dir() else here.parent / "results"


def load_runs(folder: str | Path | None = None, **parameters) -> list[Run]:
    """All records whose parameters have the given values, ordered by id: `load_runs(recipe="esc50-tiny", fold=1)`.

    `recipe` is compared with the record's recipe, any other name with its `parameters`.
    """
    runs = [Run.load(path) for path in sorted((Path(folder or results_folder() / "runs")).glob("*.json"))]
    wanted = {("name" if key == "recipe" else key): value for key, value in parameters.items()}
    return [run for run in runs if all(run.parameters.get(key) == value for key, value in wanted.items())]


def paper() -> dict:
    """The published numbers, `results/paper.json`: table -> row -> value, spread, unit and source."""
    return json.loads((results_folder() / "paper.json").read_text(encoding="utf-8"))


def original_logs() -> dict:
    """The original's own runs epoch by epoch, `results/original_logs.json`: "runs" -> recipe name -> columns."""
    return json.loads((results_folder() / "original_logs.json").read_text(encoding="utf-8"))


class Table:
    """Rows of text with a header: plain in a terminal, HTML in a notebook."""

    def __init__(self, header: list[str], rows: list[list]):
        self.header = header
        self.rows = [["" if cell is None else str(cell) for cell in row] for row in rows]

    def __repr__(self) -> str:
        lines = [self.header, *self.rows]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.header))]
        text = [
            "  ".join(cell.ljust(width) for cell, width in zip(line, widths, strict=True)).rstrip() for line in lines
        ]
        return "\n".join([text[0], "-" * (sum(widths) + 2 * len(widths) - 2), *text[1:]])

    def _repr_html_(self) -> str:
        head = "".join(f"<th scope='col'>{html.escape(cell)}</th>" for cell in self.header)
        body = "".join(
            "<tr>" + "".join(f"<td{' class=long' * (len(c) > 28)}>{html.escape(c)}</td>" for c in row) + "</tr>"
            for row in self.rows
        )
        return f"<table class='ledger'><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def table(runs: list[Run]) -> Table:
    """Runs side by side: what was run, what came out, on what, in how long, from which commit."""
    header = ["run", "data", "model", "start", "stride", "epochs", "result", "hardware", "time", "commit"]
    rows = []
    for run in runs:
        p, metric = run.parameters, run.parameters["metric"]
        value = run.metrics[metric]
        result = f"accuracy {100 * value:.1f} %" if metric == "accuracy" else f"{metric} {value:.3f}"
        rows.append([
            run.id, f"{run.data['name']}, {run.data['classes']} classes, fold {p['fold']}",
            *([p["model_size"], p["init"], f"{p['fstride']}x{p['tstride']}"] if p.get("network", "ast") == "ast" else
              [p["network"], p["init"], ""]),
            len(run.epochs),
            f"{result} ({run.metrics['rule']})", run.hardware["name"], duration(run.wall_seconds),
            f"{(run.commit or 'unknown')[:8]}{' (with changes)' if run.dirty else ''}",
        ])  # fmt: skip
    return Table(header, rows)


def duration(seconds: float) -> str:
    """A measured time as people say it: "45 s", "12 min", "3.4 h"."""
    for most, scale, form in ((90, 1, "{:.0f} s"), (5400, 60, "{:.0f} min")):
        if seconds < most:
            return form.format(seconds / scale)
    return f"{seconds / 3600:.1f} h"


def settings(run: Run) -> dict:
    """A record's parameters with today's names: what a recipe did not have yet has its default."""
    from .recipes import Recipe

    known = {field.name for field in fields(Recipe)}
    return asdict(Recipe(**{key: value for key, value in run.parameters.items() if key in known}))


def families(runs: list[Run]) -> list[list[Run]]:
    """The runs in groups that differ in nothing but the fold, such as the five folds of one setting."""
    groups: dict[str, list[Run]] = {}
    for run in runs:
        alike = {key: value for key, value in settings(run).items() if key != "fold"}
        groups.setdefault(json.dumps([alike, run.hardware["precision"]], sort_keys=True), []).append(run)
    return list(groups.values())


def best_epoch_over(runs: list[Run]) -> tuple[int, list[dict]]:
    """The original's way to report ESC-50: the epoch whose mean over the folds' test parts is best, for all folds.

    Returns that epoch and the folds' lines of it. It looks at the test folds to choose, and so it flatters: in the
    original's log by 0.15 points (egs/esc50/get_esc_result.py:26-40). Raises ValueError if the runs have other epochs.
    """
    metric = runs[0].parameters["metric"] if runs else None
    if len({len(run.epochs) for run in runs}) != 1:
        raise ValueError("the runs of all folds must have the same number of epochs, and there must be at least one")
    means = [sum(run.epochs[e][metric] for run in runs) / len(runs) for e in range(len(runs[0].epochs))]
    best = max(range(len(means)), key=means.__getitem__)
    return best + 1, [run.epochs[best] for run in runs]


def new_run(recipe, parts: dict, weights: dict, device: torch.device, processes: int, precision: str) -> Run:
    """The record of a run that begins now: what it is and on what it runs, with no result yet.

    parts: name of the part ("train", "test", "validation") -> data set; an ensemble has the test part alone.
    """
    first = next(iter(parts.values()))
    data = {
        "name": first.name,
        "synthetic": first.is_synthetic,
        "classes": len(first.labels),
        **{name: {"clips": len(part), "hash": part.manifest_hash()} for name, part in parts.items()},
    }
    parameters = json.loads(json.dumps(asdict(recipe)))  # tuples become lists, as they will when read back
    commit, dirty = provenance.git_state()
    return Run(
        id=run_id(parameters, data, weights), commit=commit, dirty=dirty, recipe=recipe.name, parameters=parameters,
        data=data, weights=weights, seed=recipe.seed, versions=provenance.versions(),
        hardware={**provenance.hardware(device, processes), "precision": precision},
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )  # fmt: skip


def earlier_run(out: Path, run: Run, resume: bool) -> Run | None:
    """The finished record if the folder has this very run; None if there is work to do.

    Raises ValueError if the folder holds another run with a checkpoint: nothing is ever overwritten.
    """
    if (out / "run.json").is_file():
        there = asdict(Run.load(out / "run.json"))
    elif any(out.glob("checkpoint-*/state.json")):
        there = json.loads((out / "start.json").read_text(encoding="utf-8"))
    else:
        return None  # nothing there that could be lost
    differing = [key for key, value in run.parameters.items() if there["parameters"].get(key) != value]
    differing += [key for key in ("data", "weights") if there[key] != asdict(run)[key]]
    if there["hardware"]["precision"] != run.hardware["precision"]:
        differing.append(f"precision (there {there['hardware']['precision']}, here {run.hardware['precision']})")
    if differing or not resume:
        why = f"they differ in {', '.join(differing)}" if differing else "resume is off"
        raise ValueError(
            f"{out} already holds the run {there['id']}, this one is {run.id}: {why}. "
            "Give another folder, or remove that one if it is not needed"
        )
    return Run.load(out / "run.json") if (out / "run.json").is_file() else None


def pack(right: torch.Tensor) -> str:
    """Which clips were right, `(clips,)` bool, as text: one bit a clip, in hexadecimal."""
    return np.packbits(right.cpu().numpy()).tobytes().hex()


def unpack(text: str, clips: int) -> np.ndarray:
    """What `pack` wrote: `(clips,)` bool. Raises ValueError if the text is not about so many clips."""
    if len(text) != 2 * -(-clips // 8):
        raise ValueError(f"the list of right answers has {4 * len(text)} bits, and there are {clips} clips")
    return np.unpackbits(np.frombuffer(bytes.fromhex(text), np.uint8), count=clips).astype(bool)


def finite(values: dict) -> dict:
    """The same with None for what is not a number or infinite: JSON has neither. An AUC of 1 makes d' infinite."""
    return {key: value if math.isfinite(value) else None for key, value in values.items()}


def seal(run: Run) -> str:
    """sha256 over everything in a record but the seal itself."""
    content = {key: value for key, value in asdict(run).items() if key != "seal"}
    return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"


def run_id(parameters: dict, data: dict, weights: dict) -> str:
    """A name that a reader understands, with a hash of all that decides the result: equal runs have equal ids."""
    decisive = json.dumps([parameters, data, weights], sort_keys=True)
    digest = hashlib.sha256(decisive.encode()).hexdigest()[:8]
    p = parameters
    init = p["init"] if p["init"] in ("imagenet", "scratch") else "ast"
    return f"{p['name']}-{init}-stride{p['fstride']}-fold{p['fold']}-seed{p['seed']}-{digest}"
