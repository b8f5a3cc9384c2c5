"""A sample of damages to the checker, each of which a test must notice; and the operators do what
they say.
"""

from __future__ import annotations

import ast
import random
import subprocess
import sys
from pathlib import Path

import mutants
import pytest

SEED = 20
SAMPLE = 12


def test_a_sample_of_the_mutants_is_killed() -> None:
    line = [
        sys.executable,
        str(mutants.GATES / "mutants.py"),
        "--sample",
        str(SAMPLE),
        "--seed",
        str(SEED),
        "--jobs",
        "1",
    ]
    done = subprocess.run(line, capture_output=True, text=True, timeout=600)
    print(done.stdout)  # noqa: T201
    assert f"seed {SEED}" in done.stdout
    assert done.returncode == 0, done.stdout
    words = [text.partition(" ")[0] for text in done.stdout.splitlines()[1:-2]]
    assert words.count("killed") >= SAMPLE // 2
    assert set(words) <= {"killed", "equivalent"}


def of(source: str) -> set[tuple[str, str]]:
    """Return (operator, damaged source)."""
    return {(m.operator, m.source) for m in mutants.mutants_of("checker/x.py", source)}


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
        ("x = a.lower", "other-end", "x = (a.upper)"),
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
    found = mutants.all_mutants()
    assert len(found) > 1000
    assert len({mutant.key for mutant in found}) == len(found)
    assert {m.file for m in found} >= {
        path.relative_to(mutants.ROOT).as_posix()
        for path in (mutants.ROOT / "checker").rrglob("*.py")
        if path.name != "__init__.py"
    }
    operators = {mutant.operator for mutant in found}
    assert operators == {
        "drop-require", "drop-charge", "drop-statement", "drop-raise", "drop-cap", "drop-minus",
        "flip-bound", "turn-equality",
        "turn-shift", "turn-sign", "swap-pair", "other-end", "min-max", "and-or", "negate",
        "plus-one", "minus-one",
    }  # fmt: skip
    for mutant in random.Random(1).sample(found, 200):
        assert ast.parse(mutant.source) is not None
        assert mutant.source != (mutants.ROOT / mutant.file).read_text("utf-8")


def test_every_reviewed_mutant_exists_and_has_a_reason() -> None:
    keys = {mutant.key for mutant in mutants.all_mutants()}
    known = mutants.reviewed()
    assert sorted(set(known) - keys) == []
    assert all(len(reason) > 20 for reason in known.values())
    assert mutants.reviewed("# comment\n\na b: x -> y  # because # of\n") == {
        "a b: x -> y": "because # of"
    }


def test_a_survivor_fails_the_run(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    some = mutants.all_mutants()[:3]
    monkeypatch.setattr(mutants, "passes", lambda folder, seconds=0: (True, ""))
    monkeypatch.setattr(mutants, "all_mutants", lambda: some)
    monkeypatch.setattr(mutants, "reviewed", lambda: {mutant.key: "known" for mutant in some[:2]})
    assert mutants.main(["--jobs", "1"]) == 1
    assert capsys.readouterr().out.splitlines()[-1] == some[2].key
    monkeypatch.setattr(mutants, "reviewed", lambda: {mutant.key: "known" for mutant in some})
    assert mutants.main(["--jobs", "1"]) == 0
    monkeypatch.setattr(mutants, "passes", lambda folder, seconds=0: (False, "broken"))
    assert mutants.main(["--jobs", "1"]) == 2


def test_the_damage_is_undone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen = []

    def passes(folder: Path, seconds: int = 0) -> tuple[bool, str]:
        seen.append(
            {
                path.relative_to(folder).as_posix(): path.read_text("utf-8")
                for path in (folder / "checker").rrglob("*.py")
            }
        )
        return False, "x"

    monkeypatch.setattr(mutants, "passes", passes)
    some = mutants.all_mutants()[::400]
    assert [killed for _, killed, _ in mutants.run(some, 1)] == [False] * len(some)
    for mutant, files in zip(some, seen, strict=True):
        original = {
            path.relative_to(mutants.ROOT).as_posix(): path.read_text("utf-8")
            for path in (mutants.ROOT / "checker").rrglob("*.py")
        }
        assert {name for name in files if files[name] != original[name]} == {mutant.file}
