"""Damage the checker in every way we know; each damage must fail a test.

    python tests/mutants.py [--sample N] [--seed S] [--jobs J] [--only TEXT] [--list]

Every mutant changes one expression or statement of one file in `checker/`.  A copy of the checker
and of the tests is
made for each job; the copy of the checker is damaged, and a fast selection of the tests is run
there until one fails.
A mutant that no test notices has to be in `equivalent_mutants.txt` with a reason, else the exit
code is 1.
"""

# ruff: noqa: T201 (a command)

from __future__ import annotations

import argparse
import ast
import copy
import os
import random
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from queue import SimpleQueue

GATES = Path(__file__).resolve().parent
TESTS = GATES.parent
ROOT = TESTS.parent
REVIEWED = GATES / "equivalent_mutants.txt"
SECONDS = 120
MEMORY = 3 << 30
# Fast, and in the order in which they usually fail.
SELECTION = (
    "tests/checker/test_vectors.py",
    "tests/checker/test_float32.py",
    "tests/checker/test_traps.py",
    "tests/checker/test_leaves.py",
    "tests/checker/test_terms.py",
    *(
        f"tests/checker/test_cells.py::test_no_failing_input_is_lost_on_seeded_cases[{b}-{wide}]"
        for wide in (True, False)
        for b in range(6)
    ),
    "tests/checker/test_checker_cli.py",
    "tests/checker/test_residual.py::test_squaring_long_powers_costs_more",
    "tests/checker/test_limits.py",
    "tests/checker/test_modular.py",
    "tests/checker/test_modular_float32.py",
    "tests/checker/test_container.py",
    "tests/checker/test_exp_enclosure.py::test_exp_of_zero_is_exactly_one",
    "tests/checker/test_exp_enclosure.py::test_arguments_too_large_for_the_grid_cost_nothing",
    "tests/checker/test_exp_enclosure.py::test_the_step_to_zero_is_taken_in_the_right_place",
    "tests/checker/test_exp_enclosure.py::test_inverse_square_root_by_squaring_back",
    "tests/checker/test_exp_enclosure.py::test_exp_encloses_and_is_narrow[4096-arb]",
    "tests/checker/test_exp_enclosure.py::test_exp_encloses_and_is_narrow[2048-arb]",
    "tests/checker/test_exp_enclosure.py::test_exp_encloses_and_is_narrow[512-mpfr]",
    *(
        f"tests/checker/test_soundness.py::test_every_accepted_bound_is_true_on_seeded_cases[{seed}-{kind}_model]"
        for seed in range(15)
        for kind in ("good", "spiky", "cancelling")
    ),
)
# These compare with files or count clauses: every mutant that changes a number would fail them.
LEFT_OUT = (
    "tests/checker/test_vectors.py::test_the_vectors_are_what_the_generator_writes",
    "tests/checker/test_vectors.py::test_every_refusal_in_the_code_has_two_vectors",
    "tests/checker/test_checker_cli.py::test_version_is_stable_and_needs_no_files",
)
DOORS = {"require", "require_form", "require_support"}
REFUSALS = {"Rejected", "Malformed", "Declined"}
OTHER_END = {
    "lower": "upper", "low": "high", "least": "most", "grow": "shrink", "grown": "shrunk", "g": "s", "possible": "certain",
    "must": "may", "claimed_lower": "claimed_upper", "correct_lower": "correct_upper", "lower_shares": "shares",
    "root_low": "root_high", "below_low": "below_high", "begin": "end", "first": "last", "start": "end",
    "lower_terms": "upper_terms", "count_lower": "count_upper", "failures_lower": "failures_upper", "up_to": "below",
    "value_scale": "score_scale", "prefixes": "suffixes", "eqke_low": "eqke_high", "evou_low": "evou_high", "eu_low": "eu_high",
    "score_low": "score_high", "value_low": "value_high", "direct_low": "direct_high", "place_low": "place_high", "own": "other",
    "lows": "highs", "floors": "tops", "here": "there", "one": "two", "head": "tail",
}  # fmt: skip
OTHER_END |= {b: a for a, b in OTHER_END.items()}
FLIPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
TURNS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot, ast.IsNot: ast.Is,
}  # fmt: skip
SWAPS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One damage: what it is, where, and the whole file with it."""

    file: str
    line: int
    function: str
    operator: str
    before: str
    after: str
    source: str
    number: int = 1

    @property
    def key(self) -> str:
        """Return a name that survives changes elsewhere in the file; equal ones are numbered."""
        which = f" ({self.number})" if self.number > 1 else ""
        return f"{self.file} {self.function} {self.operator}: {self.before} -> {self.after}{which}"


# --- operators --------------------------------------------------------------------


def changed(node: ast.AST, **fields: object) -> ast.AST:
    """Return a deep copy with other fields."""
    new = copy.deepcopy(node)
    for name, value in fields.items():
        setattr(new, name, value)
    return new


def name_of(node: ast.AST) -> str:
    """Return the name that is called or read, without what it belongs to."""
    return (
        node.id
        if isinstance(node, ast.Name)
        else node.attr
        if isinstance(node, ast.Attribute)
        else ""
    )


def damages(node: ast.AST) -> Iterator[tuple[str, ast.AST]]:
    """Yield (operator, replacement) for one node."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Call):
        called = name_of(node.value.func)
        dropped = (
            "require"
            if called in DOORS
            else "charge"
            if called in ("charge", "watch")
            else "statement"
        )
        yield f"drop-{dropped}", ast.Pass()
    elif isinstance(node, ast.AugAssign):
        yield "drop-statement", ast.Pass()
    elif isinstance(node, ast.Raise):
        yield "drop-raise", ast.Pass()
    elif isinstance(node, (ast.If, ast.IfExp)):
        yield "negate", changed(node, test=ast.UnaryOp(ast.Not(), node.test))
    elif isinstance(node, ast.Compare):
        for at, op in enumerate(node.ops):
            for operator, table in (("flip-bound", FLIPS), ("turn-equality", TURNS)):
                if type(op) in table:
                    yield (
                        operator,
                        changed(node, ops=[*node.ops[:at], table[type(op)](), *node.ops[at + 1 :]]),
                    )
    elif isinstance(node, ast.Constant) and type(node.value) is int:
        yield "plus-one", ast.Constant(node.value + 1)
        yield "minus-one", ast.Constant(node.value - 1)
    elif isinstance(node, ast.BinOp):
        for a, b, operator in (
            (ast.LShift, ast.RShift, "turn-shift"),
            (ast.Add, ast.Sub, "turn-sign"),
        ):
            for old, new in ((a, b), (b, a)):
                if isinstance(node.op, old):
                    yield operator, changed(node, op=new())
    elif (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and not isinstance(node.operand, ast.Constant)
    ):
        yield "drop-minus", node.operand
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "negate", node.operand
    elif isinstance(node, ast.BoolOp):
        yield "and-or", changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif (
        isinstance(node, ast.Call)
        and name_of(node.func) in ("min", "max")
        and len(node.args) == 2
        and not node.keywords
    ):
        yield "drop-cap", node.args[0]
        yield "drop-cap", node.args[1]
    elif (
        isinstance(node, ast.Return)
        and isinstance(node.value, ast.Tuple)
        and len(node.value.elts) == 2
    ):
        yield "swap-pair", changed(node, value=ast.Tuple(node.value.elts[::-1], ast.Load()))
    if isinstance(node, ast.Name) and node.id in SWAPS:
        yield "min-max", ast.Name(SWAPS[node.id], ast.Load())
    if (
        isinstance(node, ast.Attribute)
        and node.attr in OTHER_END
        and isinstance(node.ctx, ast.Load)
    ):
        yield "other-end", changed(node, attr=OTHER_END[node.attr])
    if isinstance(node, ast.comprehension) and node.ifs:
        yield "drop-filter", changed(node, ifs=[])


