"""A sample of damages to the checker, each of which a test must notice; the operators do what they
say; and what runs the tests notices what it should.
"""

from __future__ import annotations

import ast
import os
import random
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import damages
import mentions
import mutant_worker
import mutants
import processor
import pytest
from damages import Mutant
from mutants import Result

SEED = 20
SAMPLE = 8
VECTORS = "tests/checker/test_vectors.py"


def test_a_sample_of_the_requirements_is_missed_by_a_vector(tmp_path: Path) -> None:
    results = tmp_path / "results.jsonl"
    line = [sys.executable, str(damages.GATES / "mutants.py"), "--only", "drop-require"]
    line += ["--sample", str(SAMPLE), "--seed", str(SEED), "--jobs", "1"]
    line += ["--results", str(results), "--tests", VECTORS]
    done = processor.run(line, 600, capture_output=True, text=True)
    print(done.stdout, done.stderr)  # noqa: T201
    assert f"seed {SEED}" in done.stdout
    words = [text.partition(" ")[0] for text in done.stdout.splitlines()[2 : 2 + SAMPLE]]
    assert set(words) <= {"killed", "equivalent", "SURVIVED"}
    assert words.count("killed") >= SAMPLE - 2  # a limit may need a model too large for a vector
    assert done.returncode == int("SURVIVED" in words)
    assert results.read_text() == ""


def of(source: str) -> set[tuple[str, str]]:
    """Return (operator, damaged source)."""
    return {(m.operator, m.source) for m in damages.mutants_of("checker/x.py", source)}


@pytest.mark.parametrize(
    ("source", "operator", "damaged"),
    [
        ("require(a < b, 'SPEC-1.1', 'x')", "drop-require", "pass"),
        (
            "require_form(a < b, 'SPEC-1.1', 'x')",
            "flip-bound",
            "require_form((a <= b), 'SPEC-1.1', 'x')",
        ),
        ("x = a >= b", "flip-bound", "x = (a > b)"),
        ("x = a <= b < c", "flip-bound", "x = (a <= b <= c)"),
        ("x = a <= b < c", "flip-bound", "x = (a < b < c)"),
        ("x = a == b", "turn-equality", "x = (a != b)"),
        ("x = a is None", "turn-equality", "x = (a is not None)"),
        ("x = a in b", "turn-equality", "x = (a not in b)"),
        ("x = a.lower + a.upper", "other-end", "x = (a.upper) + a.upper"),
        (
            "def f(low, high):\n    return g(low)",
            "other-end",
            "def f(low, high):\n    return g((high))",
        ),
        ("def f():\n    return a, b", "swap-pair", "def f():\n    return (b, a)"),
        ("x = 7", "plus-one", "x = (8)"),
        ("x = 7", "minus-one", "x = (6)"),
        ("x = a >> b", "turn-shift", "x = (a << b)"),
        ("x = a - b", "turn-sign", "x = (a + b)"),
        ("x = min(y)", "min-max", "x = (max)(y)"),
        ("x = map(max, y)", "min-max", "x = map((min), y)"),
        ("x = any(y)", "min-max", "x = (all)(y)"),
        ("x = a and b", "and-or", "x = (a or b)"),
        ("x = not a", "negate", "x = (a)"),
        ("if a < b:\n    c = d", "negate", "if not (a < b):\n    c = d"),
        ("x = a if b else c", "negate", "x = (a if not b else c)"),
        ("x = min(a, b)", "drop-cap", "x = (a)"),
        ("x = min(a, b)", "drop-cap", "x = (b)"),
        ("ledger.charge(mul=a)", "drop-charge", "pass"),
        ("if a:\n    raise Rejected('SPEC-1.1', 'x')", "drop-raise", "if a:\n    pass"),
        ("x = -(-a >> b)", "drop-minus", "x = (-a >> b)"),
        ("x.append(y)", "drop-statement", "pass"),
        ("x = a + b", "drop-term", "x = (a)"),
        ("x = a + b", "drop-term", "x = (b)"),
        ("x = a - b", "drop-term", "x = (a)"),
        ("x = a >> b", "round-up", "x = (-(-a >> b))"),
        ("x = a // b", "round-up", "x = (-(-a // b))"),
        ("x = -(-a // b)", "round-down", "x = (a // b)"),
        ("x = shift_up(a, b)", "round-down", "x = (a >> b)"),
        ("x = [y for y in z if y > 0]", "drop-filter", "x = ([y for y in z])"),
        ("x = sum(y for y in z if y)", "drop-filter", "x = sum((y for y in z))"),
        ("x = a.eu_low + a.eu_high", "other-end", "x = (a.eu_high) + a.eu_high"),
        (
            "def f(a_upper, a_lower):\n    return a_upper",
            "other-end",
            "def f(a_upper, a_lower):\n    return (a_lower)",
        ),
    ],
)
def test_operators(source: str, operator: str, damaged: str) -> None:
    assert (operator, damaged) in of(source)


