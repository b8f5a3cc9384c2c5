"""The side of `mutants.py` that runs tests: a plugin of pytest, and one process for each job.

    python -m pytest -p mutant_worker ...  with MUTANTS_PIPE=READ,WRITE and MUTANTS_MODE=...

The tests are collected once; then, instead of running them, the process answers requests, one line
of JSON each.  A damage is tried in a fork of it, so that the next begins where this one began.

* `record`: the checker is compiled with a mark before each statement.  The answer to a test is
  which marks it passed, its seconds, and whether it started another process.
* `warm`: the answer to a mutant is the first test that fails.  In the fork the code of the damaged
  functions is exchanged in place, so that nothing has to be imported or collected again.
* `cold`: the same for a mutant that changes what happens while modules are imported: nothing of the
  checker and of the tests is imported before the fork.

With an allowance, no test begins after the tests of a damage have used so many seconds.

A test may take ten times the seconds that it took when it was recorded and a few more, counted as
time of the processor, and the memory of a fork is limited: whoever needs more has been noticed.
"""

from __future__ import annotations

import ast
import contextlib
import functools
import gc
import importlib.abc
import importlib.machinery
import importlib.util
import inspect
import itertools
import json
import mmap
import os
import resource
import select
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from _pytest.runner import runtestprotocol

MEMORY = 3 << 30
LEAST_SECONDS = 5  # of the processor, for any test
STRETCH = 10  # a damaged checker may be slower by this factor
WALL_SECONDS = 1200  # a backstop for what waits and does not work
NOTICED = 3  # the exit code of a fork in which a test failed
SPENT = 5  # the exit code of a fork whose allowance ended before its tests did
UNCOLLECTED = 6  # the exit code of a fork in which the tests could not even be imported
PASSED = 7  # and of one in which all passed: 0 is what a damaged checker may end with
ENDINGS = {PASSED: "", NOTICED: "test", SPENT: "allowance", UNCOLLECTED: "collection"}
MARKS = "__marks__"


def configure() -> None:
    """Let Hypothesis choose the same examples each time, and not make failing ones smaller."""
    hypothesis.settings.register_profile(
        "mutants",
        derandomize=True,
        database=None,
        deadline=None,
        phases=(hypothesis.Phase.explicit, hypothesis.Phase.generate),
        suppress_health_check=list(hypothesis.HealthCheck),
    )
    hypothesis.settings.load_profile("mutants")
    # Whoever starts this in the background may be deaf to interrupts; tests send them to workers.
    signal.signal(signal.SIGINT, signal.default_int_handler)


# --- marks ------------------------------------------------------------------------


class Marks:
    """A byte for each statement of the checker, set when the statement is reached, be it by a fork
    of the process.
    """

    def __init__(self) -> None:
        self.places: list[tuple[str, int]] = []
        self.reached = mmap.mmap(-1, 1 << 16)

    def marked(self, file: str, source: str) -> ast.Module:
        """Return a module with a mark before each statement."""
        tree = ast.parse(source)
        for node in list(ast.walk(tree)):
            for field in ("body", "orelse", "finalbody"):
                body = getattr(node, field, None)
                if isinstance(body, list) and body and isinstance(body[0], ast.stmt):
                    setattr(node, field, list(self._marked(file, body)))
        return ast.fix_missing_locations(tree)

    def _marked(self, file: str, body: Sequence[ast.stmt]) -> Iterator[ast.stmt]:
        for statement in body:
            first = isinstance(statement, ast.ImportFrom) and statement.module == "__future__"
            text = isinstance(statement, ast.Expr) and isinstance(statement.value, ast.Constant)
            if not first and not text:
                slot = ast.Constant(len(self.places))
                target = ast.Subscript(ast.Name(MARKS, ast.Load()), slot, ast.Store())
                mark = ast.Assign([target], ast.Constant(1))
                self.places.append((file, statement.lineno))
                yield ast.copy_location(mark, statement)
            yield statement

    def taken(self) -> dict[str, list[int]]:
        """Return the lines of each file that were reached, and forget them."""
        found: dict[str, list[int]] = {}
        for (file, line), reached in zip(self.places, self.reached[:], strict=False):
            if reached:
                found.setdefault(file, []).append(line)
        self.reached[:] = bytes(len(self.reached))
        return {file: sorted(lines) for file, lines in found.items()}


