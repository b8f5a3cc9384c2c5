"""Damage the checker in every way we know; each damage must fail a test.

    python tests/gates/mutants.py [--part I/N] [--jobs J] [--sample N] [--seed S] [--only TEXT]
                                  [--list] [--summary] [--tests PATH ...] [--allowance S]

First every selected test is run once, undamaged, and what it executes of `checker/` is recorded.
Then, for each damage, the tests that execute the damaged statement are run until one fails: first
what noticed this damage or its neighbours before, then the fastest.  A damage that none of them
notices has to be in `equivalent_mutants.txt` with a reason, else the exit code is 1.

What is noticed takes half a second, what is not takes as long as all tests that reach it.  So a
long run has two stages: with `--allowance 5` no test of a damage begins after five seconds of the
processor, and what was not noticed until then is stored as such, SO FAR; with a greater allowance,
or without one, these alone are run again.  A fork that ends in another way than its tests say is
BROKEN: it counts as not noticed, and the run goes on.

Each result is a line of `build/mutants/results.jsonl`, with a hash of what decided it: the damaged
checker, what all tests share, and the file of the test that failed, or every test if none did.  A
run that was interrupted goes on where it was; what changed is run again, so a new test makes only
the survivors run again.
`--summary` counts the results and lists the survivors.
"""

# ruff: noqa: T201 (a command)

from __future__ import annotations

import argparse
import ast
import functools
import json
import math
import os
import queue
import random
import shutil
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from damages import GATES, ROOT, Mutant, all_mutants, reviewed
from mentions import Mentions

BUILD = ROOT / "build" / "mutants"
COPIED = ("certify", "checker", "tests", "benchmarks", "docs", "certificates", "formal", "web")
# Their damages are not noticed by what they say but by what they compare with, or they take long.
LEFT_OUT = (
    "tests/checker/test_archive.py",
    "tests/checker/test_certificates.py",
    "tests/checker/test_spec.py",
    "tests/checker/test_hostile.py",
    "tests/checker/test_vectors.py::test_the_vectors_are_what_the_generator_writes",
    "tests/checker/test_vectors.py::test_every_refusal_in_the_code_has_two_vectors",
    "tests/checker/test_checker_cli.py::test_version_is_stable_and_needs_no_files",
)
SELECTION = ("tests/checker",)
# They read what they need from files of their own, whatever their module has imported.
FROM_FILES = tuple(
    f"tests/checker/test_vectors.py::{test}["
    for test in (
        "test_refused_for_the_right_reason",
        "test_accepted_with_these_numbers",
        "test_what_depends_on_the_command_line",
    )
)
PARALLEL = ("tests", "seconds", "starts")  # what a request has of each test
RECENT = 6  # so many tests that noticed neighbours are tried first
SO_FAR = "allowance"  # how an attempt ends whose allowance was spent before its tests were
UNCOLLECTED = "collection"  # how it ends where the tests could not be imported
BROKEN = "exit"  # how an attempt begins to be told that ended by something else than a test


def arguments_of_pytest(selection: Sequence[str]) -> list[str]:
    """Return what pytest is told; more tests are left out by MUTANTS_LEFT_OUT, between commas."""
    more = os.environ.get("MUTANTS_LEFT_OUT", "").split(",")
    left_out = [
        word
        for test in (*LEFT_OUT, *filter(None, more))
        for word in (("--deselect", test) if "::" in test else ("--ignore", test))
    ]
    plain = ("-q", "--assert=plain", "--tb=no", "-p", "no:cacheprovider", "-p", "no:xdist")
    # What one test left open is collected during another, which would then fail for it.
    apart = ("-p", "no:unraisableexception", "-p", "no:threadexception")
    kept = ("-o", "tmp_path_retention_policy=none", "-o", "tmp_path_retention_count=0")
    return [*plain, *apart, *kept, *left_out, *selection]


def tree(folder: Path) -> Path:
    """Copy what the tests need into a folder."""
    ignore = shutil.ignore_patterns("__pycache__", ".hypothesis", ".pytest_cache")
    for name in COPIED:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    for name in ("pyproject.toml", "Makefile", "README.md"):
        shutil.copy(ROOT / name, folder)
    return folder


