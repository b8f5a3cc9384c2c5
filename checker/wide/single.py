"""One input by itself: both ends of the difference of its logits.  (SPEC-16.7)"""

from collections.abc import Callable, Iterator

from checker.cells.paths import Paths
from checker.cells.terms import term_lower, term_upper
from checker.cells.weights import Ends, Scores
from checker.ground import record
from checker.ground.exact import Row
from checker.wide.final import Final
from checker.wide.frame import tables_of
from checker.wide.mlp import Neurons
from checker.wide.norm import NORM_SCALE

MAX_PRECISION = 4096

Column = Callable[[Row, Row], Ends]
"""Both ends of an entry, or of a difference of two, of a row with two ends."""


def _entry(k: int) -> Column:
    return lambda low, high: (low[k], high[k])


def _difference(j: int, right: int) -> Column:
    def ends(low: Row, high: Row) -> Ends:
        return low[j] - high[right], high[j] - low[right]

    return ends


@record
class Single:
    """One input and its weights: for each head and position its tables and the weight.

    ``precision``: bits of the weights, the largest of which is about one.
    """

    tokens: tuple[int, ...]
    direct: Paths
    heads: list[list[tuple[Paths, Ends]]]
    precision: int

    @property
    def blurred(self) -> bool:
        """Whether the weights of some head may all be nothing, as far as their ends tell."""
        lows = [[low for _, (low, _) in row] for row in self.heads]
        return not all(map(any, lows))

    def ends(self, column: Column) -> Ends:
        """Return both ends of what is read of the last token itself and of the means of all heads,
        over ``precision`` bits more than logits.

        Cost: per head and position nine operations, and per head five.
        """
        q = self.tokens[-1]
        straight = column(self.direct.eu_low[q], self.direct.eu_high[q])
        low, high = (end << self.precision for end in straight)
        for row in self.heads:
            values = []
            for i, (paths, _) in enumerate(row):
                t = self.tokens[i]
                least, most = column(paths.evou_low[t], paths.evou_high[t])
                place, _ = column(paths.pvou[i], paths.pvou[i])
                values.append((least + place, most + place))
            weights = [weight for _, weight in row]
            least, most = _mean(values, weights, self.precision)
            low += least
            high += most
        return low, high

    def reads(self, neurons: Neurons) -> list[Ends]:
        """Return both ends of what each neuron reads.  (SPEC-16.11)"""
        first = neurons.first
        columns = range(first, first + neurons.count)
        return [self.ends(_entry(k)) for k in columns]

    def spread(self, final: Final) -> Ends:
        """Return both ends of S of this input.  (SPEC-16.10)"""
        if final.even:
            return final.ends
        first = len(final.beta_low)
        least = 0
        most = 0
        for k in range(first, first + final.deviation.width):
            low, high = self.ends(_entry(k))
            least += max(low, -high, 0) ** 2
            most += max(-low, high) ** 2
        scale = NORM_SCALE + self.precision
        below, _ = final.deviation.ends(least, scale)
        _, above = final.deviation.ends(most, scale)
        return below, above


def _weighed(
    scores: Scores,
    tokens: tuple[int, ...],
    precision: int,
) -> Iterator[tuple[Paths, Ends]]:
    """Yield the tables and the weight of every position."""
    q = tokens[-1]
    tables = tables_of(scores, len(tokens))
    spans = []
    for i, t in enumerate(tokens):
        paths = tables[i].paths
        place = paths.eqkp[q][i]
        low = paths.eqke_low[q][t] + place
        high = paths.eqke_high[q][t] + place
        spans.append((low, high))
    top = max(high for _, high in spans)
    wide = (
        scores.slack.score_error
    )  # 16.12: lower ends are those of scores less by this
    below = [(top - high, top - low + wide) for low, high in spans]
    weights = scores.exp_ends(below, precision)
    for own, ends in zip(tables, weights, strict=True):
        yield own.paths, ends


def _mean(
    values: list[Ends],
    weights: list[Ends],
    precision: int,
) -> Ends:
    """Return both ends of N_h / W_h, over ``precision`` bits more than the values."""
    lows = [low for low, _ in values]
    highs = [high for _, high in values]
    least = sum(map(term_lower, weights, lows)) << precision
    most = sum(map(term_upper, weights, highs)) << precision
    whole_low = sum(low for low, _ in weights)
    whole_high = sum(high for _, high in weights)
    # a mean that is not negative is least over the largest denominator
    low = least // (whole_high if least >= 0 else whole_low)
    high = -(-most // (whole_low if most >= 0 else whole_high))
    return low, high


def is_wrong(
    scores: list[Scores],
    final: Final | None,
    neurons: Neurons | None,
    right: int,
    tokens: tuple[int, ...],
    answers: list[int],
    mu: int,
    drop: int,
) -> bool | None:
    """Return True if some answer is ``drop`` or more above the right logit, False if all of them
    stay more than ``mu`` below it, None if 4 096 bits do not tell.  (SPEC-16.7)

    Cost: at every precision, for each head and position an addition and two exponentials, and for
          each answer, column of Y and neuron that is asked for, nine operations and five.
    """
    first, *_ = scores
    ledger = first.tables.ledger
    asked = len(answers)
    if final and not final.even:
        asked += final.deviation.width
    if neurons:
        asked += neurons.count
    means = len(scores) * asked
    positions = len(tokens)
    precision = min(2 * first.precision, MAX_PRECISION)
    while precision <= MAX_PRECISION:
        added = means * (7 * positions + 3) + len(scores) * positions
        ledger.charge(mul=2 * means * (positions + 1), add=added)
        heads = [list(_weighed(own, tokens, precision)) for own in scores]
        single = Single(tokens, first.tables.paths, heads, precision)
        precision *= 2
        if single.blurred:
            continue
        spread = single.spread(final) if final else (0, 0)
        reads = single.reads(neurons) if neurons else []
        found = []
        for j in answers:
            low, high = single.ends(_difference(j, right))
            if final:
                low += final.below(j, right, spread) << single.precision
                high += final.above(j, right, spread) << single.precision
            if neurons:
                least, most = neurons.added(j, right, reads)
                low += least
                high += most
            found.append((low, high))
        if any(low >= drop << single.precision for low, _ in found):
            return True
        if all(high + (mu << single.precision) < 0 for _, high in found):
            return False
    return None
