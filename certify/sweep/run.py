"""Run a sweep: train what is to be trained, prove what is not proved yet, keep every result.

A result is kept as soon as it is there, under the hash of all that it depends on, so a sweep that
was killed goes on where it was, and one that asks for more runs only what is new.
"""

from __future__ import annotations

import queue
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from certify.errors import BadInput
from certify.ladder.climb import FAILED, STOPPED
from certify.progress import Progress, silent
from certify.sweep.engine import Engine, LocalEngine
from certify.sweep.plan import (
    PARENT,
    WORKER,
    Asked,
    ModelFile,
    Plan,
    Proof,
    Semantics,
    Training,
    read_plan,
)
from certify.sweep.results import Row, Sweep, TrainedRow, require_pyarrow, write_results
from certify.sweep.store import Record, Store, read_model
from certify.sweep.work import (
    CHECK,
    PROVE,
    TRAIN,
    TRAINED,
    VERIFIED,
    Outcome,
    Processes,
    Work,
    contents_of,
    run,
    sha256,
    versions,
)

MADE = {TRAIN: TRAINED, PROVE: VERIFIED}
"""How a job ends that has made something."""
LOCAL, DASK = "local", "dask://"


@dataclass
class _Line:
    """A proof that is wanted: the row that it becomes, and the model's names."""

    work: Work
    model: str
    proof: Proof
    names: list[str] = field(default_factory=list)


def run_sweep(
    file: Path | str,
    *,
    out: Path | str,
    jobs: int = 1,
    engine: str = LOCAL,
    retry: bool = False,
    parquet: bool = False,
    progress: Progress = silent,
) -> Sweep:
    """Return the results of a sweep, which are kept in a folder with all certificates.

    Requires: ``file`` is a TOML file (``certify.sweep.plan``); ``jobs`` processes run at a time.
              ``engine`` is ``local`` or ``dask://HOST:PORT``, the address of a scheduler; then
              ``jobs`` is how many certificates are checked at a time here.  ``retry`` runs again
              what failed or was out of time.
    Ensures:  every job of the file has one result.  The folder has ``results.json`` and
              ``results.csv``, which are the same however often the sweep was interrupted,
              ``timing.json``, and with ``parquet`` also ``results.parquet``.  If this process is
              killed, the same call goes on; only jobs that were at work are run again.
    Raises:   ``BadInput`` for a file or folder that is not what it should be; ``Unsupported`` if
              another sweep is at work in the folder, or an engine or a library is not there.
    Cost:     that of its jobs; one that was done before costs nothing.
    """
    if jobs < 1:
        raise BadInput(f"the number of jobs must be at least 1, not {jobs}")
    if parquet:
        require_pyarrow()
    plan = read_plan(Path(file))
    store = Store(Path(out))
    with store.opened():
        running = _Running(
            plan, store, _engine(engine, plan, store, jobs), retry=retry, progress=progress
        )
        try:
            running.everything()
        finally:
            running.close()
            found = running.found()
            write_results(store.folder, found, parquet=parquet)
    return found


def _engine(name: str, plan: Plan, store: Store, jobs: int) -> Engine:
    """Return the engine that is named.

    Errors: ``BadInput`` for an unknown one, ``Unsupported`` or ``CertifyError`` where the cluster
            is not there.
    """
    if name == LOCAL:
        return LocalEngine(jobs, store.running, store.model, plan.files)
    if name.startswith(DASK) and len(name) > len(DASK):
        from certify.sweep.cluster import DaskEngine  # noqa: PLC0415  (optional, slow to import)

        return DaskEngine(name.removeprefix(DASK), jobs, store.model, plan.files)
    raise BadInput(f"engine {name!r} is neither {LOCAL} nor {DASK}HOST:PORT")


