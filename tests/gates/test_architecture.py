"""The rules of the house, enforced on the source itself; and each rule, tested to bite."""

from __future__ import annotations

import sys
from pathlib import Path

import architecture as a
import processor
import pytest

CHECKER = a.sources("checker")
CERTIFY = a.sources("certify")
SPEC = a.clauses_of_spec(a.spec_files())
VECTORS = a.ROOT / "tests" / "vectors"

# Clauses with a MUST that no vector can show, each with the reason.  Keep it short.
WITHOUT_VECTOR: dict[str, str] = {}
# Clauses with a MUST that are not enforced by a refusal, each with the reason.
WITHOUT_REFUSAL: dict[str, str] = {
    "SPEC-7.15": "its one MUST is about queries, and SPEC-7.2 refuses for it, as the text says"
}

CHECKER_LINTS: dict[str, a.Lint] = {
    "imports": a.checker_imports,
    "prover": a.checker_never_imports_the_prover,
    "floats": a.no_floats,
    "names": a.no_forbidden_names,
    "asserts": a.no_asserts_or_globals,
    "effects": a.effects_only_in_main,
    "handlers": a.no_broad_handlers,
    "parsing": a.no_loose_parsing,
    "doors": a.doors_are_real,
    "lines": a.several_statements_on_a_line,
    "layers": a.only_downwards,
}


def test_there_is_something_to_check() -> None:
    assert "checker/__main__.py" in CHECKER
    assert "checker/ground/decode.py" in CHECKER
    assert len(CERTIFY) >= 2


@pytest.mark.parametrize("lint", CHECKER_LINTS)
def test_checker_obeys(lint: str) -> None:
    assert a.run(CHECKER_LINTS[lint], CHECKER) == []


def test_checker_discards_no_verdict() -> None:
    assert a.run(a.discarded_verdicts(CHECKER), CHECKER) == []


def test_modules_of_the_checker_import_in_no_circle() -> None:
    assert a.circles(CHECKER) == []


def test_prover_never_imports_the_checker() -> None:
    assert a.run(a.prover_imports, CERTIFY) == []