class Accounts:
    """What modules of the tests reach of the checker while they are imported, each by itself."""

    def __init__(self, root: Path, marks: Marks) -> None:
        self.root, self.marks = root, marks
        self.own: dict[str, dict[str, set[int]]] = {}
        self.now: list[str] = []

    def settle(self) -> None:
        """Write what was reached to the account of the module that is being imported."""
        reached = self.marks.taken()
        account = self.own.setdefault(self.now[-1] if self.now else "", {})
        for file, lines in reached.items():
            account.setdefault(file, set()).update(lines)

    def watch(self) -> None:
        """Keep accounts from now on."""
        execute = importlib.machinery.SourceFileLoader.exec_module

        def watched(loader: Any, module: types.ModuleType) -> None:
            path = Path(str(module.__file__))
            if not path.is_relative_to(self.root / "tests"):
                execute(loader, module)
                return
            self.settle()
            self.now.append(path.relative_to(self.root).as_posix())
            execute(loader, module)
            self.settle()
            self.now.pop()

        importlib.machinery.SourceFileLoader.exec_module = watched  # type: ignore[assignment,method-assign]

    def whole(self) -> dict[str, dict[str, list[int]]]:
        """Return what each module reaches, those that it imports included."""
        files = {
            name: Path(str(module.__file__)).relative_to(self.root).as_posix()
            for name, module in list(sys.modules.items())
            if getattr(module, "__file__", None)
            and Path(str(module.__file__)).is_relative_to(self.root / "tests")
        }
        needs = {file: _needed(self.root / file, files) for file in set(files.values())}
        found: dict[str, dict[str, list[int]]] = {}
        for file in needs:
            closed, todo = {file}, [file]
            while todo:
                more = needs[todo.pop()] - closed
                closed |= more
                todo += more
            lines: dict[str, set[int]] = {}
            for one in closed:
                for name, some in self.own.get(one, {}).items():
                    lines.setdefault(name, set()).update(some)
            found[file] = {name: sorted(some) for name, some in lines.items()}
        return found