class _Running:
    """A sweep at work."""

    def __init__(
        self,
        plan: Plan,
        store: Store,
        engine: Engine,
        *,
        retry: bool,
        progress: Progress,
    ) -> None:
        self.plan, self.store, self.engine = plan, store, engine
        self.retry, self.progress = retry, progress
        self.checks = Processes()
        self.settled: queue.Queue[tuple[Work, Record | BaseException]] = queue.Queue()
        self.lines: dict[str, _Line] = {}
        self.records: dict[str, Record] = {}
        self.trainings = {self._training(one).key: one for one in plan.trainings}
        self.waiting: set[str] = set()
        self.size, self.merged = plan.size(), 0

    def everything(self) -> None:
        """Do all that is not done yet, and return when it is."""
        for file in self.plan.models:
            digest = self.store.keep_model(read_model(file.path))
            self._want(digest, file)
        for one in self.plan.trainings:
            work = self._training(one)
            record = self._known(work)
            if record is None:
                self._submit(work, None)
            else:
                self._ended(work, record)
        self._report("")
        while self.waiting:
            work, settled = self.settled.get()
            if isinstance(settled, BaseException):
                raise settled
            self.waiting.discard(work.key)
            self._ended(work, settled)
            self._report(self._told(work))

    def close(self) -> None:
        """End what is at work."""
        self.checks.end()
        self.engine.close()

    def _training(self, one: Training) -> Work:
        identity = {"task": one.task, "options": dict(one.options), **versions()}
        return Work(TRAIN, identity, self.plan.time_limit)

    def _ended(self, work: Work, record: Record) -> None:
        """Take in the result of a job; a model that was trained is one to prove things of."""
        self.records[work.key] = record
        if work.kind == TRAIN and record["verdict"] == TRAINED:
            self._want(record["made_model"], self.trainings[work.key])
        elif work.kind == TRAIN:
            # Nothing can be proved of a model that is not there.
            self.merged += len(list(self.plan.proofs(self.trainings[work.key])))

    def _want(self, model: str, one: ModelFile | Training) -> None:
        """Want all proofs of a model; one that is wanted already only gets another name."""
        for proof, semantics in self.plan.proofs(one):
            work = self._proof(model, one.asked, proof, semantics)
            line = self.lines.get(work.key)
            if line is not None:
                self.merged += 1
                line.names = sorted({*line.names, one.name})
                continue
            self.lines[work.key] = _Line(work, model, proof, [one.name])
            record = self._known(work)
            if record is None:
                self._submit(work, model)
            else:
                self.records[work.key] = record

    def _proof(self, model: str, asked: Asked, proof: Proof, semantics: Semantics) -> Work:
        identity = {
            "model": model,
            **asked.spelled(),
            "files": {name: sha256(data) for name, data in self.plan.files.items()},
            "strategy": proof.strategy,
            "options": dict(proof.options),
            **semantics.spelled(),
            **versions(),
        }
        return Work(PROVE, identity, self.plan.time_limit)

    def _known(self, work: Work) -> Record | None:
        """Return the record of a job if it need not run again."""
        record = self.store.record(work)
        if record is None or not self.store.has(record):
            return None
        unfinished = record["verdict"] == STOPPED
        if unfinished and record["time_limit"] < work.time_limit:
            return None
        untrained = work.kind == TRAIN and record["verdict"] != TRAINED
        if self.retry and (unfinished or untrained or record["verdict"] == FAILED):
            return None
        if self.plan.checked_by == PARENT and record.get("checked-by") == WORKER:
            return None
        return record

    def _submit(self, work: Work, model: str | None) -> None:
        self.waiting.add(work.key)
        self.engine.submit(work, model, self._settle)

    def _settle(self, work: Work, outcome: Outcome | BaseException) -> None:
        """Check and keep what came of a job; this runs in a thread of the engine."""
        try:
            if isinstance(outcome, BaseException):
                raise outcome
            record = self._record(work, outcome)
            if self.checks.ended:
                return
            self.store.keep_record(work, record)
            self.settled.put((work, record))
        except BaseException as error:  # noqa: BLE001  (raised again where the sweep is run)
            self.settled.put((work, error))

    def _record(self, work: Work, outcome: Outcome) -> Record:
        """Return what is kept of an outcome; models and certificates are files of their own."""
        known: Record = {
            "verdict": outcome.verdict,
            "reason": outcome.reason,
            "seconds": dict(outcome.seconds),
            "place": outcome.place,
            "time_limit": work.time_limit,
        }
        if outcome.verdict not in (TRAINED, VERIFIED):
            return known
        if outcome.data is None or outcome.verdict != MADE[work.kind]:
            return {**known, "verdict": FAILED, "reason": "what was made did not come back"}
        if outcome.verdict == TRAINED:
            return {**known, "made_model": self.store.keep_model(outcome.data)}
        return {**known, **self._checked(work, outcome.data, outcome)}

    def _checked(self, work: Work, data: bytes, outcome: Outcome) -> Record:
        """Return what is kept of a certificate: here it is checked once more, unless the plan says
        that a worker's word is enough.
        """
        word, by = outcome, WORKER
        if self.plan.checked_by == PARENT:
            model = self.store.model(work.identity["model"])
            contents = contents_of(model, self.plan.files, data)
            word, by = run(work.of_kind(CHECK), contents, self.store.running, self.checks), PARENT
        found = {"checked-by": by, "seconds": {**outcome.seconds, **word.seconds}}
        if word.verdict != VERIFIED:
            return {**found, "verdict": word.verdict, "reason": word.reason}
        fields = word.facts["fields"]
        meant = {"certificate": sha256(data), "model": work.identity["model"]}
        if any(fields.get(name) != f"sha256:{digest}" for name, digest in meant.items()):
            return {**found, "verdict": FAILED, "reason": "the verdict is about other files"}
        facts = {
            "fields": dict(fields),
            "operations": int(word.facts["operations"]),
            "line": str(word.facts["line"]),
        }
        digest = self.store.keep_certificate(data)
        return {**found, **facts, "bytes": len(data), "certificate": digest}

    def _report(self, note: str) -> None:
        self.progress(len(self.records) + self.merged, self.size, note)

    def _told(self, work: Work) -> str:
        """Return a note on a job that has ended."""
        if work.kind == TRAIN:
            return self.trainings[work.key].name
        line = self.lines[work.key]
        return f"{line.names[0]}: {line.proof.label}"

    def found(self) -> Sweep:
        """Return all results that there are, sorted by key."""
        rows = tuple(sorted(self._rows(), key=lambda row: row.key))
        trained = [
            TrainedRow(key, one.name, one.task, dict(one.options), self.records[key])
            for key, one in self.trainings.items()
            if key in self.records
        ]
        complete = not self.waiting and len(self.records) + self.merged >= self.size
        return Sweep(rows, tuple(sorted(trained, key=lambda row: row.key)), versions(), complete)

    def _rows(self) -> Iterator[Row]:
        for key, line in self.lines.items():
            if key in self.records:
                proof, record = line.proof, self.records[key]
                names = tuple(line.names)
                yield Row(key, names, line.work.identity, proof.label, proof.group, record)