@pytest.mark.parametrize(
    "source",
    [
        "'''Text.'''",
        "import x",
        "raise_(a)",
        "def f(x: int = 3) -> tuple[int, int]:\n    '''Doc 7.'''",
        "require(a, 'SPEC-1.1', f'{x[:40]} {7}')",
        "x = f'{a < b}'",
    ],
)
def test_words_and_types_are_left_alone(source: str) -> None:
    assert {operator for operator, _ in of(source)} <= {"drop-require", "drop-statement"}


def test_every_mutant_of_the_checker_compiles_and_has_a_name() -> None:
    found = damages.all_mutants()
    assert len(found) > 1000
    assert len({mutant.key for mutant in found}) == len(found)
    assert {m.file for m in found} >= {
        path.relative_to(damages.ROOT).as_posix()
        for path in (damages.ROOT / "checker").rglob("*.py")
        if path.name != "__init__.py"
    }
    assert {mutant.operator for mutant in found} >= {
        "and-or", "drop-cap", "drop-charge", "drop-filter", "drop-minus", "drop-raise",
        "drop-require", "drop-statement", "drop-term", "flip-bound", "min-max", "minus-one",
        "negate", "other-end", "plus-one", "round-down", "round-up", "swap-pair",
        "turn-equality", "turn-shift", "turn-sign",
    }  # fmt: skip
    for mutant in random.Random(1).sample(found, 100):
        assert ast.parse(mutant.source) is not None
        assert mutant.source != (damages.ROOT / mutant.file).read_text("utf-8")


def test_a_mutant_knows_its_statement_and_its_function() -> None:
    source = (
        "LIMIT = 7\n\n\nclass A:\n    size: int = 3\n\n    def f(self):\n"
        "        def g():\n            return (\n                a >= b\n            )\n"
        "        if (c and\n                d < e):\n            pass\n"
    )
    found = {
        (m.line, m.statement, m.owner, m.function)
        for m in damages.mutants_of("checker/x.py", source)
        if m.operator in ("plus-one", "flip-bound")
    }
    assert found == {
        (1, 1, "", "module"),
        (5, 5, "", "module"),
        (10, 9, "A.f", "g"),
        (13, 12, "A.f", "f"),
    }


def test_every_reviewed_mutant_exists_and_has_a_reason() -> None:
    keys = {mutant.key for mutant in damages.all_mutants()}
    known = damages.reviewed()
    assert sorted(set(known) - keys) == []
    assert all(len(reason) > 20 for reason in known.values())
    assert damages.reviewed("# comment\n\na b: x -> y  # because # of\n") == {
        "a b: x -> y": "because # of"
    }


# --- results ----------------------------------------------------------------------


def result_of(mutant: Mutant, *, killed: bool, tests: Sequence[str] = mutants.SELECTION) -> Result:
    """Return a result that holds for this checker and these tests."""
    state = mutants.State(tests).of(mutant)
    return Result(mutant.key, state, killed, "test_x" if killed else "", "test", 0.5)


