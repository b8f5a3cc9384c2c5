"""A proof of leaves: runs of inputs in lexicographic order, each input evaluated.  (SPEC 14)"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from math import prod

from checker.ground.decode import big, dyadic, fields, listing, typed
from checker.ground.errors import require, require_form, require_support
from checker.ground.interval import shift_up
from checker.ground.ledger import Ledger
from checker.leaves.network import MAX_HELD_BITS, Network, held_bits
from checker.statement.model import Model
from checker.statement.outcome import MARGIN_BITS, MAX_CELLS, Outcome
from checker.statement.statement import Statement
from checker.statement.tasks import ANSWERS

METHODS = {"right": "margin", "wrong": "", "either": "", "skip": ""}
"""Per method of a leaf, the keys it has beside ``method`` and ``inputs``.  (SPEC 14.2)"""
MAX_PRECISION, WRONG = 4096, -1

Leaf = tuple[int, str, tuple[int, int]]
"""So many inputs that follow one another, what is shown of each of them, and a margin claimed of
all.
"""
Networks = Callable[[int], Network]


@dataclass(frozen=True, slots=True)
class Leaves:
    """The leaves of a proof, and what they are about."""

    model: Model
    statement: Statement
    precision: int
    leaves: tuple[Leaf, ...]

    def outcomes(self, ledger: Ledger) -> tuple[Outcome, ...]:
        """Return what every leaf proves of the inputs it evaluates, and last that nothing is known
        of the rest.

        Raises: Rejected (SPEC-14.7) for a leaf that claims more, Declined (SPEC-3.5, SPEC-8.2,
                SPEC-14.3).
        """
        networks, found, end = (
            cache(lambda bits: Network(self.model, bits, ledger)),
            list[Outcome](),
            0,
        )
        for leaf in self.leaves:
            begin, end = end, end + leaf[0]
            ledger.hold(3, self.statement.total.bit_length())
            found.append(
                self._outcome(
                    networks, leaf, begin if leaf[1] != "skip" else end, end, ledger
                )
            )
        rest = self.statement.total - sum(outcome.size for outcome in found)
        return (*found, Outcome(0, rest, rest, None))

    def _outcome(
        self, networks: Networks, leaf: Leaf, begin: int, end: int, ledger: Ledger
    ) -> Outcome:
        """Return the outcome of the inputs from number ``begin`` up to ``end``; those without
        weight are not evaluated.
        """
        (_, method, (mantissa, exponent)), n, vocab = (
            leaf,
            self.model.sizes["n_ctx"],
            self.model.sizes["d_vocab"],
        )
        right, wrong, size, margin = 0, 0, 0, None
        for index in range(begin, end):
            ledger.charge(add=2 * n)
            tokens = [index // vocab ** (n - 1 - place) % vocab for place in range(n)]
            weight = prod(
                row[token]
                for row, token in zip(self.statement.scope.weights, tokens, strict=True)
            )
            decided = self._decide(networks, tokens, index) if weight else None
            if weight and method != "either":
                shown = decided is not None and (decided == WRONG) == (
                    method == "wrong"
                )
                require(
                    shown,
                    "SPEC-14.7",
                    f"the input {tokens} is not shown to be {method}",
                )
            size, wrong = size + weight, wrong + (weight if decided == WRONG else 0)
            if decided is not None and decided != WRONG:
                right, margin = (
                    right + weight,
                    decided if margin is None else min(margin, decided),
                )
        shown_margin, shift = margin or 0, exponent + MARGIN_BITS
        claimed = shift_up(mantissa << max(shift, 0), max(-shift, 0))
        require(
            claimed <= shown_margin,
            "SPEC-14.7",
            f"a leaf claims a larger margin than {shown_margin}/2^20",
        )
        return Outcome(wrong, size - right, size, margin)

    def _decide(self, networks: Networks, tokens: list[int], index: int) -> int | None:
        """Return a margin of an input that is right in units of 2^-20, ``WRONG`` if it is wrong,
        None if that stays open.

        Cost: that of SPEC 14.8, at every precision that is tried.
        """
        ends = (
            range(1, len(tokens) + 1)
            if self.model.config.get("readout") == "all"
            else (len(tokens),)
        )
        table, task, precision, vocab = (
            self.statement.table,
            self.statement.task,
            self.precision,
            self.model.sizes["d_vocab"],
        )
        answers = [
            table[index] if task == "table" else ANSWERS[task](tokens[:end], vocab)
            for end in ends
        ]
        while precision <= MAX_PRECISION:
            network, found = networks(precision), list[tuple[int, int]]()
            for (logits, radius), answer in zip(
                network.read(tokens), answers, strict=True
            ):
                middle = logits[answer] - max(logits[:answer] + logits[answer + 1 :])
                found.append((middle - 2 * radius, middle + 2 * radius))
            if all(lower > 0 for lower, _ in found):
                return min(found)[0] << MARGIN_BITS >> precision
            if any(upper <= 0 for _, upper in found) or any(
                map(network.is_level, answers)
            ):
                return WRONG
            precision *= 2
            if held_bits(self.model, precision) > MAX_HELD_BITS:
                break
        return None

    def lines(self) -> list[str]:
        """Return what was parsed, for a human audit."""
        return [
            f"  {inputs} inputs: {method}, margin {margin}"
            for inputs, method, margin in self.leaves
        ]


def parse_leaves(
    proof: dict[str, object], model: Model, statement: Statement, precision: int
) -> Leaves:
    """Return the proof of leaves that these keys hold.  (SPEC 14.1, 14.2)

    Raises: Malformed, Rejected or Declined, with the clause.
    """
    supported = (
        statement.semantics == "real"
        and precision % 8 == 0
        and model.sizes["d_vocab_out"] > 1
    )
    require_support(
        supported,
        "SPEC-14.1",
        "leaves need real semantics, two answers, and a precision that is a multiple of 8",
    )
    leaves = []
    for written in listing(proof["leaves"], "leaves", MAX_CELLS):
        method = typed(
            typed(written, dict, "a leaf").get("method"), str, "method of a leaf"
        )
        require_support(
            method in METHODS, "SPEC-14.2", f"the method {method} is not known"
        )
        leaf = fields(written, "a leaf", f"inputs method {METHODS[method]}")
        inputs = big(leaf["inputs"], "inputs of a leaf")
        require_form(inputs > 0, "SPEC-14.2", "a leaf holds no inputs")
        leaves.append(
            (
                inputs,
                method,
                dyadic(leaf["margin"], "margin of a leaf")
                if "margin" in leaf
                else (0, 0),
            )
        )
    due = model.sizes["d_vocab"] ** model.sizes["n_ctx"]
    require(
        sum(inputs for inputs, _, _ in leaves) == due,
        "SPEC-14.2",
        "the leaves do not hold every input once",
    )
    return Leaves(model, statement, precision, tuple(leaves))