def skipped(node: ast.AST) -> list[ast.AST]:
    """Return the children that only word a message, name a type or describe."""
    if isinstance(node, ast.Call) and name_of(node.func) in DOORS | REFUSALS:
        return node.args[1:] if name_of(node.func) in DOORS else list(node.args)
    if isinstance(node, ast.FunctionDef):
        return [node.args, *node.decorator_list, *([node.returns] if node.returns else [])]
    if isinstance(node, ast.AnnAssign):
        return [node.annotation]
    if isinstance(node, (ast.JoinedStr, ast.Import, ast.ImportFrom)):
        return list(ast.iter_child_nodes(node))
    return []


def mutants_of(file: str, source: str) -> Iterator[Mutant]:
    """Yield every mutant of one file, in order of place."""
    data = source.encode()
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def visit(node: ast.AST, function: str, names: set[str]) -> Iterator[Mutant]:
        if isinstance(node, ast.FunctionDef):
            function, names = (
                node.name,
                {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
                | {a.arg for a in node.args.args},
            )
        options = list(damages(node))
        if (
            isinstance(node, ast.Name)
            and isinstance(node.ctx, ast.Load)
            and OTHER_END.get(node.id) in names
        ):
            options.append(("other-end", ast.Name(OTHER_END[node.id], ast.Load())))
        if isinstance(node, ast.comprehension):
            options = [(operator, new) for operator, new in options if operator != "drop-filter"]
        for operator, new in options:
            if ast.dump(new) == ast.dump(node):
                continue
            begin = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
            end = starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
            text = (
                ast.unparse(ast.fix_missing_locations(new)) if not isinstance(new, ast.If) else ""
            )
            if isinstance(new, ast.If):  # only the condition is rewritten: the body keeps its lines
                test = node.test  # type: ignore[attr-defined]
                begin = starts[test.lineno - 1] + test.col_offset
                end = starts[test.end_lineno - 1] + test.end_col_offset
                text = f"not ({ast.unparse(test)})"
            elif isinstance(new, ast.expr):
                text = f"({text})"
            before = " ".join(data[begin:end].decode().split())
            damaged = (data[:begin] + text.encode() + data[end:]).decode()
            yield Mutant(file, node.lineno, function, operator, before, text, damaged)  # type: ignore[attr-defined]
        left_out = skipped(node)
        for child in ast.iter_child_nodes(node):
            if not any(child is other for other in left_out):
                yield from visit(child, function, names)

    yield from visit(ast.parse(source), "module", set())


def all_mutants(folder: Path = ROOT / "checker") -> list[Mutant]:
    """Return every mutant that compiles and differs, each once."""
    found: dict[tuple[str, str], Mutant] = {}
    keys: Counter[str] = Counter()
    for path in sorted(folder.rglob("*.py")):
        source = path.read_text("utf-8")
        for mutant in mutants_of(f"checker/{path.relative_to(folder).as_posix()}", source):
            place = mutant.file, mutant.source
            if place not in found:
                keys[mutant.key] += 1
                found[place] = replace(mutant, number=keys[mutant.key])
    return list(found.values())


def reviewed(text: str | None = None) -> dict[str, str]:
    """Return {key: reason} of the mutants that were looked at and change nothing that matters."""
    lines = (REVIEWED.read_text("utf-8") if text is None else text).splitlines()
    entries = [
        line.partition("  # ") for line in lines if line.strip() and not line.startswith("#")
    ]
    return {key.strip(): reason.strip() for key, _, reason in entries}


# --- running ----------------------------------------------------------------------


def tree(folder: Path) -> Path:
    """Copy what the tests need into a folder."""
    ignore = shutil.ignore_patterns("__pycache__", ".hypothesis", ".pytest_cache")
    for name in ("certify", "checker", "tests"):
        shutil.copytree(ROOT / name, folder / name, ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def _bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))


