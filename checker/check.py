"""The order of checks, from two files of bytes to the theorem that was proved.
(SPEC-5, SPEC-7, SPEC-8)
"""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from typing import Protocol

from checker.ground import record
from checker.ground.decode import Fields, big, fields, integer, parse_canonical, typed
from checker.ground.errors import require, require_form, require_support
from checker.ground.ledger import CEILING, Ledger
from checker.statement.model import Model, load_model
from checker.statement.outcome import MAX_CELLS, Outcomes, Spread, alone
from checker.statement.statement import EXP, Statement, build_statement

CERTIFICATE_FORMAT = "certify.certificate/2"
MAX_CERTIFICATE_BYTES = 16 << 20
STATEMENT = (
    "architecture correct_lower correct_upper domain model scope semantics task total"
)


class Proof(Protocol):
    """A proof of some kind, parsed: of disjoint sets of inputs that together are all inputs."""

    def outcomes(self, ledger: Ledger, spread: Spread) -> Outcomes:
        """Return what it proves of each set; work is charged to the ledger before it is done.

        ``spread`` derives parts that do not depend on one another; a proof may have none.
        """

    def lines(self) -> list[str]:
        """Return what was parsed, for a human audit."""


Parser = Callable[[Fields, Model, Statement, int], Proof]

KINDS = {"cells": "paths", "chain": "", "wide": "paths", "leaves": "", "sums": ""}
"""By the key that a proof of this kind has, the keys that it may have beside."""
CONDITIONAL = ("cells", "leaves")
"""The kinds of proof that are about scopes with a condition.  (SPEC-5.3)"""


def parser_of(kind: str) -> Parser:
    """Return what reads proofs of this kind.  The folders of the other kinds are not loaded."""
    if kind == "cells":
        from checker.cells.forest import parse_forest

        return parse_forest
    if kind == "chain":
        from checker.chain.chain import parse_chain

        return parse_chain
    if kind == "wide":
        from checker.wide.forest import parse_wide

        return parse_wide
    if kind == "leaves":
        from checker.leaves.leaves import parse_leaves

        return parse_leaves
    from checker.sums.inputs import parse_sums

    return parse_sums


@record
class Parsed:
    """A certificate and a model that fit together, before any bound is derived.

    ``steps``: what reading them took, one for each byte.  (SPEC-3.5)
    """

    model: Model
    statement: Statement
    claimed_lower: int
    claimed_upper: int
    precision: int
    operations: int
    proof: Proof
    certificate_sha256: str
    steps: int


@record
class Theorem:
    """What was proved.  ``margin`` is in units of 2^-20 logits; 0 where only the sign was shown."""

    parsed: Parsed
    correct_lower: int
    correct_upper: int
    margin: int
    outcomes: Outcomes
    ledger: Ledger