# --- processes that run tests -----------------------------------------------------


class Worker:
    """A process that answers requests in its own copy of the repository."""

    def __init__(self, folder: Path, mode: str, selection: Sequence[str] = SELECTION) -> None:
        ours, theirs, back, forth = (*os.pipe(), *os.pipe())
        paths = os.pathsep.join(map(str, (folder, folder / "tests" / "gates")))
        environment = {
            "PYTHONPATH": paths,
            "PYTHONHASHSEED": "0",
            "PYTEST_ADDOPTS": "",
            "MUTANTS_MODE": mode,
            "MUTANTS_PIPE": f"{ours},{forth}",
            "MUTANTS_PRELOAD": "numpy,hypothesis,mpmath,flint,gmpy2,fractions,json,decimal",
        }
        line = [sys.executable, "-m", "pytest", "-p", "mutant_worker"]
        line += arguments_of_pytest(selection)
        if mode == "cold":
            line = [sys.executable, str(folder / "tests" / "gates" / "mutant_worker.py")]
        self.log = (folder / f"{mode}.log").open("wb")
        self.process = subprocess.Popen(
            line,
            cwd=folder,
            env=os.environ | environment,
            pass_fds=(ours, forth),
            stdin=subprocess.DEVNULL,
            stdout=self.log,
            stderr=subprocess.STDOUT,
        )
        os.close(ours)
        os.close(forth)
        self.requests = os.fdopen(theirs, "w", encoding="utf-8")
        self.answers = os.fdopen(back, "r", encoding="utf-8")
        self.hello = self._answer()
        self.tests: list[str] = self.hello["tests"]
        self.sound: dict[str | int, bool] = {}  # tests that pass alone without any damage

    def ask(self, **request: object) -> dict[str, Any]:
        """Send a request and return the answer."""
        self.requests.write(json.dumps(request) + "\n")
        self.requests.flush()
        return self._answer()

    def _answer(self) -> dict[str, Any]:
        line = self.answers.readline()
        if not line:
            self.process.wait()
            said = Path(self.log.name).read_text("utf-8", "replace")[-3000:]
            raise RuntimeError(f"a process that runs tests has ended: {said}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.requests.close()
        self.process.wait()
        self.answers.close()
        self.log.close()


# --- what the tests execute -------------------------------------------------------


@dataclass(frozen=True)
class Test:
    """What a test executes of the checker, and how long it takes."""

    name: str
    seconds: float
    starts: bool
    reached: Mapping[str, Sequence[int]]
    state: str = ""


@dataclass
class Record:
    """All tests; which of them reach a statement; what their files reach while imported."""

    tests: dict[str, Test]
    imported: Mapping[str, Mapping[str, Sequence[int]]]
    mentions: Mentions = field(default_factory=lambda: Mentions({}, {}))
    reaching: dict[tuple[str, int], set[str]] = field(init=False)

    def __post_init__(self) -> None:
        self.reaching = defaultdict(set)
        for test in self.tests.values():
            for file, lines in test.reached.items():
                for line in lines:
                    self.reaching[file, line].add(test.name)

    def ready(self, mutant: Mutant) -> set[str]:
        """Return the tests that could notice where nothing is imported again.

        A test whose file, while it is imported, runs the damaged statement holds what the
        undamaged one gave: it would compare the two, and fail for that alone.
        """
        if not mutant.owner:
            return set()
        return {name for name in self._reaching(mutant) if not self._holds(name, mutant)}

    def fresh(self, mutant: Mutant) -> set[str]:
        """Return the tests that could notice if everything is imported again."""
        if mutant.owner:
            return {name for name in self._reaching(mutant) if self._holds(name, mutant)}
        places, named = self.mentions.of(mutant.targets)
        found = set[str]().union(*(self.reaching[place] for place in places))
        return found | {
            test.name
            for test in self.tests.values()
            if test.starts or named & {test.name.partition("[")[0], test.name.partition("::")[0]}
        }

    def _reaching(self, mutant: Mutant) -> set[str]:
        """Return the tests that execute a statement, and those of which we do not know it."""
        starting = {test.name for test in self.tests.values() if test.starts}
        return self.reaching[mutant.file, mutant.statement] | starting

    def _holds(self, name: str, mutant: Mutant) -> bool:
        if name.startswith(FROM_FILES):
            return False
        reached = self.imported.get(name.partition("::")[0], {})
        return mutant.statement in reached.get(mutant.file, ())

    def order(self, names: set[str], first: Iterable[str]) -> list[Test]:
        """Return tests, the best first: what noticed before, then the fastest."""
        chosen = [self.tests[name] for name in dict.fromkeys(first) if name in names]
        others = [self.tests[name] for name in names - {test.name for test in chosen}]
        return [*chosen, *sorted(others, key=lambda test: (test.starts, test.seconds, test.name))]


def record(
    folders: Sequence[Path],
    selection: Sequence[str],
    known: Iterable[Test] = (),
    *,
    despite: bool = False,
) -> Record:
    """Run every test once, undamaged, with marks in the checker; but for what is known of tests
    that are as they were.
    """
    base = State(selection)
    held = {test.name: test for test in known if test.state == base.of(by=test.name)}
    tests: dict[str, Test] = {}
    failing: list[str] = []
    hello: dict[str, Any] = {}
    todo: queue.SimpleQueue[int] = queue.SimpleQueue()
    filled = threading.Barrier(len(folders))

    def work(folder: Path, number: int) -> None:
        with Worker(folder, "record", selection) as worker:
            if number == 0:
                hello.update(worker.hello)
                for at in range(len(worker.tests)):
                    todo.put(at)
            filled.wait()
            for at in _rest(todo):
                name = worker.tests[at]
                if name in held:
                    tests[name] = held[name]
                    continue
                found = worker.ask(test=at)
                if not found["passed"]:
                    failing.append(name)
                    continue
                what = (found["seconds"], found["starts"], found["reached"])
                tests[name] = Test(name, *what, state=base.of(by=name))

    _together(work, folders)
    if failing and not despite:
        raise Insane(sorted(failing))
    for name in sorted(failing):
        print(f"left out, because it fails without any damage: {name}", flush=True)
    in_order = {name: tests[name] for name in hello["tests"] if name in tests}
    return Record(in_order, hello["imported"], mentions())


def mentions() -> Mentions:
    """Return where the names of the checker are used."""
    texts = {
        folder: {
            path.relative_to(ROOT).as_posix(): path.read_text("utf-8")
            for path in sorted((ROOT / folder).rglob("*.py"))
        }
        for folder in ("checker", "tests")
    }
    return Mentions(texts["checker"], texts["tests"])


def recorded(
    folders: Sequence[Path], selection: Sequence[str], store: Path, *, despite: bool = False
) -> Record:
    """Return the record of this checker and these tests, from its file if there is one."""
    path = store / f"record-{State(selection).of()}.json"
    if path.is_file():
        written = json.loads(path.read_text("utf-8"))
        tests = {test["name"]: Test(**test) for test in written["tests"]}
        return Record(tests, written["imported"], mentions())
    store.mkdir(parents=True, exist_ok=True)
    earlier = sorted(store.glob("record-*.json"))
    written = [json.loads(old.read_text("utf-8")) for old in earlier]
    known = [Test(**test) for one in written for test in one["tests"]]
    found = record(folders, selection, known, despite=despite)
    for old in earlier:
        old.unlink()
    text = {"tests": [vars(test) for test in found.tests.values()], "imported": found.imported}
    part = path.with_suffix(".part")
    part.write_text(json.dumps(text), "utf-8")
    part.replace(path)
    return found


class Insane(Exception):
    """Tests fail without any damage."""


def _rest(todo: queue.SimpleQueue[Any]) -> Iterator[Any]:
    while True:
        try:
            yield todo.get_nowait()
        except queue.Empty:
            return


def _together(work: Any, folders: Sequence[Path]) -> None:
    """Do something in a thread for each folder; the first error is raised here."""
    errors: list[BaseException] = []

    def one(folder: Path, number: int) -> None:
        try:
            work(folder, number)
        except BaseException as error:  # noqa: BLE001 (raised below)
            errors.append(error)

    threads = [threading.Thread(target=one, args=pair) for pair in zip(folders, range(99))]  # noqa: B905
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]


