"""What a unit of an experiment works with: models, proofs and steps that are kept by content.

Everything that takes long is done once: a training, a proof and a step are known by the hash of
all that they depend on, so that an experiment which was killed goes on where it was.
"""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable, Mapping
from typing import Any

from certify import families
from certify.errors import CertifyError
from certify.lab.kinds import Facts, Kind
from certify.ladder.climb import FAILED
from certify.ladder.rung import Level
from certify.model.config import Config
from certify.model.file import Model, encode_model, load_model
from certify.model.tensors import Tensor
from certify.question.float32 import EPS_EXP, ETA_EXP
from certify.question.float32 import NAME as FLOAT32
from certify.question.question import Question, read_question
from certify.sweep.results import bounds
from certify.sweep.store import Record, Store
from certify.sweep.work import (
    PROVE,
    TRAIN,
    TRAINED,
    VERIFIED,
    Outcome,
    Processes,
    Work,
    contents_of,
    run,
    versions,
)

DONE = "DONE"
"""The verdict of a step that is no proof and no training."""
TIME_LIMIT = 3600.0
"""Seconds for one training or one proof, unless told otherwise."""
UNIFORM = "uniform"
OUTCOME = ("verdict", "reason", "lower", "upper", "total", "accuracy_lower")
"""Columns of tables: what came of a proof."""
LENGTH = ("operations", "bytes", "certificate_sha256")
"""And how long it is, and which."""


class Bench:
    """The place where one unit works: a folder that keeps what was done."""

    def __init__(self, store: Store, processes: Processes | None = None) -> None:
        """Begin; ``processes`` is told of every process that is started."""
        self.store = store
        self.processes = processes or Processes()
        self.used: dict[str, str] = {}
        """What was asked for: kind and name of each record, by its key."""

    def trained(self, kind: Kind, options: Mapping[str, Any]) -> str:
        """Return the hash of a model that was trained with the options of its kind and these.

        Requires: names of options as ``certify train`` spells them, without dashes before them.
        Errors:   ``CertifyError`` with the reason if there is no such model.
        """
        identity = {"task": kind.trained, "options": {**kind.options, **options}, **versions()}
        record = self._done(Work(TRAIN, identity, TIME_LIMIT), f"train {kind.name}", None)
        if record["verdict"] != TRAINED:
            raise CertifyError(f"train {kind.name}: {record['reason']}")
        return str(record["made_model"])

    def kept(self, tensors: Mapping[str, Tensor], config: Config) -> str:
        """Keep a model that was made here, and return its hash.

        Requires: the tensors fit the configuration and have a dtype that can be stored.
        """
        return self.store.keep_model(encode_model(tensors, config))

    def model(self, digest: str) -> Model:
        """Return a model by its hash."""
        return load_model(self.store.model_file(digest))

    def question(self, kind: Kind, model: Model) -> Question:
        """Return what is asked of a model."""
        return read_question(kind.task, model.config)

    def certified(
        self,
        model: str,
        kind: Kind,
        *,
        strategy: str | None = None,
        options: Mapping[str, Any] | None = None,
        scope: str = UNIFORM,
        float32: bool = False,
        time_limit: float = TIME_LIMIT,
    ) -> Facts:
        """Return what the checker verified of a model, or why there is nothing.

        Requires: ``strategy`` and ``options`` as ``certify prove`` takes them; those of the kind if
                  left out.
        Ensures:  ``verdict`` is VERIFIED, or says that there is no proof, and ``reason`` why.
                  ``lower``, ``upper`` and ``total`` are the exact integers that were verified, as
                  texts, ``accuracy_lower`` and ``accuracy_upper`` decimals; ``line`` is the last
                  line of the checker, ``operations`` the proof length.  All are None without a
                  proof.
        """
        chosen = strategy or kind.strategy
        given: dict[str, Any] = dict(options or {})
        if strategy is None and kind.effort is not None:
            given.setdefault("effort", kind.effort)
        errors = (f"{x.numerator}/{x.denominator}" for x in (EPS_EXP, ETA_EXP))
        semantics = (
            dict(zip(("semantics", "eps-exp", "eta-exp"), (FLOAT32, *errors), strict=True))
            if float32
            else {"semantics": "real"}
        )
        identity = {
            "model": model,
            "task": kind.task,
            "scope": scope,
            "files": {},
            "strategy": chosen,
            "options": given,
            **semantics,
            **versions(),
        }
        record = self._done(Work(PROVE, identity, time_limit), f"prove {chosen}", model)
        return {
            "strategy": chosen,
            "options": given,
            "scope": scope,
            "semantics": semantics["semantics"],
            "model_sha256": model,
            "verdict": record["verdict"],
            "reason": record["reason"],
            **_proved(record),
        }

    def rungs(self, kind: Kind, level: Level) -> list[tuple[str, str, Facts]]:
        """Return the ladder of a kind: name, strategy and options of each rung.

        Errors: ``Unsupported`` if its task has none.
        """
        _, form = families.with_ladder(kind.task.partition(":")[0])
        run_here, _ = form.rungs(level)
        return [(rung.name, rung.strategy, _numbered(dict(rung.options))) for rung in run_here]

    def step(self, name: str, about: Mapping[str, Any], work: Callable[[], Any]) -> Any:
        """Return the JSON value of a function, which is called only if it was not called before.

        Requires: ``about`` is JSON that says all that the value depends on, hashes of models
                  included; ``name`` which function.
        """
        key = Work(f"step {name}", {"about": dict(about), **versions()}, 0.0)
        self.used[key.key] = f"step {name}"
        record = self.store.record(key)
        if record is not None:
            return record["result"]
        start = time.monotonic()
        result = work()
        seconds = {"step": round(time.monotonic() - start, 3)}
        self.store.keep_record(key, {**said(DONE, seconds=seconds), "result": result})
        return result

    def _done(self, work: Work, name: str, model: str | None) -> Record:
        """Return the record of a training or a proof, which is made if it is not there."""
        self.used[work.key] = name
        record = self.store.record(work)
        if record is not None and self.store.has(record):
            return record
        data = None if model is None else self.store.model(model)
        outcome = run(work, contents_of(data, {}), self.store.running, self.processes)
        if self.processes.ended:
            raise CertifyError("ended")
        record = self._record(outcome, work.time_limit)
        self.store.keep_record(work, record)
        return record

    def _record(self, outcome: Outcome, time_limit: float) -> Record:
        seconds = dict(outcome.seconds)
        known = {
            **said(outcome.verdict, outcome.reason, seconds, time_limit),
            "place": outcome.place,
        }
        if outcome.verdict not in (TRAINED, VERIFIED):
            return known
        if outcome.data is None:
            return {**known, "verdict": FAILED, "reason": "what was made did not come back"}
        if outcome.verdict == TRAINED:
            return {**known, "made_model": self.store.keep_model(outcome.data)}
        return {
            **known,
            "fields": dict(outcome.facts["fields"]),
            "operations": int(outcome.facts["operations"]),
            "line": str(outcome.facts["line"]),
            "bytes": len(outcome.data),
            "certificate": self.store.keep_certificate(outcome.data),
            "checked-by": "here",
        }


