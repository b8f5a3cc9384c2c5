"""The process of one job: ``python -m certify.sweep.child`` in the folder of the job.

It reads ``work.json``, does it, and writes ``outcome.json`` as its last act.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
from collections.abc import Callable, Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

from certify import api
from certify.canonical import canonical
from certify.certificate.client import Verdict
from certify.errors import CertifyError
from certify.files import write_bytes
from certify.ladder.climb import FAILED, OUTCOMES
from certify.model.file import save_model
from certify.question.domain import PARTS
from certify.question.float32 import Float32
from certify.sweep.plan import CERTIFICATE, MODEL, OUTCOME, WORK
from certify.sweep.work import CHECK, PROVE, TRAIN, TRAINED, VERIFIED
from certify.training.asked import objects_of, trainable

ONE_CORE: dict[str, Any] = {"jobs": 1}
"""What tells ``prove`` and the checker to use one core: a sweep has as many jobs as there are
cores.
"""

Identity = Mapping[str, Any]
Done = dict[str, Any]


def main() -> int:
    """Do the work of this folder."""
    end_with_parent()
    work = json.loads(Path(WORK).read_bytes())
    do = DO[work["kind"]]
    try:
        done = do(work["identity"], float(work["time_limit"]))
    except CertifyError as error:
        done = _said(OUTCOMES.get(error.exit_code, FAILED), " ".join(str(error).split()))
    except MemoryError:
        done = _said(FAILED, "not enough memory")
    done["seconds"][f"{work['kind']}, processor"] = _processor_seconds()
    write_bytes(Path(OUTCOME), canonical(done))
    return 0


def _processor_seconds() -> float:
    """Return what this process and those that it started have used, which other work on the machine
    hardly changes.
    """
    spent = os.times()
    return round(spent.user + spent.system + spent.children_user + spent.children_system, 3)


def end_with_parent() -> None:
    """End this process and those that it started, as soon as standard input is closed."""

    def wait() -> None:
        while os.read(0, 1):
            pass
        if hasattr(os, "killpg"):
            os.killpg(0, signal.SIGKILL)
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()


def _said(verdict: str, reason: str = "", made: str | None = None, **more: Any) -> Done:
    return {"verdict": verdict, "reason": reason, "made": made, "facts": {}, "seconds": {}, **more}


def _train(identity: Identity, time_limit: float) -> Done:
    """Train a model."""
    row = trainable(identity["task"], "task")
    objects = objects_of(row, identity["options"], "options")
    tensors, config = row.train(*objects, None)
    save_model(Path(MODEL), tensors, config)
    return _said(TRAINED, made=MODEL)


def _prove(identity: Identity, time_limit: float) -> Done:
    """Prove what is asked; the checker has verified it here."""
    options = dict(identity["options"])
    effort, budget = options.pop("effort", None), options.pop("budget", None)
    parts: dict[str, Any] = {part: identity.get(part) for part in PARTS}
    float32 = None
    if "eps-exp" in identity:
        float32 = Float32(Fraction(identity["eps-exp"]), Fraction(identity["eta-exp"]))
    certificate = api.prove(
        MODEL,
        task=identity["task"],
        strategy=identity["strategy"],
        scope=identity["scope"],
        effort=effort,
        budget=budget,
        enclosures=options,
        float32=float32,
        out=CERTIFICATE,
        **parts,
        **ONE_CORE,
    )
    seconds = {
        "prover": round(certificate.prover_seconds, 3),
        "checker": round(certificate.verdict.seconds, 3),
    }
    facts = _facts(certificate.verdict)
    return _said(VERIFIED, made=CERTIFICATE, facts=facts, seconds=seconds)


def _check(identity: Identity, time_limit: float) -> Done:
    """Run the checker, and require that the certificate is about what is asked."""
    names = ("task", "scope", *PARTS, "semantics", "eps-exp", "eta-exp")
    required = {name: identity[name] for name in names if name in identity}
    limit = max(1, round(time_limit))
    answer = api.ask_checker(
        MODEL, CERTIFICATE, {**required, "time-limit": limit, **ONE_CORE}, inherit_output=False
    )
    verdict = answer.verdict()
    seconds = {"checked": round(verdict.seconds, 3)}
    return _said(VERIFIED, facts=_facts(verdict), seconds=seconds)


def _facts(verdict: Verdict) -> dict[str, Any]:
    """Return what was verified as JSON values."""
    line = (verdict.report.splitlines() or [""])[-1]
    return {"fields": dict(verdict.fields), "operations": verdict.operations, "line": line}


DO: Mapping[str, Callable[[Identity, float], Done]] = {
    TRAIN: _train,
    PROVE: _prove,
    CHECK: _check,
}

if __name__ == "__main__":
    sys.exit(main())