def test_a_survivor_fails_the_run_and_a_stored_result_is_not_run_again(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    some = damages.all_mutants()[:3]
    ran: list[str] = []

    def run(todo: Sequence[Mutant], *_: object, **__: object) -> Any:
        for mutant in todo:
            ran.append(mutant.key)
            yield mutant, result_of(mutant, killed=False)

    monkeypatch.setattr(mutants, "run", run)
    monkeypatch.setattr(mutants, "all_mutants", lambda: some)
    monkeypatch.setattr(mutants, "reviewed", lambda: {mutant.key: "known" for mutant in some[:2]})
    line = ["--jobs", "1", "--results", str(tmp_path / "results.jsonl")]
    assert mutants.main([*line, "--summary"]) == 1
    assert capsys.readouterr().out == "3 not run\n"
    assert mutants.main(line) == 1
    assert capsys.readouterr().out.splitlines()[-1] == some[2].key
    assert ran == [mutant.key for mutant in some]
    assert mutants.main(line) == 1
    assert len(ran) == 3
    assert mutants.main([*line, "--sample", "3"]) == 1
    assert len(ran) == 6
    assert mutants.main([*line, "--summary"]) == 1
    assert "1 SURVIVED, 2 equivalent" in capsys.readouterr().out
    monkeypatch.setattr(mutants, "reviewed", lambda: {mutant.key: "known" for mutant in some})
    assert mutants.main(line) == 0


def test_a_run_without_an_allowance_does_again_what_spent_one(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    some = damages.all_mutants()[:3]
    ran: list[tuple[str, float | None]] = []
    hows = {some[0].key: "test", some[1].key: mutants.SO_FAR, some[2].key: "exit 4: Trouble"}

    def run(todo: Sequence[Mutant], *_: object, allowance: float | None, **__: object) -> Any:
        for mutant in todo:
            ran.append((mutant.key, allowance))
            result = result_of(mutant, killed=mutant is some[0])
            how = hows[mutant.key] if allowance else ""
            yield mutant, replace(result, how=how, seconds=allowance or 50)

    monkeypatch.setattr(mutants, "run", run)
    monkeypatch.setattr(mutants, "all_mutants", lambda: some)
    monkeypatch.setattr(mutants, "reviewed", dict)
    line = ["--jobs", "1", "--results", str(tmp_path / "results.jsonl")]
    assert mutants.main([*line, "--allowance", "5"]) == 1
    words = [text.partition(" checker/")[0] for text in capsys.readouterr().out.splitlines()]
    assert words[1:4] == ["killed", "SO FAR", "BROKEN"]
    assert words[4].startswith("1 killed, 0 known to be equivalent, 0 survived, 1 not noticed so")
    assert mutants.main([*line, "--summary"]) == 1
    assert "1 BROKEN, 1 SO FAR, 1 killed" in capsys.readouterr().out
    assert mutants.main([*line, "--allowance", "5"]) == 1
    assert ran == [(mutant.key, 5) for mutant in some]
    assert mutants.main([*line, "--allowance", "6"]) == 1
    assert mutants.main(line) == 1
    assert ran[3:] == [(some[1].key, 6), (some[1].key, None)]
    assert mutants.main([*line, "--summary"]) == 1
    assert "1 BROKEN, 1 SURVIVED, 1 killed" in capsys.readouterr().out


def test_a_fork_that_breaks_off_is_told_and_counts_as_not_noticed() -> None:
    class Broken:
        tests = ("a.py::one", "a.py::two")

        def __init__(self, how: str, note: str = "") -> None:
            self.answer = {"how": how, "at": 1, "seconds": 0.5, "note": note}
            self.sound = {0: True, 1: True}

        def ask(self, **_: object) -> dict[str, Any]:
            return self.answer

    mutant = damages.all_mutants()[0]
    base = mutants.State(mutants.SELECTION)
    order = [mutants.Test(name, 1, starts=False, reached={}) for name in Broken.tests]
    for how, note, killed, told in (
        ("test", "", True, "test"),
        ("time", "", True, "time"),
        ("signal 11", "", True, "signal 11"),
        ("exit 4", "MemoryError()", True, "exit 4"),
        ("exit 4", "SyntaxError()", False, "exit 4: SyntaxError()"),
        (mutants.SO_FAR, "", False, mutants.SO_FAR),
        ("", "", False, ""),
    ):
        worker: Any = Broken(how, note)
        result = mutants.attempt(worker, "warm", mutant, order, base, 5)
        assert result is not None
        assert (result.killed, result.how) == (killed, told)
        assert result.by == ("a.py::two" if how else "")
    assert Result("k", "s", killed=False, by="", how=mutants.SO_FAR, seconds=1).then(
        Result("k", "s", killed=False, by="", how="", seconds=2)
    ) == Result("k", "s", killed=False, by="", how=mutants.SO_FAR, seconds=3)


class Polluted:
    """The second test fails behind others, the third for the damage, the fourth in any case, the
    fifth once.
    """

    tests = ("a.py::one", "a.py::two", "a.py::three", "a.py::four", "a.py::five")

    def __init__(self) -> None:
        self.sound: dict[int, bool] = {}
        self.asked: list[list[int]] = []

    def ask(
        self, *, tests: list[int], seconds: list[float], source: str, **_: object
    ) -> dict[str, Any]:
        """Answer with the first test that fails."""
        assert seconds == [float(number) for number in tests]
        damaged = source == "damaged"
        self.asked.append(tests if damaged else [-number for number in tests])
        fails = {0: False, 1: tests[0] != 1, 2: damaged, 3: True, 4: [4] not in self.asked[:-1]}
        failing = [at for at, number in enumerate(tests) if fails[number]]
        how = "test" if failing else ""
        return {"how": how, "at": failing[0] if failing else 0, "seconds": 0.5, "note": ""}


def of_polluted(*which: int) -> list[mutants.Test]:
    """Return some of these tests."""
    names = [Polluted.tests[at] for at in which]
    return [
        mutants.Test(name, float(at), starts=at == 4, reached={})
        for at, name in zip(which, names, strict=True)
    ]


def test_a_test_that_fails_behind_others_or_without_damage_has_noticed_nothing() -> None:
    mutant = replace(damages.all_mutants()[0], source="damaged")
    worker: Any = Polluted()
    base = mutants.State(mutants.SELECTION)
    result = mutants.attempt(worker, "warm", mutant, of_polluted(0, 1, 3, 2), base)
    assert result is not None
    assert (result.killed, result.by, result.seconds) == (True, "a.py::three", 3.0)
    assert worker.asked == [[0, 1, 3, 2], [1], [0, 3, 2], [3], [-3], [0, 2], [2], [-2]]
    worker.asked.clear()
    result = mutants.attempt(worker, "warm", mutant, of_polluted(0, 1), base)
    assert result is not None
    assert (result.killed, result.how) == (False, "")
    result = mutants.attempt(worker, "warm", mutant, of_polluted(3), base)
    assert result is not None
    assert (result.killed, result.how) == (False, "")
    assert worker.asked == [[0, 1], [1], [0], [3]]
    worker.asked.clear()
    result = mutants.attempt(worker, "warm", mutant, of_polluted(4), base)
    assert result is not None
    assert (result.killed, result.how) == (False, "")
    assert worker.asked == [[4], [4]]


def test_tests_that_fail_without_any_damage_end_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    def run(*_: object, **__: object) -> Any:
        raise mutants.Insane(["test_x"])

    monkeypatch.setattr(mutants, "run", run)
    assert mutants.main(["--sample", "1", "--results", str(tmp_path / "r.jsonl")]) == 2
    assert "without any damage: ['test_x']" in capsys.readouterr().out


def test_a_result_holds_for_one_checker_and_one_selection_of_tests() -> None:
    one, two = damages.all_mutants()[:2]
    state = mutants.State(("tests/checker",))
    assert state.of(one) == mutants.State(("tests/checker",)).of(one)
    assert len({state.of(one), state.of(two), state.of(), mutants.State(("tests",)).of(one)}) == 4


def small_tree(root: Path) -> None:
    """Write a checker of one file, three files of tests and one that is none."""
    for name, text in (
        ("checker/a.py", "LIMIT = 7\n"),
        ("tests/checker/test_one.py", "from test_two import helped\nimport oracle\n"),
        ("tests/checker/test_two.py", "helped = 3\n"),
        ("tests/checker/test_three.py", ""),
        ("tests/oracles/oracle.py", ""),
    ):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)


ONE, TWO, THREE = (f"tests/checker/test_{name}.py" for name in ("one", "two", "three"))


@pytest.mark.parametrize(
    ("changed", "lost"),
    [
        (ONE, {ONE}),
        (TWO, {ONE, TWO}),
        (THREE, {THREE}),
        ("tests/checker/test_new.py", set()),
        ("tests/oracles/oracle.py", {ONE, TWO, THREE}),
        ("checker/a.py", {ONE, TWO, THREE}),
    ],
)
def test_what_a_test_noticed_holds_until_its_files_change(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, changed: str, lost: set[str]
) -> None:
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    small_tree(tmp_path)
    (mutant, *_) = damages.mutants_of("checker/a.py", "LIMIT = 7\n")
    before = mutants.State(mutants.SELECTION)
    noticed = {
        suite: Result(mutant.key, before.of(mutant, f"{suite}::t"), True, f"{suite}::t", "test", 1)
        for suite in (ONE, TWO, THREE)
    }
    survived = Result(mutant.key, before.of(mutant), killed=False, by="", how="", seconds=1)
    assert all(before.holds(mutant, result) for result in (*noticed.values(), survived))
    (tmp_path / changed).write_text("LIMIT = 7  # changed\n")
    if changed.startswith("checker/"):
        (mutant, *_) = damages.mutants_of(changed, "LIMIT = 9\n")
        mutant = replace(mutant, before="7", after="(8)")
        assert mutant.key == survived.key
    after = mutants.State(mutants.SELECTION)
    assert {suite for suite in noticed if not after.holds(mutant, noticed[suite])} == lost
    assert not after.holds(mutant, survived)


def test_a_survivor_never_replaces_what_was_noticed() -> None:
    one, two, three = damages.all_mutants()[:3]
    base = mutants.State(mutants.SELECTION)
    killed, survived = (
        {mutant.key: result_of(mutant, killed=killed) for mutant in (one, two, three)}
        for killed in (True, False)
    )
    so_far = replace(survived[two.key], how=mutants.SO_FAR)
    stale = replace(survived[three.key], state="another")
    results = [killed[one.key], survived[one.key], so_far, survived[two.key], stale]
    assert mutants.still_holding([one, two, three], results, base) == {
        one.key: killed[one.key],
        two.key: survived[two.key],
    }


def test_only_what_changed_is_recorded_again(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(mutants, "ROOT", tmp_path)
    small_tree(tmp_path)
    asked: list[str] = []

    class Recording:
        tests = (f"{ONE}::t", f"{TWO}::t", f"{THREE}::t")

        def __init__(self, *_: object) -> None:
            self.hello = {"imported": {}, "tests": self.tests}

        def __enter__(self) -> Recording:
            return self

        def __exit__(self, *_: object) -> None:
            pass

        def ask(self, *, test: int) -> dict[str, Any]:
            asked.append(self.tests[test])
            return {"passed": True, "seconds": 1, "starts": False, "reached": {}}

    monkeypatch.setattr(mutants, "Worker", Recording)
    store = tmp_path / "store"
    folders = [tmp_path]
    first = mutants.recorded(folders, mutants.SELECTION, store)
    assert asked == [*Recording.tests]
    assert mutants.recorded(folders, mutants.SELECTION, store).tests == first.tests
    assert len(asked) == 3
    (tmp_path / TWO).write_text("helped = 4\n")
    again = mutants.recorded(folders, mutants.SELECTION, store)
    assert asked[3:] == [f"{ONE}::t", f"{TWO}::t"]
    assert again.tests.keys() == first.tests.keys()
    assert len(list(store.glob("record-*.json"))) == 1


def test_tests_that_cannot_be_imported_have_noticed_together() -> None:
    class Cold:
        tests = ()

        def __init__(self, *hows: str) -> None:
            self.hows = iter(hows)

        def ask(self, **_: object) -> dict[str, Any]:
            return {"how": next(self.hows), "at": 0, "seconds": 0.5, "note": ""}

    mutant = damages.all_mutants()[0]
    base = mutants.State(mutants.SELECTION)
    order = [mutants.Test(f"{suite}::t", 1, starts=False, reached={}) for suite in (ONE, TWO)]
    alone: Any = Cold(mutants.UNCOLLECTED)
    result = mutants.attempt(alone, "cold", mutant, order, base)
    assert result is not None
    assert (result.killed, result.state) == (True, base.of(mutant, f"{ONE}::t"))
    together: Any = Cold("", mutants.UNCOLLECTED)
    result = mutants.attempt(together, "cold", mutant, order, base)
    assert result is not None
    assert (result.killed, result.state) == (True, base.of(mutant))
    assert base.of(mutant) != base.of(mutant, f"{ONE}::t")


def test_an_unfinished_line_is_no_result(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    assert mutants.stored(path) == []
    whole = '{"key": "k", "state": "s", "killed": true, "by": "t", "how": "test", "seconds": 1}'
    path.write_text(f"{whole}\n{whole[:30]}")
    assert mutants.stored(path) == [Result("k", "s", killed=True, by="t", how="test", seconds=1)]


def test_every_mutant_is_in_one_part() -> None:
    some = damages.all_mutants()[::50]
    for mutant in some:
        assert [mutants.in_part(mutant, f"{i}/3") for i in (1, 2, 3)].count(True) == 1
    assert all(any(mutants.in_part(mutant, f"{i}/3") for mutant in some) for i in (1, 2, 3))


def test_only_tests_that_can_notice_are_run_the_likely_and_the_fast_first() -> None:
    mutant = replace(damages.all_mutants()[0], owner="f")
    here = {mutant.file: [mutant.statement]}
    vector = f"{mutants.FROM_FILES[0]}x]"
    tests = {
        "a.py::slow": mutants.Test("a.py::slow", 9, starts=False, reached=here),
        "a.py::fast": mutants.Test("a.py::fast", 1, starts=False, reached=here),
        "b.py::holds": mutants.Test("b.py::holds", 0, starts=False, reached=here),
        "b.py::elsewhere": mutants.Test("b.py::elsewhere", 0, starts=False, reached={}),
        "c.py::process": mutants.Test("c.py::process", 0, starts=True, reached={}),
        vector: mutants.Test(vector, 2, starts=False, reached=here),
    }
    held = {"b.py": here, vector.partition("::")[0]: here}
    record = mutants.Record(tests, held)
    ready = record.ready(mutant)
    assert ready == {"a.py::slow", "a.py::fast", "c.py::process", vector}
    assert record.fresh(mutant) == {"b.py::holds"}
    names = [test.name for test in record.order(ready, [])]
    assert names == ["a.py::fast", vector, "a.py::slow", "c.py::process"]
    likely = record.order(ready, ["b.py::elsewhere", "a.py::slow"])
    assert next(iter(likely)).name == "a.py::slow"
    memory = mutants.Memory([Result(mutant.key, "", killed=True, by="slow", how="test", seconds=1)])
    assert memory.first(mutant) == ["slow"]


def test_a_constant_is_seen_by_whoever_names_it() -> None:
    checker = {
        "checker/a.py": (
            "LIMIT = 7\nTWICE = 2 * LIMIT\n\n\ndef f(x: LIMIT):\n    return x < TWICE\n"
        ),
        "checker/b.py": "def g(a):\n    if a:\n        return a.LIMIT\n    return 0\n",
    }
    suite = {
        "tests/t.py": "def test_one():\n    assert a.LIMIT\n\n\ndef test_two():\n    assert b\n",
        "tests/u.py": (
            "def helped():\n    return TWICE\n\n\ndef test_three():\n    assert helped()\n"
        ),
    }
    seen, named = mentions.Mentions(checker, suite).of(("LIMIT",))
    assert {("checker/a.py", 6), ("checker/b.py", 3)} <= seen
    assert not {("checker/b.py", 2), ("checker/b.py", 4)} & seen
    assert named == {"tests/t.py::test_one", "tests/u.py"}
    tests = {
        name: mutants.Test(name, 1, starts=False, reached=reached)
        for name, reached in (
            ("tests/t.py::test_one[0]", {}),
            ("tests/t.py::test_two", {}),
            ("tests/u.py::test_three", {}),
            ("tests/v.py::test_four", {"checker/b.py": [2, 3]}),
            ("tests/v.py::test_five", {"checker/b.py": [2, 4]}),
        )
    }
    mutant = next(damages.mutants_of("checker/a.py", checker["checker/a.py"]))
    assert (mutant.owner, mutant.targets) == ("", ("LIMIT",))
    record = mutants.Record(tests, {}, mentions.Mentions(checker, suite))
    assert record.ready(mutant) == set()
    assert record.fresh(mutant) == {
        "tests/t.py::test_one[0]", "tests/u.py::test_three", "tests/v.py::test_four"
    }  # fmt: skip


# --- the process that runs tests --------------------------------------------------

TOY = """
from functools import cache, cached_property


def outer(x):
    def inner():
        return x + 1
    return inner()


@cache
def kept(x):
    return x + 1


class Thing:
    def method(self):
        return 1

    @property
    def shown(self):
        return 1

    @staticmethod
    def still():
        return 1

    @cached_property
    def held(self):
        return 1


TABLE = {"one": lambda x: x + 1}
"""


def toy() -> ModuleType:
    """Return the toy as a module."""
    module = ModuleType("toy")
    exec(compile(TOY, "toy.py", "exec"), module.__dict__)  # noqa: S102
    return module


def test_code_is_exchanged_in_place() -> None:
    module = toy()
    outer, kept, thing = module.outer, module.kept, module.Thing()
    assert (outer(1), kept(1), thing.method(), thing.shown, thing.still()) == (2, 2, 1, 1, 1)
    table = mutant_worker.exchangeable(module, TOY)
    assert set(table) == {
        "outer", "kept", "Thing.method", "Thing.shown", "Thing.still", "Thing.held"
    }  # fmt: skip
    mutant_worker.exchange(table, TOY.replace("return 1", "return 5").replace("+ 1", "+ 7"), "toy")
    assert kept(1) == 2
    kept.cache_clear()
    assert (outer(1), kept(1), thing.method(), thing.shown, thing.still()) == (8, 8, 5, 5, 5)
    assert thing.held == 5
    assert module.TABLE["one"](1) == 2


def test_a_function_that_loses_an_outer_name_is_not_exchanged() -> None:
    source = "class A:\n    def f(self):\n        return super().f() + 1\n"
    module = ModuleType("toy")
    exec(compile(source, "toy.py", "exec"), module.__dict__)  # noqa: S102
    table = mutant_worker.exchangeable(module, source)
    assert mutant_worker.fits(table, source.replace("+ 1", "+ 2"))
    assert not mutant_worker.fits(table, source.replace("super().f() + 1", "1"))


def test_a_function_that_something_else_wraps_is_not_exchanged() -> None:
    source = "def hidden(f):\n    return 3\n\n\n@hidden\ndef g():\n    return 1\n"
    module = ModuleType("toy")
    exec(compile(source, "toy.py", "exec"), module.__dict__)  # noqa: S102
    assert set(mutant_worker.exchangeable(module, source)) == {"hidden"}


def test_marks_tell_which_statements_were_reached() -> None:
    source = (
        '"""Doc."""\nfrom __future__ import annotations\n\n\ndef f(x):\n    """Doc."""\n'
        "    if x:\n        return 1\n    for y in [2]:\n        z = y\n    else:\n        z = 3\n"
        "    return z\n"
    )
    marks = mutant_worker.Marks()
    names: dict[str, Any] = {mutant_worker.MARKS: marks.reached}
    exec(compile(marks.marked("m.py", source), "m.py", "exec"), names)  # noqa: S102
    assert marks.taken() == {"m.py": [5]}
    assert names["f"](True) == 1
    assert marks.taken() == {"m.py": [7, 8]}
    assert names["f"](False) == 3
    assert marks.taken() == {"m.py": [7, 9, 10, 12, 13]}
    if os.fork() == 0:
        names["f"](True)
        os._exit(0)
    os.wait()
    assert marks.taken() == {"m.py": [7, 8]}
    assert (names["f"].__doc__, names["__doc__"]) == ("Doc.", "Doc.")
    assert marks.taken() == {}


def endless() -> int:
    """Work without end."""
    while True:
        pass


def test_a_fork_ends_as_its_work_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutant_worker, "LEAST_SECONDS", 0.05)
    fork = mutant_worker.Fork()
    assert fork.run(lambda: mutant_worker.PASSED)[0] == ""
    assert fork.run(lambda: mutant_worker.NOTICED)[0] == "test"

    def late() -> int:
        fork.at(3, 0)
        return endless()

    how, at, seconds, _ = fork.run(late)
    assert (how, at) == ("time", 3)
    assert 0.02 < seconds < 5

    def greedy() -> int:
        return len(bytearray(mutant_worker.MEMORY))

    how, _, _, note = fork.run(greedy)
    assert how == "exit 4"
    assert b"MemoryError" in note

    def killed() -> int:
        os.kill(os.getpid(), 9)
        return 0

    assert fork.run(killed)[0] == "signal 9"
    assert fork.run(lambda: 0)[0] == "exit 0"


def test_an_allowance_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    allowances = mutant_worker.Allowance(None), mutant_worker.Allowance(0.05)
    assert [allowance.spent() for allowance in allowances] == [False, False]
    begin = time.process_time()
    while time.process_time() < begin + 0.06:
        pass
    assert [allowance.spent() for allowance in allowances] == [False, True]

    def exchanged(*_: object) -> None:
        pass

    passed: list[object] = []

    def passes(item: object, _: object) -> bool:
        passed.append(item)
        return True

    monkeypatch.setattr(mutant_worker, "exchange", exchanged)
    monkeypatch.setattr(mutant_worker, "table_of", lambda _: {"f": []})
    monkeypatch.setattr(mutant_worker, "fits", lambda *_: True)
    monkeypatch.setattr(mutant_worker, "damaged", lambda _, __, work: work())
    monkeypatch.setattr(mutant_worker, "passes", passes)
    request: dict[str, Any] = {"file": "x.py", "source": "", "functions": ["f"], "tests": [0, 1]}
    request["seconds"] = [1, 1]
    answers: list[int] = []

    class Here:
        def run(self, work: Any) -> tuple[str, int, float, bytes]:
            answers.append(work())
            return "", 0, 0.0, b""

        def at(self, number: int, seconds: float) -> None:
            pass

    class Silent:
        def say(self, **answer: object) -> None:
            pass

    items, fork, line = ("one", "two"), Here(), Silent()
    for allowance in (None, 100, 0):
        everything = (items, request | {"allowance": allowance}, (), fork, line)
        mutant_worker.warm(*everything)  # type: ignore[arg-type]
    assert answers == [mutant_worker.PASSED, mutant_worker.PASSED, mutant_worker.SPENT]
    assert passed == [*items, *items]


def test_what_waits_for_ever_is_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(mutant_worker, "WALL_SECONDS", 0.2)

    def asleep() -> int:
        time.sleep(1000)
        return 0

    assert mutant_worker.Fork().run(asleep)[0] == "time"


def test_the_damage_is_undone(tmp_path: Path) -> None:
    path = tmp_path / "x.py"
    path.write_text("whole")
    seen: list[str] = []
    times: list[float] = []

    def work() -> mutant_worker.Ended:
        seen.append(path.read_text())
        times.append(path.stat().st_mtime)
        return "test", len(seen), 0, b""

    assert mutant_worker.damaged(path, "harm", work)[1] == 1
    times.append(path.stat().st_mtime)
    assert mutant_worker.damaged(path, "more harm", work)[1] == 2
    assert (seen, path.read_text()) == (["harm", "more harm"], "whole")
    assert len(set(times)) == 3  # bytecode of one text is never taken for that of another


@pytest.mark.parametrize("mode", ["warm", "cold"])
def test_an_answer_is_heard_when_the_file_is_whole_again(
    mode: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    # Whoever hears it asks the other process of the folder, which would take the damage, or half of
    # a file, for the whole.
    path = tmp_path / "x.py"
    path.write_text("whole")
    heard: list[tuple[str, str]] = []

    class Here:
        def run(self, _: object) -> mutant_worker.Ended:
            assert path.read_text() == "harm"
            return "test", 0, 0.5, b""

    class Listening:
        def say(self, *, how: str, **_: object) -> None:
            heard.append((how, path.read_text()))

    monkeypatch.setattr(mutant_worker, "ROOT", tmp_path)
    monkeypatch.setattr(mutant_worker, "table_of", lambda _: {"f": []})
    monkeypatch.setattr(mutant_worker, "fits", lambda *_: True)
    request: dict[str, Any] = {"file": "x.py", "source": "harm", "functions": ["f"], "seconds": []}
    fork: Any = Here()
    line: Any = Listening()
    if mode == "warm":
        mutant_worker.warm([], request, (), fork, line)
    else:
        mutant_worker.serve_cold(request, fork, line)
    assert heard == [("test", "whole")]