def _needed(path: Path, files: dict[str, str]) -> set[str]:
    """Return the files of the tests that one of them imports."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return {files[name] for name in names & files.keys()}


class Finder(importlib.abc.MetaPathFinder, importlib.abc.InspectLoader):
    """Import modules of the checker from another text than that of their files."""

    def __init__(
        self, root: Path, sources: dict[str, Callable[[str, str], Any]], names: dict[str, object]
    ) -> None:
        self.root, self.sources, self.names = root, sources, names

    def find_spec(self, fullname: str, path: object, target: object = None) -> Any:
        """Return where a module of the checker is, if its text is to be another."""
        if fullname.partition(".")[0] != "checker":
            return None
        place = self.root.joinpath(*fullname.split("."))
        package = place.is_dir()
        file = place / "__init__.py" if package else place.with_suffix(".py")
        name = file.relative_to(self.root).as_posix()
        if name not in self.sources and "*" not in self.sources:
            return None
        within = [str(place)] if package else None
        return importlib.util.spec_from_file_location(
            fullname, file, loader=self, submodule_search_locations=within
        )

    def get_source(self, fullname: str) -> str | None:
        """Return nothing: the text is that of the file."""
        return None

    def create_module(self, spec: Any) -> None:
        """Let Python make the module."""

    def exec_module(self, module: types.ModuleType) -> None:
        """Run the other text."""
        file = Path(str(module.__file__))
        name = file.relative_to(self.root).as_posix()
        made = self.sources.get(name, self.sources.get("*"))
        if made is None:
            raise ImportError(name)
        module.__dict__.update(self.names)
        exec(compile(made(name, file.read_text("utf-8")), str(file), "exec"), module.__dict__)  # noqa: S102


# --- exchange of code in place ----------------------------------------------------


def codes(code: types.CodeType) -> Iterator[tuple[str, types.CodeType]]:
    """Yield (qualified name, code) of the functions of a module and of its classes."""
    for constant in code.co_consts:
        if isinstance(constant, types.CodeType):
            is_class = not constant.co_flags & inspect.CO_OPTIMIZED
            if is_class:
                yield from codes(constant)
            elif not constant.co_name.startswith("<"):
                yield constant.co_qualname, constant


def functions(module: types.ModuleType) -> Iterator[types.FunctionType]:
    """Yield the functions that a module defines, those of its classes and of caches too."""
    seen: set[int] = set()

    def visit(value: object) -> Iterator[types.FunctionType]:
        if id(value) in seen:
            return
        seen.add(id(value))
        if isinstance(value, types.FunctionType):
            if value.__module__ == module.__name__:
                yield value
        elif isinstance(value, type):
            if value.__module__ == module.__name__:
                for inner in vars(value).values():
                    yield from visit(inner)
        elif isinstance(value, property):
            for inner in (value.fget, value.fset, value.fdel):
                yield from visit(inner)
        elif isinstance(value, (staticmethod, classmethod)):
            yield from visit(value.__func__)
        elif isinstance(value, functools.cached_property):
            yield from visit(value.func)
        elif hasattr(value, "__wrapped__"):
            yield from visit(value.__wrapped__)

    for value in list(vars(module).values()):
        yield from visit(value)


def exchangeable(module: types.ModuleType, source: str) -> dict[str, list[types.FunctionType]]:
    """Return {qualified name: functions in order of line} where every code has its function."""
    found: dict[str, list[types.FunctionType]] = {}
    for function in functions(module):
        found.setdefault(function.__code__.co_qualname, []).append(function)
    for some in found.values():
        some.sort(key=lambda function: function.__code__.co_firstlineno)
    counts: dict[str, int] = {}
    for name, _ in codes(compile(source, "checker", "exec")):
        counts[name] = counts.get(name, 0) + 1
    return {name: some for name, some in found.items() if counts.get(name) == len(some)}


def fits(table: dict[str, list[types.FunctionType]], source: str) -> bool:
    """Return whether every function can have its code in another text: one that reaches no outer
    name any more, as by ``super()``, has another kind of code.
    """
    at: dict[str, int] = {}
    for name, code in codes(compile(source, "checker", "exec")):
        which = at.get(name, 0)
        at[name] = which + 1
        if name in table and table[name][which].__code__.co_freevars != code.co_freevars:
            return False
    return True


def exchange(table: dict[str, list[types.FunctionType]], source: str, file: str) -> None:
    """Give every function of a module the code that it has in another text."""
    at: dict[str, int] = {}
    for name, code in codes(compile(source, file, "exec")):
        which = at.get(name, 0)
        at[name] = which + 1
        if name in table:
            table[name][which].__code__ = code


def caches_in_use() -> list[Any]:
    """Return every cache of a function of the checker and of the tests."""
    return [thing for thing in gc.get_objects() if isinstance(thing, functools._lru_cache_wrapper)]


# --- forks ------------------------------------------------------------------------

Ended = tuple[str, int, float, bytes]
"""How a fork ended, the number of the last test, seconds of the processor, a note."""


class Fork:
    """Run some tests in a fork, up to the first that fails."""

    def __init__(self) -> None:
        self.board = mmap.mmap(-1, 1 << 20)

    def run(self, work: Callable[[], int]) -> Ended:
        """Run the work in a fork, with all that it starts."""
        self.board[:16] = bytes(16)
        before = _children()
        begin, end = os.pipe()
        child = os.fork()
        if child == 0:
            self._child(begin, work)
        os.close(end)
        ready, _, _ = select.select([begin], [], [], WALL_SECONDS)
        os.close(begin)
        if not ready:
            os.killpg(child, signal.SIGKILL)
        _, status = os.waitpid(child, 0)
        with contextlib.suppress(ProcessLookupError):  # what the tests started and left behind
            os.killpg(child, signal.SIGKILL)
        if os.WIFSIGNALED(status):
            sent = os.WTERMSIG(status)
            slow = sent in (signal.SIGPROF, signal.SIGXCPU) or not ready
            how = "time" if slow else f"signal {sent}"
        else:
            code = os.WEXITSTATUS(status)
            how = ENDINGS.get(code, f"exit {code}")
        size = int.from_bytes(self.board[8:16], "little")
        note = bytes(self.board[16 : 16 + size])
        at = int.from_bytes(self.board[:8], "little")
        return how, at, _children() - before, note

    def _child(self, begin: int, work: Callable[[], int]) -> None:
        code = 4
        try:
            os.setpgid(0, 0)
            os.close(begin)
            signal.signal(signal.SIGPROF, signal.SIG_DFL)
            resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
            resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
            code = work()
        except BaseException as error:  # noqa: BLE001 (a fork must never return)
            self.note(repr(error).encode()[:2000])
        finally:
            os._exit(code)

    def at(self, number: int, seconds: float) -> None:
        """Say which test begins, and start its clock."""
        self.board[:8] = number.to_bytes(8, "little")
        signal.setitimer(signal.ITIMER_PROF, LEAST_SECONDS + STRETCH * seconds)

    def note(self, text: bytes) -> None:
        """Leave a note for the process that forked."""
        self.board[8:16] = len(text).to_bytes(8, "little")
        self.board[16 : 16 + len(text)] = text


def _children() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


class Allowance:
    """Seconds of the processor that the tests of a damage may use; no end if none are given."""

    def __init__(self, seconds: float | None) -> None:
        self.seconds = seconds
        self.begin = time.process_time() + _children()

    def spent(self) -> bool:
        """Return whether no further test may begin."""
        used = time.process_time() + _children() - self.begin
        return self.seconds is not None and used >= self.seconds


def passes(item: pytest.Item, following: pytest.Item | None) -> bool:
    """Return whether a test passes."""
    reports = runtestprotocol(item, log=False, nextitem=following)
    return not any(report.failed for report in reports)


class Line:
    """Requests and answers, one line of JSON each."""

    def __init__(self) -> None:
        read, write = map(int, os.environ["MUTANTS_PIPE"].split(","))
        self.requests = os.fdopen(read, "r", encoding="utf-8")
        self.answers = os.fdopen(write, "w", encoding="utf-8")

    def say(self, **answer: object) -> None:
        """Send one answer."""
        self.answers.write(json.dumps(answer) + "\n")
        self.answers.flush()

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for line in self.requests:
            yield json.loads(line)


# --- the plugin -------------------------------------------------------------------

ROOT = Path.cwd()
MARKED = Marks()
ACCOUNTS = Accounts(ROOT, MARKED)


def pytest_configure(config: pytest.Config) -> None:
    """Prepare the imports before a test module is read."""
    configure()
    config.option.tbstyle = "value"
    if os.environ.get("MUTANTS_MODE") == "record":
        names: dict[str, object] = {MARKS: MARKED.reached}
        sys.meta_path.insert(0, Finder(ROOT, {"*": MARKED.marked}, names))
        # Their own imports first: what is reached afterwards is reached by the tests.
        for file in sorted((ROOT / "checker").rglob("*.py")):
            importlib.import_module(
                ".".join(file.relative_to(ROOT).with_suffix("").parts).removesuffix(".__init__")
            )
        MARKED.taken()
        ACCOUNTS.watch()


def pytest_runtestloop(session: pytest.Session) -> bool | None:
    """Answer requests instead of running the tests."""
    mode = os.environ.get("MUTANTS_MODE")
    if mode not in ("record", "warm"):
        return None
    line = Line()
    ACCOUNTS.settle()
    imported = ACCOUNTS.whole() if mode == "record" else {}
    line.say(tests=[item.nodeid for item in session.items], imported=imported)
    gc.collect()
    fork, caches = Fork(), caches_in_use()  # before they are frozen: what is frozen is not found
    gc.freeze()
    for request in line:
        if mode == "record":
            record(session.items[request["test"]], caches, line)
        else:
            warm(session.items, request, caches, fork, line)
    return True


def record(item: pytest.Item, caches: Sequence[Any], line: Line) -> None:
    """Answer with the marks that a test passes when no cache knows anything."""
    started: list[object] = []
    begin = subprocess.Popen.__init__

    def noticing(self: Any, *given: Any, **named: Any) -> None:
        started.append(given)
        begin(self, *given, **named)

    for cache in caches:
        cache.cache_clear()
    before = time.process_time() + _children()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(subprocess.Popen, "__init__", noticing)
        passed = passes(item, None)
    seconds = time.process_time() + _children() - before
    line.say(passed=passed, seconds=seconds, starts=bool(started), reached=MARKED.taken())


@functools.cache
def table_of(file: str) -> dict[str, list[types.FunctionType]]:
    """Return the functions of a file of the checker."""
    name = ".".join(Path(file).with_suffix("").parts)
    module = importlib.import_module(name.removesuffix(".__init__"))
    return exchangeable(module, (ROOT / file).read_text("utf-8"))


def warm(
    items: Sequence[pytest.Item],
    request: dict[str, Any],
    caches: Sequence[Any],
    fork: Fork,
    line: Line,
) -> None:
    """Answer with the first test that fails when the code of one file is another."""
    file, source, seconds = request["file"], request["source"], request["seconds"]
    table = table_of(file)  # before its cache is cleared and the file is another
    if not set(request["functions"]) <= set(table) or not fits(table, source):
        line.say(how="cold", at=0, seconds=0, note="")
        return

    def work() -> int:
        for cache in caches:
            cache.cache_clear()
        exchange(table, source, str(ROOT / file))
        allowance = Allowance(request["allowance"])
        for number, test in enumerate(request["tests"]):
            if allowance.spent():
                return SPENT
            fork.at(number, seconds[number])
            if not passes(items[test], None):
                return NOTICED
        return PASSED

    reply(damaged(ROOT / file, source, lambda: fork.run(work)), line)


def reply(ended: Ended, line: Line) -> None:
    """Send what came of a fork, when the file is whole again: whoever hears it may have another
    process of the same folder damage a file next.
    """
    how, at, seconds, note = ended
    line.say(how=how, at=at, seconds=seconds, note=note.decode("utf-8", "replace"))


# Of every text a second of its own, of both processes of a folder: no stale bytecode.
CHANGES = itertools.count(2 * 10**9 if os.environ.get("MUTANTS_MODE") == "cold" else 10**9)


def damaged(path: Path, source: str, work: Callable[[], Ended]) -> Ended:
    """Return what work returns while a file has another text, for the tests that start processes;
    the file is as it was then.
    """
    whole = path.read_bytes()
    try:
        _write(path, source.encode())
        return work()
    finally:
        _write(path, whole)


def _write(path: Path, data: bytes) -> None:
    path.write_bytes(data)
    when = next(CHANGES)
    os.utime(path, (when, when))


# --- cold -------------------------------------------------------------------------


class Ordered:
    """A plugin that runs given tests in a given order, up to the first that fails."""

    def __init__(self, request: dict[str, Any], fork: Fork) -> None:
        self.tests, self.seconds = request["tests"], request["seconds"]
        self.allowance, self.fork = request["allowance"], fork

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Run them."""
        found = {item.nodeid: item for item in session.items}
        allowance = Allowance(self.allowance)
        for number, test in enumerate(self.tests):
            if allowance.spent():
                os._exit(SPENT)
            self.fork.at(number, self.seconds[number])
            if test not in found or not passes(found[test], None):
                os._exit(NOTICED)
        os._exit(PASSED)