# --- damages ----------------------------------------------------------------------


@dataclass(frozen=True)
class Result:
    """What became of a damage; ``state`` is a hash of all that was run."""

    key: str
    state: str
    killed: bool
    by: str
    how: str
    seconds: float

    def then(self, other: Result) -> Result:
        """Return what came of two attempts, the second after the first noticed nothing."""
        how = other.how or self.how  # with all tests only if both were
        return replace(other, how=how, seconds=round(self.seconds + other.seconds, 3))


class Memory:
    """What noticed which damage, for the order of the tests."""

    def __init__(self, results: Iterable[Result]) -> None:
        self.noticed = {result.key: result.by for result in results if result.killed}
        self.near: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)

    def first(self, mutant: Mutant) -> list[str]:
        """Return the tests to begin with."""
        near = self.near[mutant.file, mutant.function].most_common(RECENT)
        before = self.noticed.get(mutant.key)
        return [*([before] if before else []), *(name for name, _ in near)]

    def learn(self, mutant: Mutant, result: Result) -> None:
        """Remember a result."""
        if result.killed:
            self.near[mutant.file, mutant.function][result.by] += 1


def run(
    mutants: Sequence[Mutant],
    jobs: int,
    selection: Sequence[str] = SELECTION,
    store: Path = BUILD,
    results: Iterable[Result] = (),
    *,
    despite: bool = False,
    allowance: float | None = None,
) -> Iterator[tuple[Mutant, Result]]:
    """Yield (mutant, result) as the work proceeds."""
    with tempfile.TemporaryDirectory(prefix="mutants-") as place:
        folders = [tree(Path(place) / str(job)) for job in range(max(1, jobs))]
        begin = time.monotonic()
        found = recorded(folders, selection, store, despite=despite)
        longest = sum(test.seconds for test in found.tests.values())
        print(
            f"{len(found.tests)} tests, {longest:.0f} s of the processor; "
            f"recorded in {time.monotonic() - begin:.0f} s",
            flush=True,
        )
        yield from _run(mutants, folders, selection, found, Memory(results), allowance)