def passes(folder: Path, seconds: int = SECONDS) -> tuple[bool, str]:
    """Return whether the selected tests pass in a copy, and what failed first."""
    for cache in list((folder / "checker").rglob("__pycache__")):
        shutil.rmtree(cache, ignore_errors=True)
    selection = [test for test in SELECTION if (folder / test.partition("::")[0]).is_file()]
    left_out = [word for test in LEFT_OUT for word in ("--deselect", test)]
    line = [
        sys.executable,
        "-m",
        "pytest",
        "-x",
        "-q",
        "--tb=no",
        "-p",
        "no:cacheprovider",
        *left_out,
        *selection,
    ]
    environment = os.environ | {"PYTHONHASHSEED": "0", "PYTEST_ADDOPTS": ""}
    try:
        done = subprocess.run(
            line,
            cwd=folder,
            capture_output=True,
            text=True,
            env=environment,
            timeout=seconds,
            preexec_fn=_bounded,
        )
    except subprocess.TimeoutExpired:
        return False, f"no end after {seconds} s"
    found = [text for text in done.stdout.splitlines() if text.startswith(("FAILED ", "ERROR "))]
    return done.returncode == 0, found[0].removeprefix(
        "FAILED tests/checker/"
    ) if found else f"exit code {done.returncode}"