def cold() -> None:
    """Answer requests in forks of a process that has imported nothing of the project."""
    configure()
    for name in os.environ["MUTANTS_PRELOAD"].split(","):
        try:
            importlib.import_module(name)
        except ImportError:
            continue
    line, fork = Line(), Fork()
    line.say(tests=[], imported={})
    gc.collect()
    gc.freeze()
    for request in line:
        serve_cold(request, fork, line)


def serve_cold(request: dict[str, Any], fork: Fork, line: Line) -> None:
    """Answer with the first test that fails when one file has another text."""
    file, source = request["file"], request["source"]

    def work() -> int:
        os.environ["MUTANTS_MODE"] = ""
        sink = os.open(os.devnull, os.O_RDWR)
        for standard in (0, 1, 2):
            os.dup2(sink, standard)
        sys.path.insert(0, str(ROOT))
        sys.meta_path.insert(0, Finder(ROOT, {file: lambda name, text: source}, {}))
        fork.at(0, LEAST_SECONDS)
        ordered = Ordered(request, fork)
        pytest.main([*request["line"], *files_of(request["tests"])], plugins=[ordered, SELF])
        return UNCOLLECTED

    reply(damaged(ROOT / file, source, lambda: fork.run(work)), line)


def files_of(tests: Iterable[str]) -> list[str]:
    """Return the files of some tests."""
    return list(dict.fromkeys(test.partition("::")[0] for test in tests))


SELF = sys.modules[__name__]

if __name__ == "__main__":
    cold()
