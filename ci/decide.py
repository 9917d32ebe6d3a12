"""When does the embedded model know nothing? Writes `models/NAME/decision.json`, its card and `results/decisions.json`.

    ASTLIB_DATA=... python ci/decide.py [NAME]      # about five minutes of one CPU core; can be resumed

The protocol, written before the first run of this form:

- Known sounds are the clips of the one fold of ESC-50 that the model never heard. There are three kinds of sounds that
  belong to none of its classes: spoken words (Speech Commands), melodies and quiet recordings. The last two are made
  here, in code. To choose by: 100 clips of each of five words, from speakers of the training part; 200 melodies; 100
  quiet recordings. To measure on: 200 clips of four other words, from speakers of the validation part; 100 other
  melodies; 50 other quiet recordings. So neither a word nor a speaker is in both.
- `astlib.calibrate.calibrate` chooses, with the values of PROTOCOL: temperature, thresholds, and the score for "none of
  these" that keeps most clips at no more than 5 % false alarms among the sounds of each kind.
- Measured is on clips that it did not choose by. The recordings of the fold are divided at random into two halves,
  ten times; each half is once chosen by and once measured on, which makes 20 decisions. A clip that is named rightly
  is kept in a certain fraction of the ten decisions that did not see it; the mean of that fraction is the recall in
  per cent of the recall without a decision. Its interval draws recordings. False alarms are the means over the 20
  decisions.
- The decision that is written was chosen by all clips of the fold. Its false alarms, on sounds that it never saw, are
  counted too.
- All of it is done twice: chosen by words alone, and by all three kinds. This shows what a score does with sounds of a
  kind that it was not chosen by.

If the model was trained with clips of Speech Commands, take the words of the measuring part out of that training first.
"""

import argparse
import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, replace
from datetime import UTC, datetime

import numpy as np
import torch
from torch import Tensor

import export_model
from astlib import AST, metrics, paths
from astlib.calibrate import (
    Calibration,
    Rejection,
    answers_of,
    calibrate,
    expected_calibration_error,
    held_out_background,
)
from astlib.data import ESC50, SpeechCommands
from astlib.decisions import Decision, known_score
from astlib.files import write_json
from astlib.ledger import provenance
from astlib.measure import evaluate
from astlib.predict import listen
from astlib.saved import weights_hash
from common import BUILD, ROOT, fail

RATE, SECONDS = 16_000, 5.0
WORDS = {
    "choose": ("down", "eight", "five", "go", "left"),  # from speakers of the training part
    "measure": ("one", "right", "up", "zero"),  # from speakers of the validation part
}
COUNTS = {
    "choose": {"words": 500, "melodies": 200, "quiet": 100},
    "measure": {"words": 200, "melodies": 100, "quiet": 50},
}
KINDS = tuple(COUNTS["choose"])
PROTOCOL = {
    "words": {part: list(words) for part, words in WORDS.items()},
    "counts": COUNTS,
    "seeds": {"choose": 1, "measure": 2, "halves": 0},
    "divisions": 10,
    "calibrate": {"precision": 0.9, "false_alarms": 0.05, "keep": 0.9},
}
Outputs = Mapping[str, Tensor]  # kind of sounds -> (sounds, classes)


def melody(rng: np.random.Generator) -> Tensor:
    """Notes of one instrument that does not exist: 4 to 12 of them, harmonic, each dying away. (80000,)"""
    t = np.arange(int(RATE * SECONDS)) / RATE
    notes, harmonics = rng.integers(4, 13), np.arange(1, rng.integers(2, 8))
    lowest, fade, tilt = 110 * 2 ** rng.uniform(0, 2.5), rng.uniform(1, 6), rng.uniform(0.5, 2)
    sound, length = np.zeros_like(t), SECONDS / notes
    for note, step in enumerate(rng.choice([0, 2, 4, 5, 7, 9, 11, 12], notes)):
        since = t - note * length
        there = (since >= 0) & (since < 1.5 * length)
        envelope = np.where(there, np.minimum(since / 0.02, 1) * np.exp(-fade * since.clip(0)), 0)
        waves = np.sin(2 * np.pi * lowest * 2 ** (step / 12) * harmonics[:, None] * since) / harmonics[:, None] ** tilt
        sound += envelope * waves.sum(axis=0)
    return torch.tensor(rng.uniform(0.1, 0.9) * sound / np.abs(sound).max(), dtype=torch.float32)


