"""The released sub-cubic bound of arXiv 2406.11779, `attention_handling = mean_query+diff`, in
float64: it is not sound.

Written from the description of the released code, in the project's notation, for the tests: what it
certifies falsely, no strategy here may certify.  Three defects, each as in the release:

    W1  a signed deviation from the mean attention is multiplied by the largest wrong logit,
    whatever its sign
    W2  one end of the attention interval is looked at
    W3  the cross terms of a rank-one split of the attention scores are dropped

The direct path is handled as `mean_query`, its deviation by the range of the row: tighter than
released, and the same where all rows are equal.  `plus_one` counts the tokens up to m - g, as is
right, instead of those below m - g.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import combinations, product
from math import comb

import numpy as np
from numpy.typing import NDArray

from certify.model.paths import Paths

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Released:
    """The bound over one model; `scores` and `errors` are what is known of EQKE, `errors` per
    query.
    """

    paths: Paths
    scores: Array
    errors: Array
    plus_one: bool = False

    @property
    def positions(self) -> int:
        return len(self.paths.PVOU)

    def ends(self, q: int, m: int, others: int, gap: int) -> tuple[float, float]:
        """Return the attention that all tokens m together get, at least and at most."""
        keys = self.scores[q, : m - gap + 1]
        low = high = 0.0
        if others:
            low, high = (self.scores[q, m] - edge(keys) for edge in (np.max, np.min))
        places = np.sort(self.paths.EQKP[q, :-1] - self.paths.EQKP[q, -1])
        count, found = self.positions - others - (q == m), []
        for reach, ordered in (
            (low - self.errors[q], places),
            (high + self.errors[q], places[::-1]),
        ):
            ours, rest = (
                [*ordered[:count]] + [0.0] * (q == m),
                [*ordered[count:]] + [0.0] * (q != m),
            )
            parts = [
                np.exp(np.array(part) / np.sqrt(self.paths.d_head)).sum() for part in (ours, rest)
            ]
            weight = parts[0] * np.exp(reach / np.sqrt(self.paths.d_head))
            found.append(float(weight / (weight + parts[1])))
        return found[0], found[1]

    def bounds(self, m: int, others: int, gaps: dict[int, int]) -> dict[int, float]:
        """Return per query the bound on the largest wrong logit less that of m; no bound where the
        group is empty.
        """
        paths = self.paths
        held = {q: g for q, g in gaps.items() if g <= m and (q == m or q <= m - g)}
        if not held:
            return {}
        wrong = np.delete(np.arange(len(paths.EVOU[0])), m)
        mean = paths.EU.mean(axis=0)
        slack = np.ptp(paths.EU - mean, axis=1)
        direct = (mean - mean[m] + (paths.PVOU - paths.PVOU[:, [m]]).max(axis=0))[wrong]
        copied = (paths.EVOU[m] - paths.EVOU[m, m])[wrong]
        width = np.ptp(paths.EVOU[: m - min(held.values()) + 1], axis=1).max()
        ends = {
            q: self.ends(q, m, others, g)[int(copied.max() >= width)] for q, g in held.items()
        }  # W2
        average = float(np.mean([*ends.values()]))
        base = (direct + average * copied).max() + (1 - average) * width
        return {
            q: float(base + slack[q] + (end - average) * (copied.max() - width))
            for q, end in ends.items()
        }  # W1

    def groups(self) -> list[tuple[int, int, int, int]]:
        """Return the certified groups: query, maximum, positions that do not hold it, gap."""
        found = []
        vocab = len(self.paths.EQKE)
        for m, others in product(range(vocab), range(1, self.positions)):
            gaps = dict.fromkeys(range(m + 1), 1)
            for gap in range(vocab - 1, 0, -1):
                gaps |= {
                    q: gap
                    for q, bound in self.bounds(m, others, dict.fromkeys(gaps, gap)).items()
                    if bound < 0
                }
            final = self.bounds(m, others, gaps)
            found += [(q, m, others, gaps[q]) for q, bound in final.items() if bound < 0]
        return found

    def count(self) -> int:
        """Return how many sequences are said to be right, beside those of one token."""
        total = 0
        for q, m, others, gap in self.groups():
            free = others - (q != m)
            total += (
                comb(self.positions - 1, free) * (m - gap + self.plus_one) ** free if free else 1
            )
        return total

    def inputs(self) -> set[tuple[int, ...]]:
        """Return every sequence of a certified group."""
        found = set()
        for q, m, others, gap in self.groups():
            free = others - (q != m)
            for places in combinations(range(self.positions - 1), free):
                for tokens in product(range(m - gap + 1), repeat=free):
                    row = [m] * (self.positions - 1) + [q]
                    for place, token in zip(places, tokens, strict=True):
                        row[place] = token
                    found.add(tuple(row))
        return found


def exactly(paths: Paths, *, plus_one: bool = False) -> Released:
    """Return the bound with the scores multiplied out."""
    return Released(paths, paths.EQKE, np.zeros(len(paths.EQKE)), plus_one)


def rank_one(paths: Paths, left: Array, right: Array, query: Array, key: Array) -> Released:
    """Return the bound with EQKE = left right split along unit vectors, `max_diff_exact`: cross
    terms dropped (W3).
    """
    scores = np.outer(query, key) * float(query @ left @ right @ key)
    rest = (left - np.outer(query, query @ left)) @ (right - np.outer(right @ key, key))
    return Released(paths, scores, np.ptp(rest, axis=1))


def margin(paths: Paths, tokens: tuple[int, ...]) -> float:
    """Return the logit of the right answer less the largest other, in float64."""
    row, m = np.array(tokens), max(tokens)
    scores = (paths.EQKE[row[-1], row] + paths.EQKP[row[-1], np.arange(len(row))]) / np.sqrt(
        paths.d_head
    )
    weights = np.exp(scores - scores.max())
    logits = paths.EU[row[-1]] + weights / weights.sum() @ (paths.EVOU[row] + paths.PVOU)
    return float(logits[m] - np.delete(logits, m).max())