def parse(model_bytes: bytes, certificate_bytes: bytes) -> Parsed:
    """Return the decoded model and certificate, the statement re-derived and compared.
    (SPEC-3, SPEC-4,
    SPEC-5, SPEC-7.1)

    Raises: Malformed, Rejected or Declined, with the clause.
    """
    require_support(
        len(certificate_bytes) <= MAX_CERTIFICATE_BYTES,
        "SPEC-3.5",
        "the certificate is larger than 16 MiB",
    )
    whole = fields(
        parse_canonical(certificate_bytes, "the certificate"),
        "the certificate",
        "format proof statement",
    )
    require_support(
        whole["format"] == CERTIFICATE_FORMAT,
        "SPEC-5.1",
        f"the certificate's format is not {CERTIFICATE_FORMAT}: prove it again",
    )
    written = fields(whole["statement"], "statement", STATEMENT, " ".join(EXP))
    given = typed(whole["proof"], dict, "proof")
    kind = next((kind for kind in KINDS if kind in given), next(iter(KINDS)))
    keys = f"{kind} operations precision strategy"
    proof = fields(given, "proof", keys, KINDS[kind])
    name = typed(proof["strategy"], str, "strategy")
    require_form(
        len(name) <= 64 and name.isprintable(),
        "SPEC-7",
        "strategy is not a short printable name",
    )
    precision = integer(proof["precision"], "precision", 0, 1 << 24)
    least = 32 if kind == "leaves" else 64
    require_support(
        least <= precision <= 4096,
        "SPEC-3.5",
        f"precision is not between {least} and 4096",
    )
    operations = big(proof["operations"], "operations")
    require_support(
        0 <= operations <= CEILING,
        "SPEC-8.2",
        f"operations is not between 0 and {CEILING}",
    )
    items = proof[kind]
    require_support(
        not isinstance(items, list) or len(items) <= MAX_CELLS,
        "SPEC-3.5",
        f"{kind} holds more than {MAX_CELLS} items",
    )
    model = load_model(model_bytes, pairs=kind != "chain")
    statement = build_statement(model, sha256(model_bytes).hexdigest(), written)
    require_support(
        kind in CONDITIONAL or not statement.scope.conditional,
        "SPEC-5.3",
        f"a proof of {kind} over the scope {statement.scope.label}",
    )
    return Parsed(
        model=model,
        statement=statement,
        claimed_lower=big(written["correct_lower"], "correct_lower"),
        claimed_upper=big(written["correct_upper"], "correct_upper"),
        precision=precision,
        operations=operations,
        proof=parser_of(kind)(proof, model, statement, precision),
        certificate_sha256=sha256(certificate_bytes).hexdigest(),
        steps=len(model_bytes) + len(certificate_bytes),
    )


def spreading(ledger: Ledger, jobs: int) -> Spread:
    """Return what derives parts, by up to so many processes.  With one, others are not loaded.
    (SPEC-8.3)
    """
    if jobs == 1:
        return alone
    from checker.jobs import side_by_side

    return partial(side_by_side, ledger=ledger, jobs=jobs)


Watching = Callable[[int, int], None]


def check(parsed: Parsed, watch: Watching, jobs: int = 1) -> Theorem:
    """Return the theorem that the proof proves, every bound re-derived.  (SPEC-5.6, SPEC-7, SPEC-8)

    ``watch(operations done, operations declared)`` is called as work proceeds; it may raise to stop
    the check.  ``jobs``: how many processes may work on it.
    Raises: Rejected if a claim is stronger than what is derived; Declined if the work exceeds what
            is declared.
    """
    ledger = Ledger(
        lambda done: watch(done, parsed.operations), parsed.model.held, parsed.steps
    )
    ledger.budget = parsed.operations
    total = parsed.statement.total
    outcomes = parsed.proof.outcomes(ledger, spreading(ledger, jobs))
    # SPEC-7.1: the outcomes are about disjoint sets; together they are about every input.
    covered = sum(outcome.size for outcome in outcomes)
    require(
        covered == total,
        "SPEC-7.1",
        "the sizes of the cells do not add up to the total",
    )
    # SPEC-5.6: at most `upper` of a set fail, so the others are right; at least `lower` fail.
    lower = total - sum(outcome.upper for outcome in outcomes)
    upper = total - sum(outcome.lower for outcome in outcomes)
    require(
        parsed.claimed_lower <= lower,
        "SPEC-5.6",
        f"correct_lower is claimed larger than the proved {lower}",
    )
    require(
        parsed.claimed_upper >= upper,
        "SPEC-5.6",
        f"correct_upper is claimed smaller than the proved {upper}",
    )
    margins = [outcome.margin for outcome in outcomes if outcome.margin is not None]
    margin = max(0, min(margins, default=0))
    return Theorem(parsed, lower, upper, margin, outcomes, ledger)


def require_shown(theorem: Theorem) -> None:
    """Refuse a theorem that holds of every model, as that of a proof without steps.

    Raises: Rejected (SPEC-9.5).
    """
    total = theorem.parsed.statement.total
    require(
        theorem.correct_lower > 0 or theorem.correct_upper < total,
        "SPEC-9.5",
        f"the proof shows nothing: correct_lower is 0 and correct_upper {total}, all there is",
    )
