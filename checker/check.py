"""The order of checks, from two files of bytes to the theorem that was proved.  (SPEC 5, 7, 8)"""

from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from checker.cells import Checker, Outcome
from checker.decode import big, fields, integer, listing, parse_canonical, typed
from checker.errors import require, require_form, require_support
from checker.ledger import CEILING, Ledger
from checker.model import Model, decompose, load_model, require_plain
from checker.proof import MAX_CELLS, Cell, parse_cells
from checker.residual import Hint, parse_hints
from checker.statement import Statement, build_statement

CERTIFICATE_FORMAT = "certify.certificate/1"
MAX_CERTIFICATE_BYTES = 16 << 20
STATEMENT = "architecture correct_lower correct_upper model scope semantics task total"


@dataclass(frozen=True, slots=True)
class Parsed:
    """A certificate and a model that fit together, before any bound is derived."""

    model: Model
    statement: Statement
    claimed_lower: int
    claimed_upper: int
    precision: int
    operations: int
    hints: dict[str, Hint]
    roots: tuple[Cell, ...]
    certificate_sha256: str


@dataclass(frozen=True, slots=True)
class Theorem:
    """What was proved.  ``margin`` is in units of 2^-20 logits; 0 where only the sign was shown."""

    parsed: Parsed
    correct_lower: int
    correct_upper: int
    margin: int
    outcomes: tuple[Outcome, ...]
    ledger: Ledger


def parse(model_bytes: bytes, certificate_bytes: bytes) -> Parsed:
    """Return the decoded model and certificate, the statement re-derived and compared.  (SPEC 3, 4, 5, 7.1)

    Raises: Malformed, Rejected or Declined, with the clause.
    """
    require_support(len(certificate_bytes) <= MAX_CERTIFICATE_BYTES, "SPEC-3.5", "the certificate is larger than 16 MiB")
    whole = fields(parse_canonical(certificate_bytes, "the certificate"), "the certificate", "format proof statement")
    require_support(whole["format"] == CERTIFICATE_FORMAT, "SPEC-5.1", f"the certificate's format is not {CERTIFICATE_FORMAT}")
    written = fields(whole["statement"], "statement", STATEMENT)
    proof = fields(whole["proof"], "proof", "cells operations precision strategy", "paths")
    name = typed(proof["strategy"], str, "strategy")
    require_form(len(name) <= 64 and name.isprintable(), "SPEC-7", "strategy is not a short printable name")
    precision = integer(proof["precision"], "precision", 0, 1 << 24)
    require_support(64 <= precision <= 4096, "SPEC-3.5", "precision is not between 64 and 4096")
    operations = big(proof["operations"], "operations")
    require_support(0 <= operations <= CEILING, "SPEC-8.2", f"operations is not between 0 and {CEILING}")
    cells = listing(proof["cells"], "cells", MAX_CELLS)
    model = load_model(model_bytes)
    require_plain(model)
    statement = build_statement(model, sha256(model_bytes).hexdigest(), written)
    lower, upper = big(written["correct_lower"], "correct_lower"), big(written["correct_upper"], "correct_upper")
    hints = parse_hints(proof["paths"]) if "paths" in proof else {}
    sizes = model.sizes["d_vocab"], model.sizes["d_vocab_out"], model.sizes["n_ctx"]
    roots = parse_cells(cells, sizes)
    return Parsed(model, statement, lower, upper, precision, operations, hints, roots, sha256(certificate_bytes).hexdigest())


def check(parsed: Parsed, watch: Callable[[int, int], None]) -> Theorem:
    """Return the theorem that the proof proves, every bound re-derived.  (SPEC 5.6, 7, 8)

    ``watch(operations done, operations declared)`` is called as work proceeds; it may raise to stop the check.
    Raises: Rejected if a claim is stronger than what is derived; Declined if the work exceeds what is declared.
    """
    ledger = Ledger(lambda done: watch(done, parsed.operations))
    ledger.budget = parsed.operations
    total = parsed.statement.total
    checker = Checker(decompose(parsed.model, parsed.hints, ledger), parsed.statement.scope, parsed.precision, ledger)
    answers, n = range(parsed.model.sizes["d_vocab_out"]), parsed.statement.k
    for root in parsed.roots:
        checker.visit(root, dict.fromkeys((j for j in answers if j != root.maximum), ((2 << root.maximum) - 1,) * n), None)
    outcomes = tuple(checker.outcomes)
    require(sum(outcome.size for outcome in outcomes) == total, "SPEC-7.1", "the sizes of the cells do not add up to the total")
    lower, upper = total - sum(outcome.upper for outcome in outcomes), total - sum(outcome.lower for outcome in outcomes)
    require(parsed.claimed_lower <= lower, "SPEC-5.6", f"correct_lower is claimed larger than the proved {lower}")
    require(parsed.claimed_upper >= upper, "SPEC-5.6", f"correct_upper is claimed smaller than the proved {upper}")
    margins = [outcome.margin for outcome in outcomes if outcome.margin is not None]
    return Theorem(parsed, lower, upper, max(0, min(margins, default=0)), outcomes, ledger)
