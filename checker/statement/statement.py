"""What is claimed: task, scope and semantics as values of closed enumerations, and the exact total.
(SPEC-5)

The statement is built from the model's bytes and from these three names.  The certificate names
them too, and its copy must be identical; it never supplies the text that is printed.
"""

from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from math import prod

from checker.ground.decode import (
    big,
    canonical,
    fields,
    fraction,
    listing,
    parse_canonical,
    typed,
)
from checker.ground.errors import require, require_form, require_support
from checker.statement.model import READOUTS, Model
from checker.statement.tasks import TASKS, Answers, Task, parse_table, require_fit

SCOPE_FORMAT = "certify.scope/1"
REAL = "real"
FLOAT32 = "float32:any-order"
SEMANTICS = {
    REAL: "real arithmetic",
    FLOAT32: "float32 arithmetic in any order of summation",
}
"""Per semantics: what the English sentence calls it."""

EXP = ("eps_exp", "eta_exp")
"""The keys of the two error bounds of exp: relative, absolute."""
_LEAST = (Fraction(1, 1 << 25), Fraction(1, 1 << 149))
_MOST = Fraction(1, 1 << 6)


@dataclass(frozen=True, slots=True)
class Scope:
    """How much each token counts at each position: ``weights[i][t] >= 0``; all ones for
    ``uniform``.
    """

    label: str
    weights: tuple[tuple[int, ...], ...]


@dataclass(frozen=True, slots=True)
class Statement:
    """The theorem without its numbers: which model, which question, over which inputs, in which
    arithmetic.

    ``fields``:     what the verdict line says of the task.
    ``table``:      the answers of the task ``table``.
    ``readout``:    which positions of the model answer.
    ``exp_errors``: eps_exp and eta_exp of a float32 semantics, None in real arithmetic.
    """

    model_sha256: str
    task: str
    fields: dict[str, str]
    table: Answers
    readout: str
    semantics: str
    exp_errors: tuple[Fraction, Fraction] | None
    scope: Scope
    total: int


def _product_scope(weights: object, n: int, vocab: int) -> Scope:
    rows = [listing(row, "scope weights") for row in listing(weights, "scope weights")]
    parsed = tuple(tuple(big(number, "scope weight") for number in row) for row in rows)
    require_form(len(parsed) == n, "SPEC-5.3", f"the scope does not have {n} positions")
    for row in parsed:
        require_form(
            len(row) == vocab,
            "SPEC-5.3",
            f"a position of the scope does not weigh {vocab} tokens",
        )
        require_form(
            min(row) >= 0 and sum(row) > 0,
            "SPEC-5.3",
            "a position has a negative weight or no weight at all",
        )
        require_support(
            sum(row) < 1 << 128,
            "SPEC-3.5",
            "the weights of one position sum to 2^128 or more",
        )
    file = canonical({"format": SCOPE_FORMAT, "weights": weights})
    return Scope(f"product:sha256:{sha256(file).hexdigest()}", parsed)


def parse_scope_file(data: bytes) -> str:
    """Return the label of the scope held by a scope file, as the user requires it with ``--scope
    product:FILE``.

    Raises: Malformed (SPEC-5.3) if the file is not a scope.
    """
    scope = fields(
        parse_canonical(data, "the scope file"), "the scope file", "format weights"
    )
    require_support(
        scope["format"] == SCOPE_FORMAT,
        "SPEC-5.3",
        f"the scope file's format is not {SCOPE_FORMAT}",
    )
    return f"product:sha256:{sha256(data).hexdigest()}"


def _exp_errors(
    written: dict[str, object], semantics: str, model: Model
) -> tuple[Fraction, Fraction] | None:
    """Return eps_exp and eta_exp, which are there exactly if the semantics is float32.
    (SPEC-5.4)
    """
    known = [fraction(written[key], key) for key in EXP if key in written]
    require_form(
        len(known) == (0 if semantics == REAL else len(EXP)),
        "SPEC-5.4",
        "eps_exp and eta_exp go with float32:any-order",
    )
    if not known:
        return None
    for key, number, least in zip(EXP, known, _LEAST, strict=True):
        require_form(
            number >= least,
            "SPEC-5.4",
            f"{key} is smaller than {least}, which no float32 exp achieves",
        )
    small = max(known) <= _MOST
    require_support(small, "SPEC-5.4", "eps_exp or eta_exp is larger than 2^-6")
    require_support(not model.double, "SPEC-5.4", "the model holds a tensor in float64")
    return known[0], known[1]


def _question(written: object, model: Model) -> tuple[Task, Answers, str]:
    """Return the task, and the answers and the label of the table that may come with it.
    (SPEC-5.2)
    """
    if isinstance(written, dict):
        held = fields(written, "task", "table")["table"]
        return TASKS["table"], *parse_table(held, model)
    name = typed(written, str, "task")
    known = name in TASKS and name != "table"
    require_support(known, "SPEC-5.2", f"the task {name} is not known")
    return TASKS[name], (), ""


def told(task: Task, model: Model, label: str) -> dict[str, str]:
    """Return the fields that the verdict line has for the task.  (SPEC-9.1)"""
    n = str(model.sizes["n_ctx"])
    vocab = str(model.sizes["d_vocab"])
    known = {"k": n, "n": n, "vocab": vocab, "modulus": vocab}
    known |= {"largest": "first", "table": label}
    return {name: known[name] for name in task.fields.split()}


def _scope(written: object, model: Model) -> Scope:
    """Return the scope; ``uniform`` counts every input once.  (SPEC-5.3)"""
    n = model.sizes["n_ctx"]
    vocab = model.sizes["d_vocab"]
    if written == "uniform":
        return Scope("uniform", ((1,) * vocab,) * n)
    return _product_scope(fields(written, "scope", "product")["product"], n, vocab)


def build_statement(
    model: Model, model_sha256: str, written: dict[str, object]
) -> Statement:
    """Return the statement the certificate is about, every part but the names re-derived.
    (SPEC-5.1 to SPEC-5.5)

    Requires: ``written`` is the certificate's object ``statement``.
    Raises:   Declined for a task, scope or semantics this checker does not know; Malformed for a
              bad scope; Rejected (SPEC-5.5) if the certificate's copy differs from what is
              re-derived.
    """
    semantics = typed(written["semantics"], str, "semantics")
    task, answers, label = _question(written["task"], model)
    known = semantics in SEMANTICS
    require_support(known, "SPEC-5.4", f"the semantics {semantics} is not known")
    require_fit(task, model)
    scope = _scope(written["scope"], model)
    total = prod(map(sum, scope.weights))
    require(
        written["model"] == f"sha256:{model_sha256}",
        "SPEC-5.1",
        "the certificate was made for other model bytes",
    )
    same = canonical(written["architecture"]) == canonical(model.config)
    require(same, "SPEC-5.5", "the architecture is not the model's")
    claimed = big(written["total"], "total")
    require(claimed == total, "SPEC-5.5", f"the total is not {total}")
    return Statement(
        model_sha256=model_sha256,
        task=task.name,
        fields=told(task, model, label),
        table=answers,
        readout=str(model.config.get("readout", READOUTS[0])),
        semantics=semantics,
        exp_errors=_exp_errors(written, semantics, model),
        scope=scope,
        total=total,
    )
