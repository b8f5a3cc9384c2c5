"""A proof of leaves: runs of inputs in lexicographic order, each input evaluated.
(SPEC-14.1, SPEC-14.2, SPEC-14.7)
"""

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache, partial
from itertools import accumulate
from math import prod

from checker.ground import record
from checker.ground.decode import big, dyadic, fields, listing, typed
from checker.ground.errors import require, require_form, require_support
from checker.ground.interval import shift_up
from checker.ground.ledger import Ledger
from checker.leaves.network import MAX_HELD_BITS, Network, held_bits
from checker.statement.model import Model
from checker.statement.outcome import (
    MARGIN_BITS,
    MAX_CELLS,
    NOTHING,
    Outcome,
    Part,
    Spread,
)
from checker.statement.statement import Statement

MAX_PRECISION = 4096
Networks = Callable[[int], Network]
"""The network of every precision that was asked for."""


@dataclass(frozen=True)
class Leaf:
    """So many inputs that follow one another.  (SPEC-14.2)"""

    inputs: int
    method = ""

    def admits(self, found: Outcome) -> bool:
        """Return whether what is shown of an input is what the leaf says."""
        return True

    def claimed(self) -> int:
        """Return the margin that is claimed of all, in units of 2^-20, rounded up."""
        return 0


class Either(Leaf):
    """Inputs that are counted as what they are shown to be."""

    method = "either"


class Skip(Leaf):
    """Inputs that are not evaluated."""

    method = "skip"


class Wrong(Leaf):
    """Inputs that are all wrong."""

    method = "wrong"

    def admits(self, found: Outcome) -> bool:
        """Return whether an input is shown to be wrong."""
        return found.lower == found.size


@dataclass(frozen=True)
class Right(Leaf):
    """Inputs that are all right, with a margin of at least ``mantissa * 2^exponent``."""

    mantissa: int
    exponent: int
    method = "right"

    def admits(self, found: Outcome) -> bool:
        """Return whether an input is shown to be right."""
        return found.upper == 0

    def claimed(self) -> int:
        """Return the margin that is claimed of all, in units of 2^-20, rounded up."""
        shift = self.exponent + MARGIN_BITS
        return shift_up(self.mantissa << max(shift, 0), max(-shift, 0))


METHODS: dict[str, type[Leaf]] = {
    kind.method: kind for kind in (Right, Wrong, Either, Skip)
}