def _run(
    mutants: Sequence[Mutant],
    folders: Sequence[Path],
    selection: Sequence[str],
    found: Record,
    memory: Memory,
    allowance: float | None,
) -> Iterator[tuple[Mutant, Result]]:
    todo: queue.SimpleQueue[Mutant] = queue.SimpleQueue()
    done: queue.SimpleQueue[tuple[Mutant, Result] | BaseException | None] = queue.SimpleQueue()
    base = State(selection)
    for mutant in mutants:
        todo.put(mutant)

    def work(folder: Path, number: int) -> None:
        try:
            with ExitStack() as stack:

                @functools.cache
                def worker(mode: str) -> Worker:
                    return stack.enter_context(Worker(folder, mode, selection))

                for mutant in _rest(todo):
                    result = None
                    ready, fresh = found.ready(mutant), found.fresh(mutant)
                    if ready:
                        order = found.order(ready, memory.first(mutant))
                        result = attempt(worker("warm"), "warm", mutant, order, base, allowance)
                        fresh |= ready if result is None else set()
                    if fresh and not (result and result.killed):
                        order = found.order(fresh, memory.first(mutant))
                        more = attempt(worker("cold"), "cold", mutant, order, base, allowance)
                        result = more if result is None or more is None else result.then(more)
                    if result is None:
                        result = Result(mutant.key, base.of(mutant), False, "", "not executed", 0)
                    memory.learn(mutant, result)
                    done.put((mutant, result))
        except BaseException as error:  # noqa: BLE001 (raised by who reads)
            done.put(error)
        finally:
            done.put(None)

    threads = [
        threading.Thread(target=work, args=(folder, number), daemon=True)
        for number, folder in enumerate(folders)
    ]
    for thread in threads:
        thread.start()
    running = len(threads)
    while running:
        got = done.get()
        if got is None:
            running -= 1
        elif isinstance(got, BaseException):
            raise got
        else:
            yield got