def test_checker_runs_with_nothing_installed(tmp_path: Path) -> None:
    # -S: no site-packages; -I would also hide the bare checkout, so the folder is given.
    code = (
        "import sys; sys.path.insert(0, sys.argv[1]); import checker.__main__; "
        "heavy = {'numpy', 'certify', 'torch', 'safetensors'}; "
        "print(sorted({m.split('.')[0] for m in sys.modules} & heavy))"
    )
    line = [sys.executable, "-S", "-I", "-c", code, str(a.ROOT)]
    done = processor.run(line, 60, capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("[]\n", "", 0)


# --- clauses ----------------------------------------------------------------------


def test_every_clause_that_code_names_is_in_the_spec() -> None:
    named = {**a.clauses_in_docstrings(CHECKER), **a.clauses_in_code(CHECKER)}
    assert {clause: place for clause, place in named.items() if clause not in SPEC} == {}


def test_every_must_of_the_spec_is_enforced() -> None:
    musts = {clause for clause, must in SPEC.items() if must}
    assert musts
    assert musts - set(a.clauses_in_code(CHECKER)) - set(WITHOUT_REFUSAL) == set()


def test_every_must_of_the_spec_has_a_vector() -> None:
    musts = {clause for clause, must in SPEC.items() if must}
    assert musts - a.clauses_of_vectors(VECTORS) - set(WITHOUT_VECTOR) == set()


def test_every_refusal_of_the_code_has_a_vector() -> None:
    assert (
        set(a.clauses_in_code(CHECKER)) - a.clauses_of_vectors(VECTORS) - set(WITHOUT_VECTOR)
        == set()
    )


def test_exceptions_to_the_rules_are_still_needed() -> None:
    musts = {clause for clause, must in SPEC.items() if must}
    code = set(a.clauses_in_code(CHECKER))
    assert set(WITHOUT_REFUSAL) <= musts - code
    assert set(WITHOUT_VECTOR) <= (musts | code) - a.clauses_of_vectors(VECTORS)


# --- each lint bites --------------------------------------------------------------

# Where a snippet stands, if it matters.
PLACES = {"layers": "checker/cells/terms.py"}
CAUGHT = {
    "imports": [
        "import numpy", "from torch import nn", "import math", "from math import sqrt",
        "from math import exp, isqrt",
        "from time import time", "from json import *", "import subprocess", "import sys",
        "import os",
        "import importlib",
        "def f():\n    import random", "from decimal import getcontext", "import os.path",
    ],
    "prover": [
        "import certify", "from certify.paths import f", "from .. import certify",
        "import certify.model as m",
    ],
    "floats": [
        "x = 1.0", "x = 1e3", "x = 2j", "x = a / b", "x /= 2", "x = 2 ** -3",
        "import struct\nstruct.unpack('<4f', b)",
        "unpack('<d', b)", "def f(x=.5): pass", "x = f'{1.5}'",
    ],
    "names": [
        "x = float(y)", "eval(x)", "exec(x)", "import pickle", "from pickle import loads",
        "map(float, xs)",
        "from operator import truediv", "x = a.__truediv__(b)", "if __debug__: pass", "f = compile",
        "x = Fraction.from_float(y)",
        "__import__('numpy')", "with suppress(E): f()", "x = globals()",
    ],
    "asserts": ["assert x", "def f():\n    assert x, 'y'", "def f():\n    global x"],
    "effects": [
        "print(1)", "open('x')", "sys.stdout.write('x')", "p.read_bytes()", "raise SystemExit",
        "out = print",
    ],
    "handlers": [
        "try:\n    f()\nexcept:\n    raise", "try:\n    f()\nexcept Exception as e:\n    g()",
        "try:\n    f()\nexcept (ValueError, BaseException):\n    g()",
        "try:\n    f()\nexcept Rejected:\n    g()",
        "try:\n    f()\nexcept errors.ValueError:\n    pass",
        "for x in y:\n    try:\n        f()\n    except KeyError:\n        continue",
        "def f():\n    try:\n        g()\n    finally:\n        return 1",
    ],
    "parsing": [
        "int(x)", "int('7')", "int(x, 16)", "Fraction(x)", "Fraction('1/2')", "list(map(int, xs))",
        "json.loads(x)",
        "fractions.Fraction(x)", "p.add_argument('--n', type=int)", "int(f(x))",
    ],
    "doors": [
        "require(True, 'SPEC-1.1', 'why')", "require((a, b), 'SPEC-1.1', 'why')",
        "require(a < b, 'SPEC 1.1', 'why')",
        "require(a < b, rule, 'why')", "require(a < b, 'SPEC-1.1')",
        "require(a < b, 'SPEC-1.1', '')",
        "require(a or True, 'SPEC-1.1', 'why')", "require(a, rule='SPEC-1.1', why='why')",
        "raise Rejected(rule, 'why')",
        "require_form(1, 'SPEC-1.1', 'why')", "require((x for x in y), 'SPEC-1.1', 'why')",
        "raise Malformed('', 'why')",
    ],
    "lines": ["x = 1; y = 2", "if x: y = 1"],
    "layers": [
        "from checker.check import check", "import checker.__main__",
        "from checker.leaves.network import Network",
        "from checker.sums import fold", "from checker import check",
        "from checker import __version__",
        "from checker.other import x", "from . import exact", "from ..ground import exact",
        "def f():\n    import checker.sums.fold",
        "from checker import sums",
    ],
}  # fmt: skip
NOT_CAUGHT = {
    "imports": ["import json", "from math import isqrt", "from checker.ground.errors import require", "from . import exact", "from collections.abc import Sequence"],  # noqa: E501
    "prover": ["x = 'certify'", "import checker.exact"],
    "floats": [
        "x = a // b", "x = 1 << 3", "def _no_float(x): pass", "struct.unpack('<4I', b)",
        "x = 2 ** 3", "x = '1.5'",
    ],
    "names": ["def no_float(x): pass", "x = 'float'", "re.compile(p)", "re.fullmatch(p, x)"],
    "asserts": ["require(x, 'SPEC-1.1', 'y')", "x = 'assert'"],
    "effects": ["x = 'print'", "def printed(): pass"],
    "handlers": [
        "try:\n    f()\nexcept ValueError as e:\n    raise Malformed('SPEC-1.1', 'x') from e",
    ],
    "parsing": [
        "int.from_bytes(b, 'little')", "Fraction(a, b)", "Fraction(0)", "int(a < b)", "int(not x)",
        "integer(x)",
    ],
    "doors": ["require(a < b, 'SPEC-1.1', f'{a} is too large')", "raise Declined('io', 'why')", "require(len(x) > 0, 'SPEC-1', 'why')"],  # noqa: E501
    "lines": ["x = 1\ny = 2", "x = [1,\n 2]", "if x:\n    y = 1"],
    "layers": [
        "from checker.float32.sums import drift", "from checker.float32 import cells",
        "import checker.ground.exact", "import json",
        "from checker.statement.model import Model", "from checker import ground",
    ],
}  # fmt: skip


@pytest.mark.parametrize(
    ("lint", "snippet"), [(lint, s) for lint, some in CAUGHT.items() for s in some]
)
def test_lint_catches(lint: str, snippet: str) -> None:
    assert a.run(CHECKER_LINTS[lint], {PLACES.get(lint, "checker/module.py"): snippet}) != []


@pytest.mark.parametrize(
    ("lint", "snippet"), [(lint, s) for lint, some in NOT_CAUGHT.items() for s in some]
)
def test_lint_lets_pass(lint: str, snippet: str) -> None:
    assert a.run(CHECKER_LINTS[lint], {PLACES.get(lint, "checker/module.py"): snippet}) == []


def test_every_lint_has_snippets() -> None:
    assert set(CAUGHT) == set(NOT_CAUGHT) == set(CHECKER_LINTS)


@pytest.mark.parametrize(
    ("name", "snippet", "allowed"),
    [
        ("checker/cells/terms.py", "from checker.cells.parse import Cell", True),
        ("checker/float32/cells.py", "from checker.cells.parse import Cell", False),
        ("checker/statement/model.py", "from checker.float32.cells import Slack", False),
        ("checker/ground/exact.py", "from checker.statement.model import Model", False),
        ("checker/check.py", "from checker.sums.inputs import parse_sums", True),
        ("checker/check.py", "from checker.__main__ import main", False),
        ("checker/__main__.py", "from checker import __version__", True),
        ("checker/__main__.py", "from checker.check import check", True),
        ("checker/__init__.py", "from checker.check import check", False),
        ("checker/cells/__init__.py", "from checker.sums.fold import fold", False),
        ("checker/new/rule.py", "import json", False),
        ("checker/new.py", "import json", False),
    ],
)
def test_layers_are_those_of_the_chapters(name: str, snippet: str, *, allowed: bool) -> None:
    assert (a.run(a.only_downwards, {name: snippet}) == []) == allowed


def test_circles_are_found() -> None:
    files = {
        "checker/cells/one.py": "from checker.cells import two",
        "checker/cells/two.py": "from checker.cells.three import f",
        "checker/cells/three.py": "import checker.cells.one",
        "checker/cells/four.py": "import checker.cells.one",
    }
    assert a.circles(files) == ["checker.cells.one", "checker.cells.three", "checker.cells.two"]
    assert a.circles({"checker/cells/four.py": "import checker.cells.one"}) == []


def test_main_may_print_and_decode_may_parse() -> None:
    assert (
        a.run(a.effects_only_in_main, {"checker/__main__.py": "print(open('x').read_bytes())"})
        == []
    )
    assert a.run(a.no_loose_parsing, {"checker/decode.py": "int(x)"}) == []
    loads = "json.loads(x, parse_float=f, parse_int=f, parse_constant=f, object_pairs_hook=f)"
    assert a.run(a.no_loose_parsing, {"checker/decode.py": loads}) == []
    assert a.run(a.no_loose_parsing, {"checker/decode.py": "json.loads(x, parse_float=f)"}) != []


CONTEXT = """
def proved(x) -> int: ...
def step(x) -> None: ...
def unannotated(x): ...
class Ledger:
    def charge(self, n: int) -> None: ...
    def add(self, n: int) -> int: ...
"""


@pytest.mark.parametrize(
    "statement",
    [
        "a < b", "a", "a == b", "not a", "a and b", "Rejected('SPEC-1.1', 'tie')",
        "errors.Malformed('SPEC-1.1', 'x')",
        "ValueError('x')", "proved(x)", "unannotated(x)", "is_sorted(x)", "x.is_integer()",
        "all(xs)", "sorted(xs)", "(a, b)",
        "a, step(b)", "ledger.add(3)", "x.proved(y)", "[step(x) for x in y]", "1",
        "lambda: step(x)", "(yield_ or 1)",
        "watch(3)", "step(x) if a else proved(x)",
    ],
)  # fmt: skip
def test_discarded_verdicts_are_caught(statement: str) -> None:
    snippet = f"def f():\n    if c:\n        {statement}\n"
    assert a.run(a.discarded_verdicts({"c.py": CONTEXT}), {"checker/module.py": snippet}) != []


@pytest.mark.parametrize(
    "statement",
    [
        "step(x)",
        "ledger.charge(3)",
        "xs.append(x)",
        "'text'",
        "yield x",
        "x = proved(y)",
        "raise Rejected('SPEC-1.1', 'x')",
        "print(x)",
        "super().__init__(x)",
    ],
)
def test_statements_with_a_purpose_pass(statement: str) -> None:
    snippet = f"def f():\n    if c:\n        {statement}\n"
    assert a.run(a.discarded_verdicts({"c.py": CONTEXT}), {"checker/module.py": snippet}) == []


def test_a_callback_annotated_to_return_nothing_may_be_called() -> None:
    text = "def f(watch: Callable[[int, int], None]) -> None:\n    watch(1, 2)\n"
    assert a.run(a.discarded_verdicts({"m.py": text}), {"m.py": text}) == []
    text = text.replace("None], None]", "X]").replace(", None]", ", bool]")
    assert a.run(a.discarded_verdicts({"m.py": text}), {"m.py": text}) != []


@pytest.mark.parametrize(
    "snippet",
    [
        "import checker",
        "from checker import check",
        "from checker.ground.exact import x",
        "import_module('checker')",
        "importlib.import_module('checker.exact')",
        "runpy.run_module('checker')",
        "def f():\n    import checker.cells",
    ],
)
def test_prover_lint_catches(snippet: str) -> None:
    assert a.run(a.prover_imports, {"certify/module.py": snippet}) != []


@pytest.mark.parametrize(
    "snippet",
    [
        "subprocess.run([sys.executable, '-S', '-m', 'checker'])",
        "import certify.paths",
        "checker = 1",
    ],
)
def test_prover_lint_lets_pass(snippet: str) -> None:
    assert a.run(a.prover_imports, {"certify/module.py": snippet}) == []


def test_clauses_are_read_from_a_spec() -> None:
    root = (
        "# Title\nMUST of nobody\n## SPEC-3 Input\n### SPEC-3.1 Bytes\nA reader MUST refuse.\n"
        "### SPEC-3.2 Words\nMay.\n```\n### SPEC-9.9 MUST in code\n```\n"
        "## 5 Old\nMUST of nobody\n### SPEC-3.10 Ten\nMUSTARD\n"
    )
    chapter = "# SPEC-4 Then\n**SPEC-4.9** is no heading\n### SPEC-4.1 It\n| MUST |\n"
    found = a.clauses_of_spec({"root": root, "chapter": chapter})
    assert {clause for clause, must in found.items() if must} == {"SPEC-3.1", "SPEC-4.1"}
    assert set(found) == {"SPEC-3", "SPEC-3.1", "SPEC-3.2", "SPEC-3.10", "SPEC-4", "SPEC-4.1"}
    assert a.text_of_clauses(chapter)["SPEC-4.1"] == "### SPEC-4.1 It\n| MUST |\n"


@pytest.mark.parametrize("second", ["## SPEC-3.1 Again\n", "## SPEC-4.1 A\n## SPEC-4.1 B\n"])
def test_a_clause_that_is_there_twice_is_refused(second: str) -> None:
    with pytest.raises(ValueError, match=r"SPEC-[34]\.1 is there twice"):
        a.clauses_of_spec({"root": "## SPEC-3.1 It\n", "chapter": second})


def test_clauses_are_read_from_code_and_vectors(tmp_path: Path) -> None:
    code = (
        "'''SPEC 9.1 and SPEC-9.2'''\nrequire(a, 'SPEC-3.1', 'x')\n"
        "raise Malformed('SPEC-3.2', 'x')\nx = 'SPEC-3.3'\n"
    )
    assert a.clauses_in_code({"m.py": code}) == {"SPEC-3.1": "m.py:2", "SPEC-3.2": "m.py:3"}
    assert set(a.clauses_in_docstrings({"m.py": code})) == {"SPEC-9.1", "SPEC-9.2"}
    (tmp_path / "reject-SPEC-3.1-spaces.json").write_text("{}")
    (tmp_path / "index.json").write_text('{"rule":"SPEC-3.2"}')
    assert a.clauses_of_vectors(tmp_path) == {"SPEC-3.1", "SPEC-3.2"}
    assert a.clauses_of_vectors(tmp_path / "absent") == set()