def quiet(rng: np.random.Generator) -> Tensor:
    """A microphone in an empty room: white noise 50 to 100 dB below full scale; one in ten is silent. (80000,)"""
    level = 0.0 if rng.random() < 0.1 else 10 ** rng.uniform(-5, -2.5)
    return torch.tensor(level * rng.standard_normal(int(RATE * SECONDS)), dtype=torch.float32)


def spoken(part: str) -> SpeechCommands:
    """The words of a part of the protocol, drawn once."""
    whole = SpeechCommands(split={"choose": "train", "measure": "validation"}[part], words=WORDS[part])
    rng = np.random.default_rng(PROTOCOL["seeds"][part])
    if part == "measure":
        return whole.select(rows=sorted(rng.choice(len(whole), COUNTS[part]["words"], replace=False)))
    classes = whole.targets.argmax(dim=1).numpy()
    each = COUNTS[part]["words"] // len(WORDS[part])
    rows = [rng.choice(np.flatnonzero(classes == c), each, replace=False) for c in range(len(whole.labels))]
    return whole.select(rows=sorted(np.concatenate(rows)))


def speakers(data: SpeechCommands) -> set[str]:
    return {name.rpartition("/")[2].partition("_")[0] for name in data.names}


def of_nothing(model: AST, part: str, words: SpeechCommands) -> Outputs:
    """The logits of the sounds of no class, kind by kind."""
    rng, counts = np.random.default_rng(PROTOCOL["seeds"][part]), COUNTS[part]
    sounds = {
        "words": [words.waveform(i) for i in range(len(words))],
        "melodies": [melody(rng) for _ in range(counts["melodies"])],
        "quiet": [quiet(rng) for _ in range(counts["quiet"])],
    }
    return {
        kind: torch.cat([one.logits for one in listen(model, ([s] for s in each))]) for kind, each in sounds.items()
    }


def joined(found: Outputs, kinds: tuple[str, ...]) -> Tensor:
    return torch.cat([found[kind] for kind in kinds])


def alone(rejection: Rejection) -> Decision:
    """A decision with nothing but one score."""
    return Decision(none_score=rejection.kind, none_threshold=rejection.threshold, none_weights=rejection.weights)


def passing(decision: Decision, logits: Tensor) -> np.ndarray:
    return (~decision.is_none(logits)).numpy()