def attempt(
    worker: Worker,
    mode: str,
    mutant: Mutant,
    order: Sequence[Test],
    base: State,
    allowance: float | None = None,
) -> Result | None:
    """Return what became of a damage, or nothing if its function cannot be exchanged in place."""
    request: dict[str, Any] = {
        "file": mutant.file,
        "source": mutant.source,
        "seconds": [test.seconds for test in order],
        "starts": [test.starts for test in order],
        "allowance": allowance,
    }
    if mode == "warm":
        number = {name: at for at, name in enumerate(worker.tests)}
        request["tests"] = [number[test.name] for test in order]
        request["functions"] = [mutant.owner]
        answer = _first_failing(worker, request)
        if answer["how"] == "cold":
            return None
    else:
        answer = _cold(worker, request, order)
    how, at = answer["how"], answer["at"]
    if how.startswith(BROKEN) and "MemoryError" not in answer["note"]:
        how = f"{how}: {answer['note']}"
        killed = False
    else:
        killed = how not in ("", SO_FAR)
    seconds = round(answer["seconds"], 3)
    by = order[at].name if how else ""
    alone = by if killed and how != UNCOLLECTED else ""
    return Result(mutant.key, base.of(mutant, alone), killed, by, how, seconds)


def _first_failing(worker: Worker, request: dict[str, Any]) -> dict[str, Any]:
    """Try the tests one after the other in one process.  A test that fails behind others and not
    alone has failed for what ran before it; it has noticed nothing and is left out.  So is one that
    fails alone without any damage, and one with processes of its own that fails only once.
    """
    left = list(range(len(request["tests"])))
    seconds = 0.0
    while left:
        some = {name: [request[name][at] for at in left] for name in PARALLEL}
        answer = worker.ask(**request | some)
        seconds += answer["seconds"]
        failed = answer["at"]
        if answer["how"] == "test":
            alone = request | {name: some[name][failed : failed + 1] for name in some}
            again = answer
            if failed > 0 or some["starts"][failed]:
                again = worker.ask(**alone)
                seconds += again["seconds"]
            if not again["how"] or not _passes_undamaged(worker, alone):
                del left[failed]
                continue
        return answer | {"at": left[failed], "seconds": seconds}
    return {"how": "", "at": 0, "seconds": seconds, "note": ""}


def _passes_undamaged(worker: Worker, alone: dict[str, Any]) -> bool:
    """Return whether the only test of a request passes by itself with the checker as it is."""
    (test,) = alone["tests"]
    if test not in worker.sound:
        whole = (ROOT / alone["file"]).read_text("utf-8")
        answer = worker.ask(**alone | {"source": whole, "allowance": None})
        worker.sound[test] = not answer["how"]
    return worker.sound[test]


def _cold(worker: Worker, request: dict[str, Any], order: Sequence[Test]) -> dict[str, Any]:
    """Try the file of the first test alone, then all files: most damages fail the first."""
    file = order[0].name.partition("::")[0]
    some = [at for at, test in enumerate(order) if test.name.startswith(file)]
    answer: dict[str, Any] = {}
    for chosen in (some, list(range(len(order)))):
        request["tests"] = [order[at].name for at in chosen]
        request["seconds"] = [order[at].seconds for at in chosen]
        request["starts"] = [order[at].starts for at in chosen]
        request["line"] = arguments_of_pytest(())
        answer = _first_failing(worker, request)
        answer["at"] = chosen[answer["at"]]
        if answer["how"] == UNCOLLECTED and chosen is some:
            answer["how"] = "test"  # the file cannot be imported: each of its tests fails
        if answer["how"]:
            break
    return answer


