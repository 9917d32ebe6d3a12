"""Clips into folds: every class spread evenly, and clips that belong together on one side.

Clips belong together if they come from one recording, speaker, device or day. A network recognises what it was trained
on, so a test on the other clips of a recording measures memory.

Chapter: notebooks/15_your_own_sounds.ipynb
"""

import re
import warnings
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from ..errors import InvalidInput
from .splits import Part
from .tables import Clip, column_named, plain

# Columns whose clips of one value probably belong together; see `tables.plain` for the spelling.
TELLING_COLUMNS = (
    *("group", "groupid", "speaker", "speakerid", "recording", "recordingid", "device", "deviceid", "session"),
    *("sessionid", "uuid", "subject", "subjectid", "patient", "patientid", "person", "user", "userid", "clientid"),
    *("individual", "animal", "site", "location", "fsid", "source", "sourcefile", "srcfile"),
)


@dataclass(frozen=True)
class Grouping:
    """Which clips belong together.

    Attributes:
        by: the column, or the regular expression.
        groups: one per clip.
        notes: what the reader should know, one sentence each.
    """

    by: str
    groups: tuple[str, ...]
    notes: tuple[str, ...] = ()

    @property
    def sizes(self) -> dict[str, int]:
        """Number of clips by group, the largest first."""
        return dict(Counter(self.groups).most_common())


@dataclass(frozen=True)
class Division:
    """What each clip is for.

    Attributes:
        parts: one per clip: its part, or its fold from 1; 0 if it is for training in every fold.
        notes: what the reader should know, one sentence each.
    """

    parts: tuple[Part | int, ...]
    notes: tuple[str, ...] = ()


def grouping(clips: Sequence[Clip], by: str | None) -> Grouping | None:
    """Find out which clips belong together.

    Args:
        clips: with the columns of their list.
        by: a column of the list, or a regular expression with one pair of parentheses that is searched in the names of
            the clips. None or "": the column `group`, if there is one.

    Returns:
        The groups, or None if every clip stands alone. A clip without a group is one of its own.

    Raises:
        InvalidInput: there is no such column, and it is no such expression; or it matches no clip.
    """
    names = list(clips[0].columns)
    is_expression = by is not None and "(" in by
    column = None if is_expression else column_named(names, (plain(by or "group"),))
    if column is None and not by:
        return None
    if column is not None:
        found = [clip.columns.get(column, "") for clip in clips]
    else:
        expression = _expression(str(by), names)
        matches = [expression.search(clip.name) for clip in clips]
        found = [(match[1] or "") if match else "" for match in matches]
    what = column or str(by)
    alone = [clip.name for clip, group in zip(clips, found, strict=True) if not group]
    if len(alone) == len(clips):
        raise InvalidInput(f"{what} gives none of the clips a group; the first clip is called {clips[0].name}")
    notes = (f"{len(alone)} of {len(clips)} clips have no group by {what} and stand alone: {_some(alone)}.",)
    # No name of a group has the separator of paths in front, so that a clip on its own is not taken for a group.
    groups = tuple(group or f"/{clip.name}" for clip, group in zip(clips, found, strict=True))
    return Grouping(what, groups, notes if alone else ())


def _expression(by: str, names: list[str]) -> re.Pattern[str]:
    columns = f"a column of the list ({_some(names)}) or " if names else ""
    example = 'such as "([^/_]+)_" for what stands before the first underscore of a file name'
    try:
        expression = re.compile(by)
    except re.error as error:
        raise InvalidInput(
            f"the group {by!r} is no regular expression ({error}); give {columns}one {example}"
        ) from None
    if expression.groups != 1:
        raise InvalidInput(
            f"the group must be {columns}a regular expression with one pair of parentheses, {example}; found {by!r}"
        )
    return expression


def divide(clips: Sequence[Clip], folds: int, seed: int, groups: Grouping | None) -> Division:
    """Divide clips as their list or their folders say, or deal them into folds.

    Args:
        clips: either all have a part or none has.
        folds: how many; fewer if there are fewer groups.
        seed: another number deals the clips in another way.
        groups: which clips belong together; None: each stands alone.

    Returns:
        The part or the fold of each clip.

    Raises:
        InvalidInput: fewer than 2 folds.
    """
    if folds < 2:
        raise InvalidInput(f"folds must be 2 or more: one is for testing, the others are for training; got {folds}")
    given = [clip.part for clip in clips if clip.part is not None]
    if given:
        return _without_test(tuple(given), _torn(clips, given, groups))
    if groups is None:
        return Division(tuple(deal([clip.labels for clip in clips], folds, seed)), tuple(_unused(clips)))
    dealt = deal_groups([clip.labels for clip in clips], groups.groups, folds, seed)
    notes, count = [], max(dealt)
    if count < folds:
        notes.append(f"There are {count} folds and not {folds}, because by {groups.by} there are too few groups.")
    if bound := sorted({label for clip, fold in zip(clips, dealt, strict=True) if not fold for label in clip.labels}):
        notes.append(
            f"{dealt.count(0)} clips are for training only, because a class of theirs is in one group alone "
            f"by {groups.by}: {_some(bound)}."
        )
    return Division(tuple(dealt), tuple(notes))


