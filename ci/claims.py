"""The claims of the AST paper one by one, with what this book's runs and counts say about each.

The verdict of a claim that rests on runs follows from the ledger, by the rule of `results/protocol.json`; that of a
claim that rests on counting follows from the count. So the page changes when the ledger does. `ci/status.py` writes it.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch

from astlib import networks
from astlib.ledger import Ledger, original_logs, paper
from astlib.recipes import RECIPES
from astlib.reproduce import SCALES, compare
from astlib.reproduce.compare import Row

VERDICTS = ("reproduced in small", "not settled", "refuted", "not tested")
Finding = tuple[str, str]  # a verdict, and the evidence in a sentence


@dataclass(frozen=True)
class Claim:
    """A claim of the paper.

    Attributes:
        words: what the paper claims, in our words.
        where: section or table of the paper, and the chapter that looks into it.
        find: the verdict and its evidence, from the ledger.
    """

    words: str
    where: str
    find: Callable[[Ledger], Finding]


def published(name: str) -> float:
    return next(row["value"] for row in paper()["rows"] if row["id"] == name)


def row_of(name: str, ledger: Ledger) -> Row:
    table = name.partition("/")[0]
    return next(row for row in compare.rows_of(table, "tiny", ledger) if row.cell.name == name)


def against_reference(name: str, expected: int) -> Callable[[Ledger], Finding]:
    """A claim about a setting and the reference of its table: the sign that the paper gives to their difference."""

    def find(ledger: Ledger) -> Finding:
        row = row_of(name, ledger)
        if row.paired is None or row.p_holm is None:
            return "not tested", f"`{name}` was not run on all five folds."
        same = math.copysign(1, row.paired.difference) == expected
        words = f"`{name}` against the reference of its table: {compare.claim(row)}."
        if row.settled:
            return ("reproduced in small" if same else "refuted"), words
        return "not settled", words

    return find


def equal_to_reference(name: str) -> Callable[[Ledger], Finding]:
    """A claim that a choice does not matter. A small difference that is not shown to be small does not show that."""

    def find(ledger: Ledger) -> Finding:
        row = row_of(name, ledger)
        if row.paired is None or row.p_holm is None:
            return "not tested", f"`{name}` was not run on all five folds."
        words = f"`{name}` against the reference of its table: {compare.claim(row)}."
        return ("refuted" if row.settled else "reproduced in small" if row.equal else "not settled"), words

    return find


def at_the_papers_scale(*names: str) -> Callable[[Ledger], Finding]:
    """A claim about a number itself, which only runs of the paper's size can bear out."""

    def find(ledger: Ledger) -> Finding:
        found = [compare.obtained(SCALES["paper"][name], ledger) for name in names]
        runs = sum(len(one.records) for one in found)
        wanted = sum(one.wanted for one in found)
        words = f"{runs} of the {wanted} runs at the paper's scale were made ({', '.join(f'`{n}`' for n in names)})."
        return ("not tested" if runs < wanted else "not settled"), words

    return find


def parameters(ledger: Ledger) -> Finding:
    counts = {}
    for name in ("audioset", "audioset-psla"):
        with torch.device("meta"):
            network = networks.build(RECIPES[name].model_config([str(i) for i in range(527)]))
        counts[name] = sum(p.numel() for p in network.parameters())
    ratio = counts["audioset"] / counts["audioset-psla"]
    words = (
        f"Counted: AST has {counts['audioset'] / 1e6:.1f} million parameters, PSLA, a hybrid of the same authors, "
        f"{counts['audioset-psla'] / 1e6:.1f} million: {ratio:.1f} times as many."
    )
    return ("refuted" if ratio > 1 else "reproduced in small"), words


def any_length(ledger: Ledger) -> Finding:
    network = networks.build(RECIPES["esc50-tiny"].replace(init="scratch").model_config(["a", "b"]))
    try:
        network(torch.zeros(1, 300, 128))
    except ValueError:
        return "refuted", (
            "As built, original and astlib refuse an input of another length than the one they were made for; the "
            "position embedding has to be resized first."
        )
    return "not settled", "The network accepted an input of another length."


