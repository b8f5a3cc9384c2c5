"""Run an experiment: make its models, do its units, write tables and pictures.

Every training, proof, step and unit is kept as soon as it is done, under the hash of all that it
depends on: killed at any time, the same command goes on, and its results are the same bytes.
"""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from certify.canonical import canonical
from certify.errors import BadInput, CertifyError
from certify.files import read_bytes, write_bytes
from certify.lab.bench import DONE, Bench, said
from certify.lab.child import RESULT, UNIT
from certify.lab.experiment import Asked, Experiment, Subject, Unit
from certify.lab.kinds import Facts
from certify.lab.pictures import Pictures
from certify.lab.results import FORMAT, libraries, write_results
from certify.model.file import load_model
from certify.progress import Progress, silent
from certify.sweep.store import Store, read_model
from certify.sweep.work import Processes, Work, run_module, versions

LARGEST_RESULT = 1 << 28
UNIT_TIME_LIMIT = 7 * 24 * 3600.0
"""Seconds for one unit: a week, what is asked for is what the user waits for."""


@dataclass(frozen=True, slots=True)
class Done:
    """What came of an experiment: the results as they were written, and the reasons of failures."""

    results: Facts
    failures: tuple[str, ...]


def run_lab(
    experiment: Experiment,
    asked: Asked,
    *,
    out: Path | str,
    jobs: int = 1,
    progress: Progress = silent,
) -> Done:
    """Return the results of an experiment, which are kept in a folder with all that they rest on.

    Requires: ``jobs`` units run at a time, each in a process of its own with one core.
    Ensures:  the folder has ``results.json`` and ``results.csv``, the same bytes however often the
              command was interrupted, ``timing.json``, and the pictures as SVG and PNG; every model
              and certificate is there under its hash.  A unit that failed is named in the results
              and done again by the next call.
    Raises:   ``BadInput`` for a model or a folder that is not what it should be; ``Unsupported`` if
              another run is at work in the folder, or PyTorch or matplotlib is needed and missing.
    Cost:     that of its units; one that was done before costs nothing.
    """
    if jobs < 1:
        raise BadInput(f"the number of jobs must be at least 1, not {jobs}")
    store = Store(Path(out))
    with store.opened():
        running = _Running(experiment, asked, store, jobs, progress)
        try:
            return running.everything()
        finally:
            running.close()


class _Running:
    """An experiment at work."""

    def __init__(
        self, experiment: Experiment, asked: Asked, store: Store, jobs: int, progress: Progress
    ) -> None:
        self.experiment, self.asked, self.store = experiment, asked, store
        self.progress = progress
        self.processes = Processes()
        self.pool = ThreadPoolExecutor(jobs, thread_name_prefix="lab")
        self.failures: list[str] = []
        self.used: dict[str, str] = {}
        self.done = self.of = 0

    def close(self) -> None:
        """End what is at work, and forget what waits."""
        self.processes.end()
        self.pool.shutdown(wait=True, cancel_futures=True)

    def everything(self) -> Done:
        """Do all that is not done yet, and write what came of it."""
        subjects = self._subjects()
        units = list(self.experiment.units(self.asked, subjects))
        names = [unit.name for unit in units]
        if len(set(names)) < len(names):
            raise BadInput(f"lab {self.experiment.name}: two units have one name")
        self.of = self.done + len(units)
        self.progress(self.done, self.of, "")
        measured = self._each(units, self._unit, lambda unit: unit.name)
        found = [
            {"unit": unit.name, **result}
            for unit, result in zip(units, measured, strict=True)
            if result is not None
        ]
        complete = not self.failures
        results: Facts = {
            "format": FORMAT,
            "experiment": self.experiment.name,
            "asked": self.asked.facts(),
            "versions": {**versions(), **libraries()},
            "models": {subject.name: subject.facts() for subject in subjects},
            "complete": complete,
            "failures": sorted(self.failures),
            "units": found,
            "summary": self.experiment.summary(self.asked, found) if complete else {},
        }
        write_results(self.store, results, self.experiment.rows(results), self.used)
        if complete:
            self.experiment.draw(results, Pictures(self.store.folder))
        return Done(results, tuple(self.failures))

    def _subjects(self) -> list[Subject]:
        """Return the models: those of files, or one trained for each seed."""
        kind = self.asked.kind
        if self.asked.models:
            return [self._of_file(file) for file in self.asked.models]
        if not self.experiment.trains:
            return []
        self.of = len(self.asked.seeds)
        self.progress(0, self.of, "training")
        trained = self._each(self.asked.seeds, self._trained, lambda seed: f"seed {seed}")
        if self.failures:
            raise CertifyError(self.failures[0])
        return [
            Subject(f"{kind.name} seed {seed}", kind, str(model), {**kind.options, "seed": seed})
            for seed, model in zip(self.asked.seeds, trained, strict=True)
        ]

    def _of_file(self, file: Path) -> Subject:
        load_model(file)  # it is refused here if it is none
        name = file.parent.name if file.name == "model.safetensors" else file.stem
        return Subject(name or file.stem, self.asked.kind, self.store.keep_model(read_model(file)))

    def _trained(self, seed: int) -> str:
        bench = Bench(self.store, self.processes)
        model = bench.trained(self.asked.kind, {"seed": seed})
        self.used |= bench.used
        return model

    def _each(
        self,
        todo: Sequence[Any],
        work: Callable[[Any], Any],
        name: Callable[[Any], str],
    ) -> list[Any]:
        """Return the result of each, in order; None where it failed, with its reason."""
        futures = {self.pool.submit(work, one): place for place, one in enumerate(todo)}
        found: list[Any] = [None] * len(todo)
        for future in as_completed(futures):
            place = futures[future]
            try:
                found[place] = future.result()
            except CertifyError as error:
                self.failures.append(f"{name(todo[place])}: {error}")
            self.done += 1
            self.progress(self.done, self.of, name(todo[place]))
        return found

    def _unit(self, unit: Unit) -> Facts:
        """Return the result of a unit, done in a process of its own."""
        identity = {"about": dict(unit.about), "name": unit.name, **versions(), **libraries()}
        work = Work(f"unit {self.experiment.name}", identity, 0.0)
        record = self.store.record(work)
        if record is None or record.get("verdict") != DONE:
            found = self._run(unit)
            record = {**said(DONE), **found}
            self.store.keep_record(work, record)
        self.used |= record["used"]
        result: Facts = record["result"]
        return result

    def _run(self, unit: Unit) -> Mapping[str, Any]:
        with tempfile.TemporaryDirectory(
            dir=self.store.running, prefix="unit-", ignore_cleanup_errors=True
        ) as name:
            folder = Path(name).resolve()
            asked = {
                "experiment": self.experiment.name,
                "store": str(self.store.folder.resolve()),
                "name": unit.name,
                "about": dict(unit.about),
            }
            write_bytes(folder / UNIT, canonical(asked))
            code, errors = run_module("certify.lab.child", folder, UNIT_TIME_LIMIT, self.processes)
            if code != 0:
                lines = [line.strip() for line in errors.splitlines() if line.strip()]
                raise CertifyError((lines or [f"exit {code}"])[-1])
            found: Mapping[str, Any] = json.loads(read_bytes(folder / RESULT, LARGEST_RESULT))
            return found
