"""A report in a few lines of text.

Chapter: book/how_to_run.md
"""

from .result import Report, percent


def summary(found: Report) -> str:
    """Say the most important numbers of a report in a few lines.

    Args:
        found: the report.

    Returns:
        Lines of text.
    """
    lines = [f"{found.title}: {found.clips:,} clips, {len(found.labels)} classes; 95 % intervals in brackets"]
    lines += [f"  {name:24} {value}" for name, value in results(found)]
    worst = sorted((row for row in found.classes if row.hits < row.clips), key=lambda row: row.hits / row.clips)[:3]
    if worst:
        lines.append("  worst classes            " + ", ".join(f"{r.label} {r.hits} of {r.clips}" for r in worst))
    return "\n".join([*lines, *(f"careful: {warning}" for warning in found.warnings)])


def results(found: Report) -> list[tuple[str, str]]:
    """List the main results of a report, and what to compare them with.

    Args:
        found: the report.

    Returns:
        Name and value of each, as text.
    """
    base = found.baseline
    if found.accuracy is not None and found.balanced_accuracy is not None:
        listed = [("accuracy", str(found.accuracy)), ("balanced accuracy", str(found.balanced_accuracy))]
        listed.append((f'always "{found.majority}"', percent(found.majority_share)))
        said = base if isinstance(base, str) else f"{base.accuracy}, balanced {base.balanced_accuracy}"
    else:
        listed = [("mAP", str(found.mean_average_precision)), ("mean F1", percent(found.macro_f1))]
        listed.append(("mAP of random scores", percent(found.chance)))
        said = base if isinstance(base, str) else f"mAP {percent(base.mean_average_precision)}"
    listed.append(("simple baseline", f"none: {said}" if isinstance(base, str) else said))
    if found.refused:
        share = percent(found.refused / found.clips)
        listed.append(("none of the classes", f"{found.refused} clips, {share}, by the model's decision"))
    return listed
