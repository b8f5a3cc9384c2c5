"""What is claimed: domain, task, scope and semantics, and the exact total.  (SPEC-5)

The statement is built from the model's bytes and from what the certificate names of these; it never
supplies the text that is printed.
"""

from collections.abc import Sequence
from fractions import Fraction
from math import prod

from checker.ground import record
from checker.ground.decode import Fields, big, canonical, fraction, typed
from checker.ground.errors import require, require_form, require_support
from checker.statement.domain import Domain, parse_domain
from checker.statement.model import Model
from checker.statement.outcome import MOST_PARTS, runs
from checker.statement.scope import Scope, parse_scope
from checker.statement.tasks import Task, parse_task

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


@record
class Statement:
    """The theorem without its numbers: which model, which question, over which inputs, in which
    arithmetic.

    ``name``:       that of the task.
    ``readout``:    what answers.
    ``exp_errors``: eps_exp and eta_exp of a float32 semantics, None in real arithmetic.
    """

    model_sha256: str
    domain: Domain
    name: str
    task: Task
    readout: str
    semantics: str
    exp_errors: tuple[Fraction, Fraction] | None
    scope: Scope
    total: int

    def runs(self) -> list[range]:
        """Return all inputs by number, as parts of a proof: one where weights differ.
        (SPEC-5.7, SPEC-8.3)
        """
        inputs = prod(map(len, self.domain.tokens))
        return runs(inputs, MOST_PARTS if self.scope.label == "uniform" else 1)

    def right(self, places: Sequence[int]) -> list[int]:
        """Return the right outputs at the positions that are read, for the input that has the token
        with number ``places[i]`` of those allowed at position i.  (SPEC-5.2, SPEC-5.7)
        """
        return [self.domain.outputs[answer] for answer in self.task.answers(places)]


def _exp_errors(
    written: Fields, semantics: str, model: Model
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


def build_statement(model: Model, model_sha256: str, written: Fields) -> Statement:
    """Return the statement the certificate is about.  (SPEC-5.1 to SPEC-5.5, SPEC-5.7)

    Requires: ``written`` is the certificate's object ``statement``.
    Raises:   Declined for a task, scope or semantics this checker does not know; Malformed for a
              bad domain or scope; Rejected (SPEC-5.5) if the certificate's copy differs from what
              is re-derived.
    """
    require(
        written["model"] == f"sha256:{model_sha256}",
        "SPEC-5.1",
        "the certificate was made for other model bytes",
    )
    same = canonical(written["architecture"]) == canonical(model.config)
    require(same, "SPEC-5.5", "the architecture is not the model's")
    semantics = typed(written["semantics"], str, "semantics")
    known = semantics in SEMANTICS
    require_support(known, "SPEC-5.4", f"the semantics {semantics} is not known")
    domain = parse_domain(written["domain"], model)
    task = parse_task(written["task"], model, domain)
    scope = parse_scope(written["scope"], domain)
    total = scope.total(domain)
    claimed = big(written["total"], "total")
    require(claimed == total, "SPEC-5.5", f"the total is not {total}")
    return Statement(
        model_sha256=model_sha256,
        domain=domain,
        name=task.label.partition(":")[0],
        task=task,
        readout=model.readout,
        semantics=semantics,
        exp_errors=_exp_errors(written, semantics, model),
        scope=scope,
        total=total,
    )
