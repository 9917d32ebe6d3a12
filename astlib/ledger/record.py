"""The record of a run: what it was, what it ran on, and what came out.

A record is written when a run is finished, and it carries its provenance: commit, every parameter, hashes of data and
weights, hardware, versions, seed and time. Every result of our own in the book comes from such a record.

Chapter: notebooks/09_esc50.ipynb
"""

import hashlib
import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, NotRequired, TypedDict, cast, get_args

import torch

from ..data.base import AudioDataset
from ..data.registry import Parts
from ..errors import InvalidInput
from ..files import write_json
from ..recipes import Metric, Recipe, Selection
from ..typed import read_json, shown, typed
from . import provenance

MetricName = Literal["accuracy", "mAP", "mAUC", "d_prime", "loss"]
METRICS: tuple[MetricName, ...] = get_args(MetricName)  # what a record reports of its selected epoch
# Records name the version of their draws since there is a third one to come; these commits are from before the second.
FIRST_DRAWS = ("04ef695fc7a454314564c28170c3a0dc6f10242c", "e88c79e174c9dbfae92dda52e74c6b286b58576b")


class Metrics(TypedDict):
    """Metrics of a network on one part of the data. A metric is None where the number is not finite.

    Attributes:
        mAP: mean average precision over the classes, 0 to 1.
        mAUC: mean area under the ROC curve over the classes, 0 to 1.
        d_prime: d' that belongs to the mean area.
        accuracy: fraction of the clips whose highest score is that of their class, 0 to 1.
        classes_without_positives: how many classes the means leave out, because no clip has them.
        loss: mean of the recipe's loss over the clips.
    """

    mAP: float | None
    mAUC: float | None
    d_prime: float | None
    accuracy: float | None
    classes_without_positives: int
    loss: float | None


class Epoch(Metrics):
    """One epoch of a run. A dict, because records are JSON. Its metrics are those of the test part.

    Attributes:
        epoch: its number, from 1.
        train_loss: mean loss of its training steps.
        learning_rate: that of its last step.
        train_seconds: time of the training steps.
        seconds: time of the training steps and of measuring.
        right: which test clips were classified correctly, see `astlib.scores.pack`; only where accuracy is the metric.
        validation: metrics of the validation part, if there is one.
    """

    epoch: int
    train_loss: float
    learning_rate: float
    train_seconds: float
    seconds: float
    right: NotRequired[str]
    validation: NotRequired[Metrics]