class Study:
    """The known clips and the sounds of no class, and what the decisions of all divisions do with them."""

    def __init__(self, logits: Tensor, targets: Tensor, names: list[str], choose: Outputs, measure: Outputs) -> None:
        self.logits, self.targets, self.choose, self.measure = logits, targets, choose, measure
        self.recordings = np.array([name.split("-")[1] for name in names])
        self.confidence, self.right = answers_of(logits.softmax(dim=1), targets, multi_label=False)

    def found(self, rows: np.ndarray, kinds: tuple[str, ...]) -> Calibration:
        """The calibration by some of the known clips."""
        none = [self.choose[kind] for kind in kinds]
        return calibrate(self.logits[rows], self.targets[rows], False, none, **PROTOCOL["calibrate"])

    def halves(self) -> list[tuple[np.ndarray, np.ndarray]]:
        """(chosen by, measured on), numbers of clips, no recording in both."""
        rng, names, pairs = np.random.default_rng(PROTOCOL["seeds"]["halves"]), np.unique(self.recordings), []
        for _ in range(PROTOCOL["divisions"]):
            first = np.isin(self.recordings, rng.permutation(names)[: len(names) // 2])
            one, other = np.flatnonzero(first), np.flatnonzero(~first)
            pairs += [(one, other), (other, one)]
        return pairs

    def scores(self, kinds: tuple[str, ...], found: list[Calibration]) -> list[dict]:
        """What each score keeps and lets pass, over all divisions."""
        kept = {one.kind: np.zeros(len(self.logits)) for one in found[0].rejections}
        alarms = {score: {kind: [] for kind in KINDS} for score in kept}
        for (_, there), calibration in zip(self.halves(), found, strict=True):
            for one in calibration.rejections:
                decision = alone(one)
                kept[one.kind][there] += passing(decision, self.logits[there]) / PROTOCOL["divisions"]
                for kind in KINDS:
                    alarms[one.kind][kind].append(passing(decision, self.measure[kind]).mean())
        areas = {one.kind: np.mean([c.auroc for f in found for c in f.rejections if c.kind == one.kind])
                 for one in found[0].rejections}  # fmt: skip
        return [
            {
                "score": score,
                "chosen_by": list(kinds),
                "auroc": round(float(areas[score]), 4),
                "kept": round(float(kept[score][self.right == 1].mean()), 4),
                "kept_interval": self.interval(kept[score]),
                "false_alarms": {kind: round(float(np.mean(alarms[score][kind])), 4) for kind in KINDS},
            }
            for score in kept
        ]

    def interval(self, kept: np.ndarray) -> list[float]:
        """95 % for the fraction of the rightly named clips that keep their name; recordings are drawn."""
        ends = metrics.bootstrap(
            self.right[:, None],
            kept[:, None],
            lambda right, kept: float(kept[right == 1].mean()),
            2000,
            self.recordings,
        )
        return [round(end, 4) for end in ends]

    def held_out(self, found: list[Calibration]) -> dict:
        """Calibration error and thresholds on the halves that they were not chosen by."""
        rows = []
        for (_, there), calibration in zip(self.halves(), found, strict=True):
            p = calibration.decision.probabilities(self.logits[there], False)
            confidence, right = answers_of(p, self.targets[there], multi_label=False)
            sure = confidence >= calibration.thresholds.shared
            before = expected_calibration_error(self.confidence[there], self.right[there])
            rows.append([before, expected_calibration_error(confidence, right), right[sure].mean(), sure.mean()])
        before, after, precision, share = (round(float(value), 4) for value in np.mean(rows, axis=0))
        return {"ece_before": before, "ece_after": after, "precision_above": precision, "share_above": share}

    def clips(self, chosen: Calibration, kinds: tuple[str, ...]) -> dict:
        """Numbers to draw: the answers of the fold, and how far each sound is above the threshold of each score."""
        none, edges = joined(self.choose, kinds), {one.kind: one for one in chosen.rejections}
        margins: dict[str, dict[str, list[float]]] = {}
        for score in ("max_logit", "background"):
            edge = edges[score]
            known = known_score(self.logits, score, edge.weights).numpy()
            if score == "background":  # as scored by weights that were learned without the clip
                known = held_out_background(self.logits, none)[0] - edge.intercept
            sounds = {"known": known} | {
                kind: known_score(self.measure[kind], score, edge.weights).numpy() for kind in KINDS
            }
            margins[score] = {
                kind: [round(float(v), 3) for v in values - edge.threshold] for kind, values in sounds.items()
            }
        return {
            "confidence": [round(float(p), 5) for p in self.confidence],
            "right": [int(one) for one in self.right],
            "margins": margins,
        }


def shipped(study: Study, found: Calibration) -> dict:
    """What the decision that is written does with sounds that it never saw."""
    alarms = {}
    for kind in KINDS:
        passed = passing(found.decision, study.measure[kind])
        low, high = metrics.wilson(float(passed.mean()), len(passed))
        alarms[kind] = {"passed": int(passed.sum()), "sounds": len(passed), "interval": [round(low, 4), round(high, 4)]}
    sure = {kind: study.measure[kind].softmax(dim=1).amax(dim=1) for kind in KINDS}
    return {
        "without": {kind: round(float((p > 0.5).float().mean()), 4) for kind, p in sure.items()},
        "false_alarms": alarms,
        "before": asdict_of(found.before),
        "after": asdict_of(found.after),
        "best_temperature": round(found.best_temperature, 4),
        "shared_threshold": found.thresholds.shared,
        "classes_with_their_own": sum(found.thresholds.own),
        "decision": asdict(found.decision),
    }


def asdict_of(values: tuple) -> dict:
    return {key: round(value, 4) for key, value in values._asdict().items()}


def cached(name: str, key: list, make) -> dict[str, Tensor]:
    """What `make` returns, from the disk if it was made before."""
    digest = hashlib.sha256(json.dumps(key).encode()).hexdigest()[:16]
    path = BUILD / "decide" / f"{name}-{digest}.pt"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        content = make()
        torch.save(content, path.with_suffix(".tmp"))
        path.with_suffix(".tmp").rename(path)
    return torch.load(path, weights_only=True)


def known(model: AST, test: ESC50) -> dict:
    """Logits, targets and names of the fold."""
    if list(model.cfg.labels or ()) != list(test.labels):
        fail("the classes of the model are not those of ESC-50, in their order")
    found = evaluate(model, test)
    rows = {name: i for i, name in enumerate(test.names)}
    order = [rows[name] for name in found.names]
    return {"logits": found.logits, "targets": test.targets[order].float(), "names": list(found.names)}


def main(name: str) -> None:
    folder = ROOT / "models" / name
    if paths.find_data("esc50") is None or paths.find_data("speech_commands") is None:
        fail("this needs ESC-50 and Speech Commands, in ASTLIB_DATA")
    started = datetime.now(UTC).isoformat(timespec="seconds")
    run = json.loads((folder / "run.json").read_text(encoding="utf-8"))
    model = AST.from_pretrained(folder)
    test, words = ESC50(fold=run["parameters"]["fold"], split="test"), {part: spoken(part) for part in COUNTS}
    if speakers(words["choose"]) & speakers(words["measure"]):
        fail("a speaker is in both parts of the words")
    weights = weights_hash(model.state_dict())
    hashes = {part: one.manifest_hash() for part, one in {"known": test, **words}.items()}
    clips = cached("known", [weights, hashes["known"]], lambda: known(model, test))
    choose, measure = (
        cached(part, [weights, hashes[part], PROTOCOL], lambda part=part: of_nothing(model, part, words[part]))
        for part in COUNTS
    )
    study = Study(clips["logits"], clips["targets"], clips["names"], choose, measure)
    everyone, scores = np.arange(len(study.logits)), []
    for kinds in (("words",), KINDS):
        found = [study.found(rows, kinds) for rows, _ in study.halves()]
        scores += study.scores(kinds, found)
    chosen = study.found(everyone, KINDS)
    note = (
        f"Chosen by ci/decide.py on {len(everyone)} clips of fold {run['parameters']['fold']} of ESC-50 and "
        f"{len(joined(choose, KINDS))} sounds of none of its classes; measured in results/decisions.json."
    )
    chosen = replace(chosen, decision=replace(chosen.decision, note=note))
    commit, dirty = provenance.git_state()
    write_json(
        paths.results() / "decisions.json",
        {
            "about": "When the embedded model knows nothing: temperature, thresholds and the score for sounds of none "
            "of its classes, and what they do. Made by ci/decide.py, whose first lines are the protocol; chapter 08 "
            "draws it.",
            "protocol": PROTOCOL,
            "model": {"name": name, "run": run["id"], "fold": run["parameters"]["fold"], "weights": weights},
            "data": hashes,
            "commit": commit,
            "dirty": dirty,
            "hardware": provenance.hardware(torch.device("cpu")),
            "versions": provenance.versions(),
            "started": started,
            "accuracy": round(float(study.right.mean()), 4),
            "scores": scores,
            "held_out": study.held_out(found),
            "shipped": shipped(study, chosen),
            "clips": study.clips(chosen, KINDS),
        },
    )
    chosen.decision.save(folder)
    export_model.write_card(folder)
    for row in scores:
        by, alarms = "+".join(row["chosen_by"]), ", ".join(f"{kind} {p:.1%}" for kind, p in row["false_alarms"].items())
        print(f"{row['score']:12} chosen by {by:21} keeps {row['kept']:.1%}; false alarms: {alarms}")
    print(f"wrote decision.json and README.md in {folder}, and results/decisions.json")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("name", nargs="?", default="ast-tiny-esc50", help="a folder of models/")
    main(parser.parse_args().name)
