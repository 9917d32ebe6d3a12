"""Answers to the exercises of chapter 15, as readers might hand them in, written apart from the checker's own list."""

from itertools import groupby


def right_events(spans, probabilities, threshold):
    found, running = [], None
    for i in range(len(spans)):
        c = int(probabilities[i].argmax())
        if probabilities[i, c] <= threshold:
            running = None
        elif running == c:
            found[-1][2] = float(spans[i, 1])
        else:
            found.append([c, float(spans[i, 0]), float(spans[i, 1])])
            running = c
    return [tuple(event) for event in found]


def with_groupby(spans, probabilities, threshold):
    best = probabilities.argmax(dim=1).tolist()
    sure = probabilities.amax(dim=1) > threshold
    keys = [c if ok else None for c, ok in zip(best, sure.tolist(), strict=True)]
    found = []
    for key, group in groupby(range(len(keys)), key=lambda i: keys[i]):
        places = list(group)
        if key is not None:
            found.append((key, float(spans[places[0], 0]), float(spans[places[-1], 1])))
    return found


def never_closed(spans, probabilities, threshold):
    found, begin, running, end = [], None, None, None
    for i in range(len(spans)):
        value, c = probabilities[i].max(dim=0)
        c = int(c) if value > threshold else None
        if c != running:
            if running is not None:
                found.append((running, begin, end))
            running, begin = c, float(spans[i, 0])
        end = float(spans[i, 1])
    return found


def no_threshold(spans, probabilities, threshold):
    return right_events(spans, probabilities, 0)


def one_each(spans, probabilities, threshold):
    best = probabilities.max(dim=1)
    rows = zip(spans.tolist(), best.values, best.indices, strict=True)
    return [(int(c), begin, end) for (begin, end), p, c in rows if p > threshold]


def ends_early(spans, probabilities, threshold):
    shifted = spans.clone()
    shifted[:, 1] = spans[:, 0]
    return right_events(shifted, probabilities, threshold)


def over_gaps(spans, probabilities, threshold):
    loud = probabilities.amax(dim=1) > threshold
    return right_events(spans[loud], probabilities[loud], threshold)


WRONG = {
    "ex-15-days": [("random", "days that the network has heard"), ("clip", "other words"), ("machine", "one fold")],
    "ex-15-balanced": [
        (50, "There are ten of them"),
        (1, "without balancing"),
        (90 / 10, "still 100 in all"),
        (4, "too small"),
    ],
    "ex-15-clips": [(96, "ten points"), (1540, "2.5 points"), (245, "widest case"), (5000, "too large")],
    "ex-15-events": [
        (never_closed, "Close it after the loop"),
        (no_threshold, "not above the threshold"),
        (one_each, "Join neighbours"),
        (ends_early, "last window begins"),
        (over_gaps, "two events"),
    ],
}
RIGHT = {"ex-15-clips": [385, 377], "ex-15-events": [right_events, with_groupby], "ex-15-balanced": [100 / 20]}