@dataclass
class Record:
    """One run, as `results/runs/<id>.json` has it. Its parts are dicts, because that is what the JSON file holds.

    Attributes:
        id: a readable name with a hash of parameters, data and weights, see `record_id`.
        commit: of the code that ran; None outside of a checkout.
        dirty: whether tracked files differed from that commit.
        recipe: name of the recipe.
        parameters: every value of the recipe; an ensemble also has "members", the ids of its runs.
        data: "name", "synthetic", "classes", and for each part its number of clips and its hash.
        weights: where the first weights came from: "source" and "hash".
        seed: of every random draw.
        hardware: device, name, count, cores, memory_gib and precision; "earlier" lists other machines of the same run.
        versions: of Python, of the random draws and of the packages that influence the result.
        started: date and time, UTC.
        wall_seconds: training and measuring, summed over the epochs.
        throughput: training clips per second.
        peak_memory: in bytes; of the accelerator, or on a CPU of the process.
        epochs: one entry per epoch.
        metrics: those of the selected epoch, the rule that selected it, and the results of the other rules.
        seal: hash over everything else, set when the run is finished. Editing a record by hand breaks it, see
            `astlib.ledger.audit`.
    """

    id: str
    commit: str | None
    dirty: bool | None
    recipe: str
    parameters: dict[str, Any]
    data: dict[str, Any]
    weights: dict[str, Any]
    seed: int
    hardware: dict[str, Any]
    versions: dict[str, Any]
    started: str
    wall_seconds: float = 0.0
    throughput: float = 0.0
    peak_memory: int = 0
    epochs: list[Epoch] = field(default_factory=list)
    metrics: dict[str, Any] = field(default_factory=dict)
    seal: str = ""

    def as_recipe(self) -> Recipe:
        """Return the parameters as a recipe. Fields that are younger than the record have their defaults.

        Returns:
            The recipe.

        Raises:
            InvalidInput: the parameters are no recipe.
        """
        known = {field.name for field in fields(Recipe)}
        return Recipe(**{key: value for key, value in self.parameters.items() if key in known})

    @property
    def draws(self) -> int:
        """Version of the random draws: with another one, the same seed gives another order of clips, other masks."""
        named = self.versions.get("draws")
        if named is not None:
            return int(named)
        return 1 if self.commit in FIRST_DRAWS else 2

    def best(self, part: str | None = None) -> Epoch:
        """Find the epoch with the highest metric; of equal ones the first.

        Args:
            part: "test" or "validation"; None for the part by which the recipe selects.

        Returns:
            Its entry in `epochs`.
        """
        part = part or ("validation" if self.parameters["selection"] == "validation" else "test")
        metric: Metric = self.parameters["metric"]
        scores = [(entry["validation"] if part == "validation" else entry)[metric] for entry in self.epochs]
        values = [-math.inf if score is None else score for score in scores]
        return self.epochs[values.index(max(values))]

    def resume(self, history: Mapping[str, Any]) -> None:
        """Take over what this run had done before it was interrupted.

        Args:
            history: the unfinished record that was saved then.
        """
        self.epochs, self.started, self.peak_memory = history["epochs"], history["started"], history["peak_memory"]
        # One run, two states of the code: the record must not look clean.
        self.dirty = self.dirty or history["dirty"] or history["commit"] != self.commit
        here = {key: self.hardware[key] for key in ("name", "count")}
        there = {key: history["hardware"][key] for key in ("name", "count")}
        earlier = history["hardware"].get("earlier", [])
        self.hardware["earlier"] = earlier if there == here else [*earlier, there]

    def finish(self, clips: int, more: Mapping[str, Any]) -> None:
        """Select the epoch whose metrics are the run's result, and sum up the times.

        The results of the other rules are kept beside it: "last", "best_on_test", and where they exist
        "best_on_validation", "average" and "checkpoint_ensemble".

        Args:
            clips: number of training clips.
            more: metrics beyond those of the epochs: "average" (of the averaged weights), "checkpoint_ensemble".
        """
        metric: Metric = self.parameters["metric"]
        rule: Selection = self.parameters["selection"]
        last, best = self.epochs[-1], self.best("test")
        chosen: Mapping[str, Any] = last
        words = "last epoch"
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
        """Write `<folder>/<id>.json`, completely or not at all.

        Args:
            folder: is created if it does not exist.

        Returns:
            The file.

        Raises:
            OSError: the file cannot be written.
        """
        path = Path(folder) / f"{self.id}.json"
        write_json(path, asdict(self))
        return path

    @classmethod
    def load(cls, path: str | Path) -> "Record":
        """Read a record. Only its form is checked; whether its content agrees is for `astlib.ledger.audit`.

        Args:
            path: of the JSON file.

        Returns:
            The record.

        Raises:
            InvalidInput: the file is not a record; the message names it.
        """
        path = Path(path)
        try:
            content = read_json(path.read_bytes())
            if missing := [f.name for f in fields(cls) if f.name not in content]:
                raise InvalidInput(f"it lacks {', '.join(missing)}")
            for name, kind, words in FORM:
                if not isinstance(content[name], kind):
                    raise InvalidInput(f"{name} must be {words}; found {shown(content[name])}")
            for name, kind in PARAMETERS.items():
                typed(f"parameters: {name}", kind, content["parameters"].get(name))
            return cls(**content)
        except (ValueError, TypeError) as error:
            raise InvalidInput(f"{path} is not a run record: {error}") from error


PARAMETERS: dict[str, type] = {"name": str, "dataset": str, "fold": int, "metric": str, "selection": str}  # of any run
# field -> what JSON must hold there, for every field that other code looks into
FORM: tuple[tuple[str, type, str], ...] = (
    *((name, str, "a text") for name in ("id", "recipe", "started", "seal")),
    *((name, dict, "an object") for name in ("parameters", "data", "weights", "hardware", "versions", "metrics")),
    ("epochs", list, "a list"),
)