class State:
    """Hashes of all that decides a result: the damaged checker, the tests, and which are run.

    What a test decides alone depends on its file, on the files of tests which that imports, and on
    all files that are no tests: oracles, generators, vectors.
    """

    def __init__(self, selection: Sequence[str]) -> None:
        self.selection = arguments_of_pytest(selection)
        self.files = {
            path.relative_to(ROOT).as_posix(): sha256(path.read_bytes()).hexdigest()
            for folder in ("checker", "tests")
            for path in sorted((ROOT / folder).rglob("*"))
            if path.is_file() and path.suffix != ".pyc" and path.parent != GATES
        }
        self.suites = {file for file in self.files if Path(file).name.startswith("test_")}
        self.needed: dict[str, set[str]] = {}
        self.whole: dict[str, str] = {}

    def of(self, mutant: Mutant | None = None, by: str = "") -> str:
        """Return the hash of everything, with one file damaged; or of what one test depends on."""
        suite = by.partition("::")[0]
        if mutant is None and suite in self.whole:
            return self.whole[suite]
        files = self._files(suite) if by else dict(self.files)
        if mutant is not None:
            files[mutant.file] = sha256(mutant.source.encode()).hexdigest()
        everything = json.dumps([self.selection, files], sort_keys=True)
        digest = sha256(everything.encode()).hexdigest()[:32]
        if mutant is None:
            self.whole[suite] = digest
        return digest

    def holds(self, mutant: Mutant, result: Result) -> bool:
        """Return whether a stored result is what a run would find now."""
        some = {self.of(mutant)} | ({self.of(mutant, result.by)} if result.killed else set())
        return result.key == mutant.key and result.state in some

    def _files(self, suite: str) -> dict[str, str]:
        if suite not in self.needed:
            self.needed[suite] = self._with_imports(suite)
        others = self.suites - self.needed[suite]
        return {file: digest for file, digest in self.files.items() if file not in others}

    def _with_imports(self, suite: str) -> set[str]:
        """Return a file of tests and those that it imports, directly or not."""
        found: set[str] = set()
        todo = [suite]
        while todo:
            file = todo.pop()
            if file in found or not (ROOT / file).is_file():
                continue
            found.add(file)
            names = imported_names((ROOT / file).read_text("utf-8"))
            todo += [other for other in self.suites if Path(other).stem in names]
        return found


def imported_names(source: str) -> set[str]:
    """Return the last part of the name of every module that a text imports."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.rpartition(".")[2] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found.add(node.module.rpartition(".")[2])
    return found


# --- results ----------------------------------------------------------------------


def stored(path: Path) -> list[Result]:
    """Return the results of a file; a line that an interrupted run left unfinished is no result."""
    found = []
    for line in path.read_text("utf-8").splitlines() if path.is_file() else []:
        try:
            found.append(Result(**json.loads(line)))
        except (json.JSONDecodeError, TypeError):
            continue
    return found


def in_part(mutant: Mutant, part: str) -> bool:
    """Return whether a damage belongs to part I of N; it always belongs to the same."""
    which, _, parts = part.partition("/")
    digest = sha256(mutant.key.encode()).digest()
    return int.from_bytes(digest[:8], "big") % int(parts) == int(which) - 1


def word(result: Result, known: Mapping[str, str]) -> str:
    """Return what became of a damage in one word."""
    if result.killed:
        return "killed"
    if result.how.startswith(BROKEN):
        return "BROKEN"
    if result.key in known:
        return "equivalent"
    return "SO FAR" if result.how == SO_FAR else "SURVIVED"


def still_holding(
    mutants: Iterable[Mutant], results: Iterable[Result], base: State
) -> dict[str, Result]:
    """Return {key: the last result that still holds}; what was noticed stays so."""
    by_key = {mutant.key: mutant for mutant in mutants}
    found: dict[str, Result] = {}
    for result in results:
        mutant = by_key.get(result.key)
        before = found.get(result.key)
        if mutant is None or (before is not None and before.killed):
            continue
        if base.holds(mutant, result):
            found[result.key] = result
    return found


UNNOTICED = ("SURVIVED", "SO FAR", "BROKEN")


def summary(mutants: Sequence[Mutant], results: Iterable[Result], selection: Sequence[str]) -> int:
    """Print the counts of the results that still hold, and the survivors."""
    known = reviewed()
    held = still_holding(mutants, results, State(selection))
    found = [(mutant, held.get(mutant.key)) for mutant in mutants]
    words = Counter("not run" if result is None else word(result, known) for _, result in found)
    for mutant, result in found:
        if result is not None and word(result, known) in UNNOTICED:
            print(f"{word(result, known)} {mutant.file}:{mutant.line} {mutant.key}")
    for mutant, result in found:
        if result is not None and result.killed and mutant.key in known:
            print(f"reviewed, but noticed by {result.by}: {mutant.key}")
    print(", ".join(f"{count} {name}" for name, count in sorted(words.items())))
    return int(any(words[name] for name in (*UNNOTICED, "not run")))


def arguments(argv: list[str]) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description="Damage the checker in every way we know.")
    parser.add_argument("--part", default="1/1", metavar="I/N", help="only the damages of one part")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many, and store nothing")
    parser.add_argument(
        "--seed", type=int, help="of the sample; a random one is chosen and printed"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J")
    parser.add_argument("--only", default="", metavar="TEXT", help="only keys that contain this")
    parser.add_argument("--list", action="store_true", help="print the damages, and run nothing")
    parser.add_argument("--summary", action="store_true", help="count the stored results")
    parser.add_argument("--results", type=Path, default=BUILD / "results.jsonl", metavar="FILE")
    parser.add_argument(
        "--despite-failures", action="store_true", help="leave out tests that fail undamaged"
    )
    parser.add_argument(
        "--allowance", type=float, metavar="S", help="seconds of the processor for each damage"
    )
    parser.add_argument("--tests", nargs="+", default=SELECTION, metavar="PATH", help="these tests")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run the damages and print what became of each."""
    options = arguments(argv)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    chosen = [m for m in all_mutants() if options.only in m.key and in_part(m, options.part)]
    total, results = len(chosen), stored(options.results)
    if options.summary:
        return summary(chosen, results, options.tests)
    if options.sample is not None and options.sample < total:
        chosen = random.Random(seed).sample(chosen, options.sample)
    if options.list:
        print("\n".join(f"{mutant.file}:{mutant.line} {mutant.key}" for mutant in chosen))
        return 0
    print(f"{total} mutants, {len(chosen)} of them run, seed {seed}", flush=True)
    return report(chosen, results, options)