@record
class Leaves:
    """The leaves of a proof, and what they are about."""

    model: Model
    statement: Statement
    precision: int
    leaves: tuple[Leaf, ...]

    def outcomes(self, ledger: Ledger, spread: Spread) -> tuple[Outcome, ...]:
        """Return what every leaf proves of the inputs it evaluates, and last that nothing is known
        of the rest; a part is a run of inputs.

        Raises: Rejected (SPEC-14.7) for a leaf that claims more, Declined (SPEC-3.5, SPEC-8.2,
                SPEC-14.3).
        """
        total = self.statement.total
        # Where it ends; what its part shows and what is added up: three numbers and an object each.
        ledger.hold(9 * len(self.leaves), total.bit_length())
        networks = cache(partial(self._network, ledger))
        ends = list(accumulate(leaf.inputs for leaf in self.leaves))
        # 8.3: what is on the stack is known where every input before is evaluated.
        skips = any(isinstance(leaf, Skip) for leaf in self.leaves)
        runs = [range(ends[-1])] if skips else self.statement.runs()
        parts = [
            Part(
                run.stop - run.start,
                partial(self._derive, networks, ends, run, ledger),
            )
            for run in runs
        ]
        networks(self.precision).recall([])  # prepared for all
        found = [NOTHING] * len(ends)
        for run, outcomes in zip(runs, spread(parts), strict=True):
            first = bisect_right(ends, run.start)
            for leaf, outcome in enumerate(outcomes, first):
                found[leaf] = found[leaf].plus(outcome)
        rest = total - sum(outcome.size for outcome in found)
        return (*found, Outcome(0, rest, rest, None))

    def _network(self, ledger: Ledger, bits: int) -> Network:
        """Return the network at this precision, prepared.

        Raises: Declined (SPEC-3.5).
        """
        return Network(self.model, bits, self.statement.domain.read, ledger)

    def _derive(
        self, networks: Networks, ends: list[int], run: range, ledger: Ledger
    ) -> tuple[Outcome, ...]:
        """Return the outcomes of the inputs of a run, leaf by leaf, which end at ``ends``."""
        network = networks(self.precision)
        # 8.3: what one process has on its stack here; a refusal may have torn a worker's.
        last = self._tokens(self._places(run.start - 1)) if run.start else []
        if ledger.apart or network.tokens != last:
            network.recall(last)
        found = list[Outcome]()
        at = run.start
        number = bisect_right(ends, at)
        while at < run.stop:
            numbers = range(at, min(ends[number], run.stop))
            leaf = self.leaves[number]
            found.append(self._outcome(networks, leaf, numbers, ledger))
            at = numbers.stop
            number += 1
        return tuple(found)

    def _outcome(
        self, networks: Networks, leaf: Leaf, numbers: range, ledger: Ledger
    ) -> Outcome:
        """Return the outcome of the inputs with these numbers; those without weight are not
        evaluated.  (SPEC-14.7)
        """
        whole = NOTHING
        for number in () if isinstance(leaf, Skip) else numbers:
            places = self._places(number)
            ledger.charge(add=2 * len(places))
            rows = zip(self.statement.scope.weights, places, strict=True)
            weight = prod(row[place] for row, place in rows)
            if not (weight and self._counts(places, ledger)):
                continue
            tokens = self._tokens(places)
            answers = self.statement.right(places)
            found = self._decide(networks, tokens, answers, weight, leaf.claimed())
            require(
                leaf.admits(found),
                "SPEC-14.7",
                f"the input {tokens} is not shown to be {leaf.method}",
            )
            whole = whole.plus(found)
        least = whole.margin or 0
        require(
            leaf.claimed() <= least,
            "SPEC-14.7",
            f"a leaf claims a larger margin than {least}/2^20",
        )
        return whole

    def _tokens(self, places: list[int]) -> list[int]:
        """Return the tokens at these places among those that are allowed."""
        picked = zip(self.statement.domain.tokens, places, strict=True)
        return [row[place] for row, place in picked]

    def _counts(self, places: list[int], ledger: Ledger) -> bool:
        """Return whether the scope has the input with these places.  (SPEC-5.3)"""
        scope = self.statement.scope
        if not scope.conditional:
            return True
        domain = self.statement.domain
        ledger.charge(cmp=3 * len(places))
        pairs = zip(domain.values, places, strict=True)
        return scope.holds([values[place] for values, place in pairs if values])

    def _places(self, index: int) -> list[int]:
        """Return the places of the tokens of the input with this number.  (SPEC-5.7)"""
        places = list[int]()
        for tokens in reversed(self.statement.domain.tokens):
            index, place = divmod(index, len(tokens))
            places.append(place)
        return places[::-1]

    def _decide(
        self,
        networks: Networks,
        tokens: list[int],
        answers: list[int],
        weight: int,
        claimed: int,
    ) -> Outcome:
        """Return what is shown of one input with these right outputs, at the first precision that
        shows what it is, and whether it has the margin that is claimed.  (SPEC-14.7)

        Cost: that of SPEC-14.8, at every precision that is tried.
        """
        precision = self.precision
        found = Outcome(0, weight, weight, None)
        while precision <= MAX_PRECISION:
            network = networks(precision)
            if precision > self.precision:
                network.recall([])  # nothing is shared
            least = list[int]()
            most = list[int]()
            for ball, answer in zip(network.read(tokens), answers, strict=True):
                logits = list(ball.middles)
                gap = logits.pop(answer) - max(logits)
                # Two logits, each within the radius of its middle.
                least.append(gap - 2 * ball.radius)
                most.append(gap + 2 * ball.radius)
            shown = min(least) << MARGIN_BITS >> precision
            if min(least) > 0:
                found = Outcome(0, 0, weight, shown)
                # Claimed of no more, or of more than it can be.
                if not shown < claimed <= min(most) << MARGIN_BITS >> precision:
                    break
            # A tie is wrong.
            if min(most) <= 0 or any(map(network.is_level, answers)):
                return Outcome(weight, weight, weight, None)
            precision *= 2
            if held_bits(self.model, precision) > MAX_HELD_BITS:
                break
        return found

    def lines(self) -> list[str]:
        """Return what was parsed, for a human audit."""
        return [f"  {leaf}" for leaf in self.leaves]


def _parse_leaf(value: object) -> Leaf:
    """Return one leaf.  (SPEC-14.2)"""
    written = typed(value, dict, "a leaf")
    method = typed(written.get("method"), str, "method of a leaf")
    require_support(method in METHODS, "SPEC-14.2", f"the method {method} is not known")
    margin = "margin" if method == "right" else ""
    leaf = fields(written, "a leaf", f"inputs method {margin}")
    inputs = big(leaf["inputs"], "inputs of a leaf")
    require_form(inputs > 0, "SPEC-14.2", "a leaf holds no inputs")
    if margin:
        return Right(inputs, *dyadic(leaf["margin"], "margin of a leaf"))
    return METHODS[method](inputs)


def parse_leaves(
    proof: dict[str, object], model: Model, statement: Statement, precision: int
) -> Leaves:
    """Return the proof of leaves that these keys hold.  (SPEC-14.1, SPEC-14.2)

    Raises: Malformed, Rejected or Declined, with the clause.
    """
    two_answers = model.sizes["d_vocab_out"] > 1
    require_support(
        statement.semantics == "real" and precision % 8 == 0 and two_answers,
        "SPEC-14.1",
        "leaves need real semantics, two answers, and a precision that is a multiple of 8",
    )
    items = listing(proof["leaves"], "leaves", MAX_CELLS)
    leaves = tuple(map(_parse_leaf, items))
    due = prod(map(len, statement.domain.tokens))
    require(
        sum(leaf.inputs for leaf in leaves) == due,
        "SPEC-14.2",
        "the leaves do not hold every input once",
    )
    return Leaves(model, statement, precision, leaves)
