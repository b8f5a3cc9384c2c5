"""From hints about a model that adds two tokens to a certificate on disk that the checker has
verified.

As for cells: the draft claims nothing, the checker derives the bounds, the finished certificate is
verified again.
"""

from __future__ import annotations

import tempfile
import time
from pathlib import Path
from typing import Any

from certify.cells.problem import Progress
from certify.certificate.client import run_timed, verdict
from certify.certificate.document import (
    FORMAT,
    MAXIMUM_OPERATIONS,
    canonical,
    statement_of,
    with_bounds,
    within_limit,
)
from certify.certificate.finish import Options, Proved, finish
from certify.errors import Unsupported
from certify.model.config import Config
from certify.model.file import Model, load_model
from certify.question.float32 import Float32, require_no_float64
from certify.question.scope import Scope
from certify.question.tasks import TASKS
from certify.sums.strategies import STRATEGIES, Sums

TASK = "modular-addition"
PRECISIONS = (64, 256)
"""Bits of the weights of heads; more of them only if some input is left open by the first."""


def require_supported(config: Config) -> None:
    """Refuse an architecture that sums are not proved for.

    Errors: ``Unsupported``, one line naming the field and what is supported.
    """
    TASKS[TASK].require_fits(config)
    due: dict[str, tuple[object, ...]] = {
        "n_layers": (1,),
        "attn_only": (False,),
        "act_fn": ("relu",),
        "readout": (None, "last"),
    }
    for name, values in {**due, "normalization_type": (None,)}.items():
        if getattr(config, name) not in values:
            supported = (
                "one layer, two tokens, attention and a ReLU MLP, no normalisation, readout last"
            )
            raise Unsupported(
                f"proofs of modular addition do not support config field {name}: supported is {supported}"
            )


def draft(
    model: Model,
    scope: Scope,
    strategy: str,
    sums: Sums,
    precision: int,
    float32: Float32 | None = None,
) -> dict[str, Any]:
    """Return a certificate with these hints that claims nothing: the weakest bounds and the largest
    budget.
    """
    statement = statement_of(model, scope, TASK, float32)
    proof = {
        "operations": str(MAXIMUM_OPERATIONS),
        "precision": precision,
        "strategy": strategy,
        "sums": sums,
    }
    return {"format": FORMAT, "proof": proof, "statement": statement}


def prove(
    model_file: Path, scope: Scope, strategy: str, out: Path, options: Options, progress: Progress
) -> Proved:
    """Write a certificate for the model at ``out`` and return what it proves.

    Requires: ``strategy`` is a name in ``STRATEGIES`` of ``certify.strategies.addition``.
    Ensures:  the file at ``out`` has been verified by the checker, or is as it was before.
    Errors:   ``BadInput`` or ``Unsupported`` for the model, the scope or the options;
              ``CheckerRejected`` if the checker does
              not verify what was written, which is a defect of the prover.
    Cost:     that of the strategy, and two runs of the checker, or three if some input is open for
              lack of precision.
    """
    start, checking = time.monotonic(), 0.0
    if options.enclosures or options.budget is not None:
        raise Unsupported(f"strategy {strategy} of {TASK} has no --qk, --ov, --direct, --budget")
    model = load_model(model_file)
    if options.float32:
        require_no_float64(model)
    require_supported(model.config)
    scope.require_fits(model.config)
    sums = STRATEGIES[strategy].build(model, options.effort)
    progress(model.config.d_vocab, "")
    with tempfile.TemporaryDirectory(prefix="certify-") as folder:
        file = Path(folder) / "certificate.json"
        for precision in PRECISIONS:
            drafted = draft(model, scope, strategy, sums, precision, options.float32)
            file.write_bytes(within_limit(canonical(drafted)))
            ended, seconds = run_timed([str(model_file), str(file), "--json"])
            checking, facts = checking + seconds, verdict(ended)
            decided = facts["correct_lower"] == facts["correct_upper"]
            if decided or model.config.mix == 0 or sums.get("settle") == 0:
                break
        data = canonical(with_bounds(drafted, facts))
        report, seconds = finish(model_file, file, data, out)
    prover = time.monotonic() - start - checking - seconds
    return Proved(
        facts, report, len(data), prover, seconds, unexplained_dimension(model.config, sums)
    )


def unexplained_dimension(config: Config, sums: Sums) -> int:
    """Return how many numbers a proof looks at one by one: all logits of all inputs, or what stands
    for them.

    That is V^2 times the answers for ``exact``, as for brute force of any task; V^2 times the rank
    for two matrices, and
    their entries; with switches, their tables besides.
    """
    inputs = config.d_vocab**2
    if sums["rule"] == "exact":
        return int(inputs * config.d_vocab_out)
    rank = len(sums["right"]["rows"])
    tables = 2 * config.d_vocab * len(sums["tables"]["rows"]) if "tables" in sums else 0
    return int(rank * (inputs + (config.d_mlp or 0) + config.d_vocab_out) + tables)