def _todo(
    todo: Sequence[Mutant], results: Sequence[Result], options: argparse.Namespace
) -> Iterable[tuple[Mutant, Result]]:
    store = options.results.parent
    if not todo:
        return ()
    return run(
        todo,
        options.jobs,
        options.tests,
        store,
        results,
        despite=options.despite_failures,
        allowance=options.allowance,
    )


def report(chosen: Sequence[Mutant], results: list[Result], options: argparse.Namespace) -> int:
    """Run what has no result yet, store and print each result, and count."""
    known, start = reviewed(), time.monotonic()
    again = options.sample is not None
    allowance = math.inf if options.allowance is None else options.allowance
    counted = [
        result
        for result in results
        if not again and (result.how != SO_FAR or result.seconds >= allowance)
    ]
    held = still_holding(chosen, counted, State(options.tests))
    todo = [mutant for mutant in chosen if mutant.key not in held]
    done = list(held.values())
    options.results.parent.mkdir(parents=True, exist_ok=True)
    with options.results.open("a", encoding="utf-8") as store:
        try:
            for mutant, result in _todo(todo, results, options):
                done.append(result)
                if not again:
                    store.write(json.dumps(vars(result)) + "\n")
                    store.flush()
                print(
                    f"{word(result, known)} {mutant.file}:{mutant.line} {mutant.operator}: "
                    f"{mutant.before[:90]} -> {mutant.after[:90]} "
                    f"({result.how} {result.by.rpartition('/')[2]} {result.seconds:.2f} s)",
                    flush=True,
                )
        except Insane as error:
            print(f"tests fail without any damage: {error}")
            return 2
    words = Counter(word(result, known) for result in done)
    seconds = time.monotonic() - start
    print(
        f"{words['killed']} killed, {words['equivalent']} known to be equivalent, "
        f"{words['SURVIVED']} survived, {words['SO FAR']} not noticed so far, "
        f"{words['BROKEN']} broken off; {len(todo)} run in {seconds:.0f} s"
    )
    print("\n".join(r.key for r in done if word(r, known) in UNNOTICED))
    return int(any(words[name] for name in UNNOTICED))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