def run(mutants: Iterable[Mutant], jobs: int) -> Iterator[tuple[Mutant, bool, str]]:
    """Yield (mutant, survived, what failed) as the work proceeds."""
    with tempfile.TemporaryDirectory() as place:
        free: SimpleQueue[Path] = SimpleQueue()
        for job in range(jobs):
            free.put(tree(Path(place) / str(job)))

        def one(mutant: Mutant) -> tuple[Mutant, bool, str]:
            folder = free.get()
            path = folder / mutant.file
            whole = path.read_text("utf-8")
            try:
                path.write_text(mutant.source, "utf-8")
                return mutant, *passes(folder)
            finally:
                path.write_text(whole, "utf-8")
                free.put(folder)

        with ThreadPoolExecutor(jobs) as pool:
            yield from pool.map(one, mutants)


def arguments(argv: list[str]) -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description="Damage the checker in every way we know.")
    parser.add_argument("--sample", type=int, metavar="N", help="only so many mutants")
    parser.add_argument(
        "--seed", type=int, help="of the sample; a random one is chosen and printed"
    )
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, metavar="J")
    parser.add_argument(
        "--only", default="", metavar="TEXT", help="only mutants whose name contains this"
    )
    parser.add_argument("--list", action="store_true", help="print the mutants, and run nothing")
    return parser.parse_args(argv)


def main(argv: list[str]) -> int:
    """Run the mutants and print what became of each."""
    options = arguments(argv)
    seed = options.seed if options.seed is not None else random.SystemRandom().randrange(2**32)
    chosen = [mutant for mutant in all_mutants() if options.only in mutant.key]
    total = len(chosen)
    if options.sample is not None and options.sample < total:
        chosen = random.Random(seed).sample(chosen, options.sample)
    print(f"{total} mutants, {len(chosen)} of them run, seed {seed}", flush=True)
    if options.list:
        print("\n".join(f"{mutant.file}:{mutant.line} {mutant.key}" for mutant in chosen))
        return 0
    with tempfile.TemporaryDirectory() as place:
        sane, found = passes(tree(Path(place) / "tree"))
    if not sane:
        print(f"the tests fail without any damage: {found}")
        return 2
    known, start, killed, allowed, survivors = reviewed(), time.monotonic(), 0, 0, []
    for mutant, survived, found in run(chosen, options.jobs):
        word = "killed" if not survived else "equivalent" if mutant.key in known else "SURVIVED"
        killed, allowed = killed + (word == "killed"), allowed + (word == "equivalent")
        survivors += [mutant] if word == "SURVIVED" else []
        reason = found if word == "killed" else known.get(mutant.key, "")
        print(
            f"{word} {mutant.file}:{mutant.line} {mutant.operator}: {mutant.before[:90]} -> {mutant.after[:90]} ({reason})",
            flush=True,
        )
    counts = f"{killed} killed, {allowed} known to be equivalent, {len(survivors)} survived"
    print(f"{counts}; {time.monotonic() - start:.0f} s, seed {seed}")
    print("\n".join(mutant.key for mutant in survivors))
    return int(bool(survivors))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