CERTIFIED = (
    "strategy",
    "options",
    "scope",
    "semantics",
    "model_sha256",
    "verdict",
    "reason",
    "lower",
    "upper",
    "total",
    "accuracy_lower",
    "accuracy_upper",
    "margin_lower",
    "operations",
    "bytes",
    "certificate_sha256",
    "line",
)
"""What ``Bench.certified`` says."""
NOT_TRIED = "NOT TRIED"


def not_tried(reason: str, model: str | None = None) -> Facts:
    """Return what stands in place of a proof that nobody looked for, and why."""
    known = {"verdict": NOT_TRIED, "reason": reason, "model_sha256": model}
    return {**dict.fromkeys(CERTIFIED), **known}


def said(
    verdict: str,
    reason: str = "",
    seconds: Mapping[str, float] | None = None,
    time_limit: float = 0.0,
) -> Record:
    """Return what every record has."""
    return {
        "verdict": verdict,
        "reason": reason,
        "seconds": dict(seconds or {}),
        "place": f"{platform.node()}:{os.getpid()}",
        "time_limit": time_limit,
    }


def _proved(record: Record) -> Facts:
    """Return what a record proves, None for each fact without a proof."""
    names = ("lower", "upper", "total", "accuracy_lower", "accuracy_upper", "margin_lower")
    if record["verdict"] != VERIFIED:
        return dict.fromkeys((*names, "operations", "bytes", "certificate_sha256", "line"))
    found = bounds(record["fields"])
    return {
        "lower": found["correct_lower"],
        "upper": found["correct_upper"],
        "total": found["total"],
        "accuracy_lower": found["accuracy_lower"],
        "accuracy_upper": found["accuracy_upper"],
        "margin_lower": record["fields"].get("margin_lower"),
        "operations": record["operations"],
        "bytes": record["bytes"],
        "certificate_sha256": record["certificate"],
        "line": record["line"],
    }


def _numbered(options: Mapping[str, Any]) -> Facts:
    """Return options of which an effort is a number."""
    return {key: float(value) if key == "effort" else value for key, value in options.items()}


def accuracy_of(certified: Mapping[str, Any], side: str = "lower") -> float | None:
    """Return the certified accuracy as a float, for pictures; None without a proof."""
    if certified[side] is None:
        return None
    return int(certified[side]) / int(certified["total"])