def new_record(
    recipe: Recipe,
    parts: Parts | Mapping[str, AudioDataset],
    weights: Mapping[str, object],
    device: torch.device,
    processes: int,
    precision: str,
) -> Record:
    """Make the record of a run that is about to begin: what it is and what it runs on, with no result yet.

    Args:
        recipe: what is run.
        parts: the parts of its data; an ensemble has {"test": ...} alone.
        weights: where the first weights came from: "source" and "hash".
        device: the device of this process.
        processes: how many processes share the run.
        precision: in words, see `astlib.devices.PRECISIONS`.

    Returns:
        The record.
    """
    by_name = parts._asdict() if isinstance(parts, Parts) else dict(parts)
    there = {name: part for name, part in by_name.items() if part is not None}
    first = next(iter(there.values()))
    data = {
        "name": first.name,
        "synthetic": first.is_synthetic,
        "classes": len(first.labels),
        **{name: {"clips": len(part), "hash": part.manifest_hash()} for name, part in there.items()},
    }
    parameters = recipe.parameters()
    commit, dirty = provenance.git_state()
    return Record(
        id=record_id(parameters, data, weights),
        commit=commit,
        dirty=dirty,
        recipe=recipe.name,
        parameters=parameters,
        data=data,
        weights=dict(weights),
        seed=recipe.seed,
        hardware={**provenance.hardware(device, processes), "precision": precision},
        versions=provenance.versions(),
        started=datetime.now(UTC).isoformat(timespec="seconds"),
    )


def earlier_record(out: Path, record: Record, resume: bool) -> Record | None:
    """Look for a run in a folder, so that nothing is ever overwritten.

    Args:
        out: the folder.
        record: the record of the run that is about to begin.
        resume: whether an unfinished run may be continued.

    Returns:
        The record that is there if the run is finished; None if there is work to do.

    Raises:
        InvalidInput: the folder holds another run, or an unfinished one and `resume` is False.
    """
    finished = out / "run.json"
    if finished.is_file():
        there = asdict(Record.load(finished))
    elif any(out.glob("checkpoint-*/state.json")):
        there = asdict(Record.load(out / "start.json"))
    else:
        return None  # nothing there that could be lost
    now, before = record.parameters, there["parameters"]
    differing = [key for key in {**now, **before} if now.get(key) != before.get(key)]
    differing += [key for key in ("data", "weights") if there[key] != asdict(record)[key]]
    earlier, here = there["hardware"]["precision"], record.hardware["precision"]
    if earlier != here:
        differing.append(f"precision (there {earlier}, here {here})")
    if differing or not resume:
        why = f"they differ in {', '.join(differing)}" if differing else "resume is off"
        raise InvalidInput(
            f"{out} already holds the run {there['id']}, this one is {record.id}: {why}. "
            "Give another folder, or remove that one if it is not needed"
        )
    return Record.load(finished) if finished.is_file() else None


def finite(values: Mapping[str, float]) -> Metrics:
    """Replace NaN and infinities by None, because JSON cannot hold them. An AUC of exactly 1 makes d' infinite.

    Args:
        values: metrics, and possibly other numbers, by name.

    Returns:
        The same names.
    """
    return cast(Metrics, {name: value if math.isfinite(value) else None for name, value in values.items()})


def seal(record: Record) -> str:
    """Hash everything in a record but the seal itself.

    Args:
        record: any.

    Returns:
        "sha256:" and 64 digits.
    """
    content = {key: value for key, value in asdict(record).items() if key != "seal"}
    return f"sha256:{hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()}"


def record_id(
    parameters: Mapping[str, Any],
    data: Mapping[str, Any],
    weights: Mapping[str, Any],
    draws: int = provenance.DRAWS,
) -> str:
    """Make a readable id that ends in a hash of everything that decides the result. Equal runs have equal ids.

    Args:
        parameters: of the recipe.
        data: names and hashes of the parts, as in `Record.data`.
        weights: where the first weights came from, as in `Record.weights`.
        draws: version of the random draws. The first two are not hashed: they are older than this argument, and no
            two of their records have one id.

    Returns:
        Such as "esc50-tiny-imagenet-stride16-fold1-seed0-0a1b2c3d".
    """
    decisive = json.dumps([parameters, data, weights, *([draws] if draws > 2 else [])], sort_keys=True)
    digest = hashlib.sha256(decisive.encode()).hexdigest()[:8]
    p = parameters
    init = p["init"] if p["init"] in ("imagenet", "scratch") else "ast"
    return f"{p['name']}-{init}-stride{p['fstride']}-fold{p['fold']}-seed{p['seed']}-{digest}"
