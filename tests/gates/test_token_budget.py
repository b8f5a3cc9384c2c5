"""The checker keeps to its budget of tokens; each measure and refusal is tried on a snippet."""

from __future__ import annotations

import ast
from pathlib import Path

import budget
import pytest
from architecture import Lint


def test_the_checker_keeps_to_its_budget() -> None:
    assert budget.problems(budget.read(budget.ROOT / "checker")) == []


def test_tokens_are_counted_as_the_house_counts_them() -> None:
    text = (
        '"""Doc\n\nstring."""\n\n# comment\nx = 1  # code\n\n\n'
        'def f(a,\n      b):\n    """Doc."""\n    return (a +\n\n            b)\n'
    )
    size = budget.size(text)
    assert size.lines == {6: 3, 9: 5, 10: 3, 12: 4, 14: 2}
    assert size.functions == {"f": 14}
    assert size.tokens == 17


def test_a_text_with_values_in_it_is_one_token() -> None:
    assert budget.size("x = f'{a + b} of {c:>{d}}'\n").lines == {1: 3}
    assert budget.size('x = f"""{a}\n{b}"""\n').lines == {1: 3}
    assert budget.size("x = f'{f(\"y\")}' + z\n").lines == {1: 5}


def test_a_text_that_is_used_is_counted_where_it_begins() -> None:
    assert budget.size('x = """two\nlines"""\ny = 1\n').lines == {1: 3, 3: 3}


def test_methods_and_inner_functions_are_named() -> None:
    text = "class A:\n    def f(self):\n        def g():\n            return 1\n        return g\n"
    assert budget.size(text).functions == {"A.f": 15, "A.f.g": 7}


LINE = "x = 1\n"
SUM = " + ".join("abcdefghijkl")  # 23 tokens


@pytest.mark.parametrize(
    ("text", "found"),
    [
        (LINE * 12_500, []),
        (LINE * 23_200, ["69600 tokens, more than 69599"]),
        ("def f():\n" + "    x = 1\n" * 148, []),
        ("def f():\n" + "    x = 1\n" * 149, ["m.py: f has 452 tokens of 450"]),
        (f"x = {SUM}\n" + LINE * 9, []),
        (f"x = -{SUM}\n" + LINE * 9, ["m.py:1: 26 tokens on a line of 25"]),
        ("# " + "x" * 98 + "\n" + LINE, []),
        ("# " + "x" * 99 + "\n" + LINE, ["m.py:1: 101 columns of 100"]),
        ("x = f(a, b, c)\n" + LINE, []),
        ("x = f(a, b, c)\n", ["10.00 tokens a line, more than 9.0 on average"]),
        ("a, b = c, d\n", ["m.py:1: packs values: a, b = (c, d)"]),
        ("x = y[a < b]\n", ["m.py:1: is indexed by a comparison: y[a < b]"]),
    ],
)
def test_each_limit_is_noticed(text: str, found: list[str]) -> None:
    assert budget.problems({"m.py": text}) == found


@pytest.mark.parametrize(
    "snippet",
    [
        "a, b = 0, 1",
        "a, b = (0, 1)",
        "[a, b] = [0, 1]",
        "self.a, self.b = a, b",
        "low, high = x - 1, x + 1",
        "(a, b), c = f(), d",
        "a, b = (x, y) if c else (y, x)",
        "a, b = f() if c else (0, 0)",
        "a, b, c = b, a, d",
        "a, *b = 0, 1, 2",
        "c = a, b = 0, 1",
    ],
)
def test_packed_assignments_are_caught(snippet: str) -> None:
    assert found_by(budget.packed_assignments, snippet) == 1


@pytest.mark.parametrize(
    "snippet",
    [
        "a, b = b, a",
        "a[i], a[j] = a[j], a[i]",
        "a, b = f(x)",
        "a, b = pair",
        "(a, b), c = pair",
        "a, b = f() if c else g()",
        "pair = a, b",
        "a = b = 0",
        "a, b = [f(x) for x in y]",
        "a, b = map(f, (x, y))",
        "for a, b in ((0, 1), (1, 0)):\n    pass",
        "return_ = [a, b]",
    ],
)
def test_what_is_one_thing_may_be_taken_apart(snippet: str) -> None:
    assert found_by(budget.packed_assignments, snippet) == 0


@pytest.mark.parametrize(
    "snippet",
    [
        "x[a < b]",
        "(p, q)[a > 0]",
        "x[0][not y]",
        "x[int(a == b)]",
        "x[1 + (a in b)]",
        "x[a is b] = 1",
        "x[: a <= b]",
    ],
)
def test_an_index_that_is_a_comparison_is_caught(snippet: str) -> None:
    assert found_by(budget.indexed_by_comparison, snippet) == 1


@pytest.mark.parametrize(
    "snippet", ["x[a]", "x[-1]", "x[a + 1 :]", "p if a < b else q", "y: tuple[int, int] = x[i]"]
)
def test_other_indices_pass(snippet: str) -> None:
    assert found_by(budget.indexed_by_comparison, snippet) == 0


def found_by(lint: Lint, snippet: str) -> int:
    """Return how many findings a lint has in a snippet."""
    return len(list(lint(ast.parse(snippet), "m.py")))


def test_the_command_prints_each_folder_and_fails_past_a_limit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "ground").mkdir()
    (tmp_path / "main.py").write_text("x = 1\n")
    (tmp_path / "ground" / "exact.py").write_text("def f():\n    return 1\n")
    assert budget.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        ".           tokens=3 lines=1 per_line=3.00 largest_line=3 largest_function=0",
        "ground/     tokens=7 lines=2 per_line=3.50 largest_line=5 largest_function=7",
        "tokens=10 lines=3 per_line=3.33 largest_line=5 largest_function=7",
    ]
    (tmp_path / "main.py").write_text("x, y = 1, 2\n")
    assert budget.main([str(tmp_path)]) == 1
    assert capsys.readouterr().err == "main.py:1: packs values: x, y = (1, 2)\n"