def deal(labels: Sequence[tuple[str, ...]], folds: int, seed: int) -> list[int]:
    """Deal clips that stand alone into folds, with every class spread evenly.

    Args:
        labels: of each clip. A clip with several labels counts as one of its rarest label.
        folds: how many.
        seed: of the order within a class.

    Returns:
        A fold for every clip, from 1. The only clip of a class gets 0: it is for training.
    """
    rarest, counts = _rarest(labels)
    members: dict[str, list[int]] = {label: [] for label in sorted(set(rarest))}
    for i in np.random.default_rng(seed).permutation(len(labels)).tolist():
        members[rarest[i]].append(i)
    dealt, first = [0] * len(labels), 0
    for label, mine in members.items():
        if counts[label] > 1:
            # A small class has a clip in fold 1 and in the next ones, as far as its clips go.
            start = first if len(mine) >= folds else 0
            for place, i in enumerate(mine, start):
                dealt[i] = place % folds + 1
            first = (start + len(mine)) % folds if len(mine) >= folds else first
    return dealt


def deal_groups(labels: Sequence[tuple[str, ...]], groups: Sequence[str], folds: int, seed: int) -> list[int]:
    """Deal groups of clips into folds, with every class spread as evenly as the groups allow.

    scikit-learn's `StratifiedGroupKFold` deals. The groups with a class that no other group has are for training in
    every fold, because a test on such a class would be of something never heard; unless hardly any group remains.

    Args:
        labels: of each clip. A clip with several labels counts as one of its rarest label.
        groups: of each clip.
        folds: how many; fewer if there are fewer groups.
        seed: of the order.

    Returns:
        A fold for every clip, from 1; 0 for a clip that is for training in every fold.
    """
    from sklearn.model_selection import StratifiedGroupKFold  # takes a second, and few need it

    owners = defaultdict[str, set[str]](set)
    for group, mine in zip(groups, labels, strict=True):
        for label in mine:
            owners[label].add(group)
    bound = {next(iter(having)) for having in owners.values() if len(having) == 1}
    if len(set(groups) - bound) < 2:
        bound = set()
    rarest, _ = _rarest(labels)
    rows = np.array([i for i, group in enumerate(groups) if group not in bound])
    classes = np.unique([rarest[i] for i in rows], return_inverse=True)[1]
    members = np.unique([groups[i] for i in rows], return_inverse=True)[1]
    count = min(folds, int(members.max()) + 1, int(np.bincount(classes).max()))
    dealt = np.zeros(len(labels), int)
    if count < 2:
        return dealt.tolist()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that a class has fewer clips than there are folds
        splitter = StratifiedGroupKFold(count, shuffle=True, random_state=seed)
        for fold, (_, test) in enumerate(splitter.split(rows, classes, members), 1):
            dealt[rows[test]] = fold
    return dealt.tolist()


def _rarest(labels: Sequence[tuple[str, ...]]) -> tuple[list[str], Counter[str]]:
    """The rarest label of each clip ("" if it has none), and how many clips have each."""
    counts = Counter(label for mine in labels for label in mine or ("",))
    return [min(mine, key=lambda label: (counts[label], label), default="") for mine in labels], counts


def _without_test(parts: tuple[Part | int, ...], notes: list[str]) -> Division:
    """Clips that are divided already. The validation part is for testing if there is no other."""
    if "validation" in parts and "test" not in parts:
        notes.append("There is no test part, so the validation part is for testing, and none is left to choose by.")
        parts = tuple("test" if part == "validation" else part for part in parts)
    return Division(parts, tuple(notes))


def _torn(clips: Sequence[Clip], parts: Sequence[Part | int], groups: Grouping | None) -> list[str]:
    """A note on groups that the given division tears apart: the chosen ones, or a column that looks like groups."""
    column = column_named(clips[0].columns, TELLING_COLUMNS)
    if groups is None and column:
        groups = Grouping(column, tuple(clip.columns[column] or f"/{clip.name}" for clip in clips))
    if groups is None:
        return []
    where = defaultdict[str, set[Part | int]](set)
    for group, part in zip(groups.groups, parts, strict=True):
        where[group].add(part)
    torn = [group for group, found in where.items() if len(found) > 1]
    if not torn:
        return []
    what = "folds" if isinstance(parts[0], int) else "parts"
    return [
        f"{len(torn)} of {len(where)} groups by {groups.by} have clips in several {what} ({_some(torn)}): a test on a "
        "group that was trained on measures memory too."
    ]


def _unused(clips: Sequence[Clip]) -> list[str]:
    """A note on a column that looks like groups, while the clips are dealt one by one."""
    column = column_named(clips[0].columns, TELLING_COLUMNS)
    if column is None:
        return []
    count = len({clip.columns[column] for clip in clips})
    if not 1 < count < len(clips):
        return []
    return [
        f"The column {column} is not used, so clips of one {column} are both for training and for testing. If they "
        f"belong together, keep them together: --group {column}."
    ]


def _some(names: Iterable[str], most: int = 5) -> str:
    names = [name.lstrip("/") for name in names]
    return ", ".join(names[:most]) + (f" and {len(names) - most} more" if len(names) > most else "")
