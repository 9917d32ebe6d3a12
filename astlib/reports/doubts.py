"""What makes the numbers of a report doubtful, in sentences.

Chapter: book/how_to_run.md
"""

from collections.abc import Callable, Iterable
from itertools import chain

from .result import ClassRow, Report, percent

FEW_CLIPS = 10  # of a class: its recall is known only within some 50 points
FEW_GROUPS = 5  # too few to say anything about new ones
WIDE = 0.1  # width of an interval that is worth a warning
SHOWN = 5  # names in one sentence
USEFUL = 0.3  # average precision of a class that a better threshold would let through


def doubts(found: Report) -> tuple[str, ...]:
    """Look for what makes the numbers of a report doubtful.

    Args:
        found: the report.

    Returns:
        One sentence for each finding, the weightiest first.
    """
    checks: tuple[Callable[[Report], Iterable[str]], ...] = (
        _not_better_than_the_majority,
        _not_better_than_the_baseline,
        _never_given,
        _few_groups,
        _wide,
        _not_tested,
        _unusable,
    )
    return tuple(chain.from_iterable(check(found) for check in checks))


def _not_better_than_the_majority(found: Report) -> Iterable[str]:
    if found.accuracy is not None and (found.accuracy.low or 0) <= found.majority_share and len(found.labels) > 1:
        yield (
            f'the accuracy is not clearly above that of always answering "{found.majority}", '
            f"{percent(found.majority_share)}: look at the recall of each class"
        )


def _not_better_than_the_baseline(found: Report) -> Iterable[str]:
    base = found.baseline
    if isinstance(base, str):
        return
    if base.accuracy is not None and base.p_value is not None and found.accuracy is not None:
        if found.accuracy.value <= base.accuracy.value or base.p_value > 0.05:
            yield (
                f"the simple baseline may be as good: {base.only_network} clips only the network got right, "
                f"{base.only_baseline} only the baseline (p = {base.p_value:.2g})"
            )
    elif found.mean_average_precision.value <= base.mean_average_precision:
        yield (
            f"the simple baseline has a higher mAP, {percent(base.mean_average_precision)} against "
            f"{percent(found.mean_average_precision.value)}"
        )


def _never_given(found: Report) -> Iterable[str]:
    never = [row for row in found.classes if row.clips and not row.given]
    if not never:
        return
    text = f"{_named(never)} never recognised: no test clip was given {'it' if len(never) == 1 else 'them'}."
    if found.multi_label and any((row.average_precision or 0) >= USEFUL for row in never):
        yield f"{text} Their scores are better than that: astlib calibrate chooses a threshold for each class"
    else:
        yield f"{text} More clips help most; --set balanced=True draws those of rare classes more often"


def _few_groups(found: Report) -> Iterable[str]:
    if not 1 <= len(found.groups) < FEW_GROUPS:
        return
    names = ", ".join(row.group for row in found.groups)
    many = f"{len(found.groups)} groups" if len(found.groups) > 1 else "one group"
    ends = "" if len(found.groups) == 1 else f", from {percent(found.groups[0].right.value)} right to "
    ends += "" if len(found.groups) == 1 else percent(found.groups[-1].right.value)
    yield (
        f"all test clips are of {many} ({names}){ends}: the intervals are about more clips of the same, and say "
        "nothing about new ones. astlib train --folds all tests on every group"
    )


def _wide(found: Report) -> Iterable[str]:
    main = found.accuracy or found.mean_average_precision
    few = [row for row in found.classes if 0 < row.clips < FEW_CLIPS]
    if main.low is not None and main.high is not None and main.high - main.low > WIDE:
        yield (
            f"the test part has {found.clips} clips, so {'accuracy' if found.accuracy else 'mAP'} is known only to be "
            f"between {percent(main.low)} and {percent(main.high)}"
        )
    if few:
        which = _named(few) if len(few) <= SHOWN else f"{len(few)} of {len(found.classes)} classes"
        yield f"fewer than {FEW_CLIPS} test clips: {which}. Their recall is hardly known"


def _not_tested(found: Report) -> Iterable[str]:
    missing = [row for row in found.classes if not row.clips]
    if missing:
        yield f"no test clip: {_named(missing)}. Nothing is known about {'it' if len(missing) == 1 else 'them'}"


def _unusable(found: Report) -> Iterable[str]:
    if found.unusable:
        expected = found.clips + len(found.unusable)
        yield f"{len(found.unusable)} of {expected:,} test clips could not be used; the report lists them"


def _named(rows: list[ClassRow]) -> str:
    """The first names of a list, and how many more there are."""
    names = ", ".join(row.label for row in rows[:SHOWN])
    return f"{names} and {len(rows) - SHOWN} more" if len(rows) > SHOWN else names