def fewer_epochs(ledger: Ledger) -> Finding:
    log = original_logs()["runs"]["audioset"]["value"]
    return "not tested", (
        f"The released log bears it out for its own run: mAP {log[0]:.3f} after one epoch, {max(log):.3f} at best "
        f"within {len(log)}. No run of ours on AudioSet was made."
    )


def averaging(ledger: Ledger) -> Finding:
    log = original_logs()["runs"]["audioset"]
    gain = log["weights_averaged"]["mAP"] - log["value"][-1]
    found = row_of("mixtures/last-epoch", ledger)
    runs = len(found.found.records)
    if found.paired is not None and found.p_holm is not None and found.settled:
        same = found.paired.difference < 0
        return ("reproduced in small" if same else "refuted"), f"`mixtures/last-epoch`: {compare.claim(found)}."
    return "not settled", (
        f"In the released log {gain:+.3f} mAP. In small, on mixtures, {runs} of {found.found.wanted} runs, which were "
        "still climbing where they ended."
    )


CLAIMS = (
    Claim("AST reaches 0.459 mAP on AudioSet, and 0.485 as an ensemble.", "table 1; chapter 10",
          at_the_papers_scale("audioset/full", "audioset/ensemble-m")),
    Claim("On the balanced part it reaches 0.347.", "table 1; chapter 10", at_the_papers_scale("audioset/balanced")),
    Claim("On ESC-50 it reaches 88.7 % from ImageNet and 95.6 % from AudioSet.", "table 7; chapter 9",
          at_the_papers_scale("esc50/ast-s", "esc50/ast-p")),
    Claim("On Speech Commands it reaches 98.11 % from ImageNet, and no more from AudioSet.", "table 7; chapter 11",
          at_the_papers_scale("speech-commands/ast-s", "speech-commands/ast-p")),
    Claim("Pretraining on ImageNet helps much.", "table 2; chapter 12", against_reference("pretraining/none", -1)),
    Claim("The distilled DeiT is the best start of four.", "table 3; chapter 12",
          against_reference("weights/deit-distilled", 1)),
    Claim("Losing the plane of the positions costs much.", "table 4; chapter 12",
          against_reference("position/reinit", -1)),
    Claim("Nearest and bilinear interpolation of the positions are alike.", "table 4; chapter 12",
          equal_to_reference("position/nearest")),
    Claim("More overlap of the patches gives a better result.", "table 5; chapter 12",
          against_reference("overlap/0", -1)),
    Claim("From random weights, slices of time are better than squares.", "table 6; chapter 12",
          against_reference("patch/128x2", 1)),
    Claim("Averaging weights over epochs helps.", "table 1; chapter 10", averaging),
    Claim("AST needs fewer epochs than a hybrid: five on AudioSet.", "section 3.1; chapters 10 and 13", fewer_epochs),
    Claim("AST has fewer parameters than hybrids of CNN and attention.", "section 1; chapter 13", parameters),
    Claim("AST takes inputs of any length without a change.", "section 1; chapters 2 and 16", any_length),
)  # fmt: skip


def as_markdown(ledger: Ledger) -> str:
    """The claims by verdict, and the counts of both."""
    found = [(claim, *claim.find(ledger)) for claim in CLAIMS]
    counts = ", ".join(f"{sum(v == verdict for _, v, _ in found)} {verdict}" for verdict in VERDICTS)
    lines = [f"**{len(found)} claims: {counts}.**\n"]
    for verdict in VERDICTS:
        these = [(claim, words) for claim, v, words in found if v == verdict]
        lines.append(f"### {verdict.capitalize()}\n")
        if not these:
            lines.append("None.\n")
        lines += [f"- **{claim.words}** ({claim.where}) {words}" for claim, words in these]
        lines.append("")
    return "\n".join(lines)
