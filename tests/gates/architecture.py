"""Static checks of the source: what `checker/` and `certify/` may not contain.

Every lint takes source text and returns findings, `file:line: what is wrong`; an
empty list means none.  They are tested on snippets that they must catch, and on
snippets that they must not, in `test_architecture.py`.

What is NOT established here: that a text never reaches `int` through another name,
or that a float never appears as the result of a call.  The lists of modules and
functions that may be used at all are short for that reason.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

ALLOWED_MODULES = {
    "argparse", "bisect", "collections", "dataclasses", "enum", "fractions", "functools", "hashlib",
    "heapq", "importlib", "itertools", "json", "math", "operator", "pathlib", "re", "string",
    "struct",
    "time", "types", "typing", "__future__",
}  # fmt: skip
MAIN_ONLY = {"os", "signal", "stat", "sys"}
JOBS_ONLY = {"gc", "os", "select", "signal"}  # where processes are forked
INTEGER_FUNCTIONS = {
    "importlib": {"resources"},  # reads the checker's own files for --version, loads nothing
    "math": {"comb", "factorial", "gcd", "isqrt", "lcm", "perm", "prod"},
    "time": {"monotonic_ns", "perf_counter_ns", "process_time_ns"},
}
FORBIDDEN_NAMES = {
    "float", "complex", "eval", "exec", "compile", "__import__", "globals", "locals", "vars",
    "breakpoint",
    "input", "pickle", "marshal", "truediv", "itruediv", "__truediv__", "fsum", "suppress",
    "Decimal",
    "__debug__", "set_int_max_str_digits", "fromhex", "as_integer_ratio", "from_float",
}  # fmt: skip
REFUSALS = {"Refusal", "Rejected", "Malformed", "Declined"}
DOORS = {"require", "require_form", "require_support"}
# Methods of the standard library whose result may be dropped.
CALLED_FOR_EFFECT = {
    "add", "add_argument", "append", "clear", "close", "discard", "error", "extend", "flush",
    "insert", "remove",
    "reverse", "set_defaults", "setdefault", "sort", "update", "write", "__init__", "__setattr__",
}  # fmt: skip
EFFECTS = {
    "print", "sys.exit", "parser.exit", "parser.error", "signal.signal", "signal.setitimer",
    "os._exit", "os.close", "os.kill", "os.waitpid", "os.write", "os.read",
    "gc.freeze", "gc.unfreeze",
}  # fmt: skip
LOADERS = {"import_module", "__import__", "run_module", "run_path"}  # find_spec only locates
CLAUSE = re.compile(r"SPEC-[0-9]+(?:\.[0-9]+)*")

Lint = Callable[[ast.Module, str], Iterable[tuple[int, str]]]


def run(lint: Lint, sources: dict[str, str]) -> list[str]:
    """Return the findings of one lint over files {name: text}, sorted."""
    return sorted(
        f"{name}:{line}: {what}"
        for name, text in sources.items()
        for line, what in lint(ast.parse(text), name)
    )


def sources(package: str) -> dict[str, str]:
    """Return {path relative to the repository: text} of a package."""
    return {
        str(p.relative_to(ROOT)): p.read_text("utf-8")
        for p in sorted((ROOT / package).rglob("*.py"))
    }


def _is_main(name: str) -> bool:
    return Path(name).name == "__main__.py"


def _is_jobs(name: str) -> bool:
    return name == "checker/jobs.py"


def _called(node: ast.Call) -> str:
    """Return the last name of what is called: `f` of `f()`, `a.f()`; or nothing."""
    return node.func.id if isinstance(node.func, ast.Name) else getattr(node.func, "attr", "")


def _imports(tree: ast.Module) -> Iterator[tuple[int, str, str | None]]:
    """Yield (line, module, imported name)."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((node.lineno, alias.name, None) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            module = "." * node.level + (node.module or "")
            yield from ((node.lineno, module, alias.name) for alias in node.names)


# --- lints of the checker ---------------------------------------------------------


def checker_imports(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """Only a few modules of the standard library, and the checker's own."""
    for line, module, imported in _imports(tree):
        top = module.split(".")[0]
        if top in JOBS_ONLY and _is_jobs(name):
            continue
        if top in MAIN_ONLY and not _is_main(name):
            yield line, f"imports {top} outside __main__.py"
        if top not in ALLOWED_MODULES | MAIN_ONLY | {"checker", ""}:
            yield line, f"imports {module}"
        allowed = INTEGER_FUNCTIONS.get(top)
        if allowed is not None and imported not in allowed:
            yield line, f"imports {imported or 'all'} of {module}: only {sorted(allowed)}, by name"
        if imported == "*":
            yield line, f"imports everything of {module}"


def no_floats(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """No float literal, no true division, no negative power, no float struct code."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, (float, complex)):
            yield node.lineno, f"float literal {node.value}"
        if isinstance(node, (ast.BinOp, ast.AugAssign)) and isinstance(node.op, ast.Div):
            yield node.lineno, "true division"
        if (
            isinstance(node, ast.BinOp)
            and isinstance(node.op, ast.Pow)
            and isinstance(node.right, ast.UnaryOp)
        ):
            yield node.lineno, "power with a signed exponent"
        if isinstance(node, ast.Call) and _called(node) in (
            "unpack",
            "unpack_from",
            "iter_unpack",
            "Struct",
        ):
            texts = [
                c.value
                for c in ast.walk(node)
                if isinstance(c, ast.Constant) and isinstance(c.value, str)
            ]
            if any(set(text) & set("efd") for text in texts):
                yield node.lineno, "float code of struct"


def no_forbidden_names(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """No eval, exec, pickle, float(), reflection."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Name) and node.id in FORBIDDEN_NAMES:
            yield node.lineno, f"uses {node.id}"
        if isinstance(node, ast.Attribute) and node.attr in FORBIDDEN_NAMES - {
            "compile"
        }:  # re.compile
            yield node.lineno, f"uses .{node.attr}"
    for line, module, imported in _imports(tree):
        if {module.split(".")[0], imported} & FORBIDDEN_NAMES:
            yield line, f"imports {module} {imported or ''}".rstrip()


def no_asserts_or_globals(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """No `assert`: it is gone under -O.  No `global`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Assert):
            yield node.lineno, "assert"
        if isinstance(node, ast.Global):
            yield node.lineno, "global"


def effects_only_in_main(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """Printing, exiting and reading files happen in `__main__.py`."""
    names = {"print", "open", "exit", "quit", "SystemExit"}
    attributes = {
        "stdout",
        "stderr",
        "open",
        "read_bytes",
        "read_text",
        "write_bytes",
        "write_text",
    }
    for node in ast.walk(tree) if not _is_main(name) else []:
        if isinstance(node, ast.Name) and node.id in names:
            yield node.lineno, f"uses {node.id} outside __main__.py"
        if isinstance(node, ast.Attribute) and node.attr in attributes:
            yield node.lineno, f"uses .{node.attr} outside __main__.py"


def no_broad_handlers(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """No `except:`, no `except Exception`; a refusal is caught in `__main__.py` alone, and in
    `jobs.py`, where the parent meets it again.
    """
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = (
                set()
                if node.type is None
                else {n.id for n in ast.walk(node.type) if isinstance(n, ast.Name)}
            )
            if node.type is None or caught & {"Exception", "BaseException"}:
                yield node.lineno, "catches everything"
            if caught & REFUSALS and not (_is_main(name) or _is_jobs(name)):
                yield node.lineno, "catches a refusal outside __main__.py"
            if all(isinstance(step, (ast.Pass, ast.Continue)) for step in node.body):
                yield node.lineno, "swallows an exception"
        if isinstance(node, ast.Try):
            final = [n for step in node.finalbody for n in ast.walk(step)]
            if any(isinstance(n, (ast.Return, ast.Break, ast.Continue)) for n in final):
                yield node.lineno, "leaves a finally block early"


def no_loose_parsing(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """`int(text)` and `Fraction(text)` accept "1_0" and " 7 ": only decode.py may use them.

    Without types a text cannot be told from a number, so outside decode.py both take
    literal numbers, comparisons, or (Fraction) a numerator and a denominator.
    """
    in_decode = Path(name).name == "decode.py"
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call):
            continue
        called, arguments = _called(node), node.args
        if (
            called in ("int", "Fraction")
            and not in_decode
            and len(arguments) + len(node.keywords) > 0
        ):
            number = isinstance(arguments[0], (ast.Compare, ast.UnaryOp)) or (
                isinstance(arguments[0], ast.Constant) and isinstance(arguments[0].value, int)
            )
            if not (number or (called == "Fraction" and len(arguments) == 2)):
                yield node.lineno, f"{called}(...) outside decode.py"
        if called in ("loads", "load"):
            hooks = {"parse_float", "parse_int", "parse_constant", "object_pairs_hook"}
            if not in_decode or not hooks <= _keywords(node, tree):
                yield node.lineno, "JSON is parsed only in decode.py, with all four hooks"
        mapped = arguments[0] if called == "map" and arguments else None
        if isinstance(mapped, ast.Name) and mapped.id in ("int", "Fraction") and not in_decode:
            yield node.lineno, f"map({mapped.id}, ...) outside decode.py"
        if any(
            k.arg == "type" and isinstance(k.value, ast.Name) and k.value.id == "int"
            for k in node.keywords
        ):
            yield node.lineno, "type=int of argparse accepts 1_0"


def _keywords(call: ast.Call, tree: ast.Module) -> set[str | None]:
    """Return the keywords of a call; `**hooks` may be any dict of the module."""
    given: set[str | None] = {keyword.arg for keyword in call.keywords}
    if None in given:
        for node in ast.walk(tree):
            if isinstance(node, ast.Dict):
                keys = (key.value for key in node.keys if isinstance(key, ast.Constant))
                given |= {key for key in keys if isinstance(key, str)}
    return given


def discarded_verdicts(files: dict[str, str]) -> Lint:
    """Return the lint that finds computed truth that is dropped, given the whole package.

    A bare statement may be a docstring, a yield, a call of a function of the package
    that is annotated to return nothing, a call of a parameter or attribute annotated
    `Callable[..., None]`, one of a few methods, `print`, or an exit.
    """
    package: dict[str, set[bool]] = {}
    for text in files.values():
        for called, kinds in _returning(ast.parse(text)).items():
            package.setdefault(called, set()).update(kinds)

    def lint(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
        returns = package | _returning(tree)  # what the file itself defines comes first
        for node in ast.walk(tree):
            if not isinstance(node, ast.Expr):
                continue
            value = node.value
            if isinstance(value, (ast.Yield, ast.YieldFrom, ast.Await)):
                continue
            if isinstance(value, ast.Constant) and isinstance(value.value, str):
                continue
            if not isinstance(value, ast.Call):
                yield node.lineno, f"discards {ast.unparse(value)[:60]}"
                continue
            called = _called(value)
            method = isinstance(value.func, ast.Attribute)
            known = returns.get(called) == {True} or ast.unparse(value.func) in EFFECTS
            harmless = method and called in CALLED_FOR_EFFECT and called not in returns
            if not (known or harmless):
                yield (
                    node.lineno,
                    f"discards the result of {called or ast.unparse(value.func)}(...)",
                )

    return lint


def _returning(tree: ast.Module) -> dict[str, set[bool]]:
    """Return {function or callback: whether each of its definitions returns nothing}."""
    returns: dict[str, set[bool]] = {}
    for node in ast.walk(tree):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            returns.setdefault(node.name, set()).add(_is_nothing(node.returns))
        if isinstance(node, ast.arg):
            callback, annotation = node.arg, node.annotation
        elif isinstance(node, ast.AnnAssign):
            callback, annotation = (
                getattr(node.target, "id", getattr(node.target, "attr", "")),
                node.annotation,
            )
        else:
            continue
        if annotation is not None and re.fullmatch(
            r"Callable\[.*, None\]", ast.unparse(annotation)
        ):
            returns.setdefault(callback, set()).add(True)
    return returns


def _is_nothing(annotation: ast.expr | None) -> bool:
    return annotation is not None and ast.unparse(annotation) in ("None", "NoReturn", "Never")


def doors_are_real(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """A requirement has three arguments: something to decide, a literal clause, a reason."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in DOORS:
            if len(node.args) != 3 or node.keywords:
                yield node.lineno, "a requirement without three arguments"
                continue
            condition, clause, why = node.args
            if isinstance(
                condition,
                (
                    ast.Constant,
                    ast.Tuple,
                    ast.List,
                    ast.Dict,
                    ast.JoinedStr,
                    ast.Lambda,
                    ast.GeneratorExp,
                ),
            ):
                yield node.lineno, "a requirement that decides nothing"
            if isinstance(condition, ast.BoolOp) and any(
                isinstance(v, ast.Constant) for v in condition.values
            ):
                yield node.lineno, "a requirement with a constant part"
            if not (
                isinstance(clause, ast.Constant)
                and isinstance(clause.value, str)
                and (clause.value in ("io", "jobs") or CLAUSE.fullmatch(clause.value))
            ):
                yield node.lineno, "a requirement without a literal SPEC-x.y"
            if isinstance(why, ast.Constant) and not why.value:
                yield node.lineno, "a requirement without a reason"
        if isinstance(node, ast.Call) and _called(node) in REFUSALS and node.args:
            clause = node.args[0]
            literal = isinstance(clause, ast.Constant) and (
                clause.value in ("io", "jobs") or CLAUSE.fullmatch(str(clause.value))
            )
            if not literal and Path(name).name != "errors.py":
                yield node.lineno, "a refusal without a literal SPEC-x.y"


LAYERS = {
    "checker.ground": 0,
    "checker.statement": 1,
    "checker.float32": 2,
    "checker.cells": 3,
    "checker.sums": 3,
    "checker.leaves": 3,
    "checker.chain": 4,
    "checker.wide": 4,
    "checker.jobs": 4,
    "checker.check": 5,
    "checker.__main__": 6,
}
"""The chapters of the checker: a module imports from its own folder and from those below it."""


def part_of(module: str) -> str:
    """Return the chapter of a module: `checker.ground` of `checker.ground.exact`."""
    return ".".join(module.split(".")[:2])


def only_downwards(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """A chapter imports only what lies below it; of kinds of proof, chains alone know another: they
    are made of cells.
    """
    module = ".".join(Path(name).with_suffix("").parts).removesuffix(".__init__")
    own = part_of(module)
    if own != "checker" and own not in LAYERS:
        yield 1, f"{own} has no place among the layers"
        return
    for line, imported, what in _imports(tree):
        if imported.startswith("."):
            yield line, f"imports {imported}: whole names only"
        if imported.partition(".")[0] != "checker":
            continue
        other = part_of(f"{imported}.{what}" if imported == "checker" else imported)
        if own == "checker":
            yield line, "the package itself imports nothing of the checker"
        elif imported == "checker" and other not in LAYERS:
            if own != "checker.__main__":
                yield line, f"imports {what} of checker: only __main__ does"
        elif other not in LAYERS:
            yield line, f"{other} has no place among the layers"
        elif other != own and LAYERS[other] >= LAYERS[own]:
            yield line, f"imports {other}, which is not below {own}"


def circles(files: dict[str, str]) -> list[str]:
    """Return the modules that import themselves through others."""
    arrows = {
        ".".join(Path(name).with_suffix("").parts).removesuffix(".__init__"): {
            found
            for _, module, what in _imports(ast.parse(text))
            for found in (module, f"{module}.{what}")
        }
        for name, text in files.items()
    }

    def reached(module: str) -> set[str]:
        found: set[str] = set()
        todo = [module]
        while todo:
            new = arrows.get(todo.pop(), set()) & arrows.keys() - found
            found |= new
            todo += new
        return found

    return sorted(module for module in arrows if module in reached(module))


# --- lints of the prover ----------------------------------------------------------


def prover_imports(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """The prover never imports the checker (it runs it as a program)."""
    for line, module, imported in _imports(tree):
        if "checker" in module.split(".") or imported == "checker":
            yield line, f"imports {module} {imported or ''}".rstrip()
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and _called(node) in LOADERS:
            texts = [str(n.value) for n in ast.walk(node) if isinstance(n, ast.Constant)]
            if any("checker" in text for text in texts):
                yield node.lineno, "loads the checker"


def checker_never_imports_the_prover(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """The checker never imports the prover."""
    for line, module, imported in _imports(tree):
        if "certify" in module.split(".") or imported == "certify":
            yield line, f"imports {module}"


# --- form -------------------------------------------------------------------------


def several_statements_on_a_line(tree: ast.Module, name: str) -> Iterator[tuple[int, str]]:
    """Two statements on one line would hide the second one."""
    seen: dict[int, ast.stmt] = {}
    for node in ast.walk(tree):
        if isinstance(node, ast.stmt):
            if node.lineno in seen:
                yield node.lineno, "several statements on one line"
            seen[node.lineno] = node


# --- clauses ----------------------------------------------------------------------


def clauses_in_code(files: dict[str, str]) -> dict[str, str]:
    """Return {clause: a place that refuses for it} over `require*` and `raise`."""
    found: dict[str, str] = {}
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if isinstance(node, ast.Call) and _called(node) in DOORS | REFUSALS:
                for argument in node.args[:2]:
                    if isinstance(argument, ast.Constant) and CLAUSE.fullmatch(str(argument.value)):
                        found.setdefault(str(argument.value), f"{name}:{node.lineno}")
    return found


def clauses_in_docstrings(files: dict[str, str]) -> dict[str, str]:
    """Return {clause: place} of the clauses that docstrings cite, `SPEC-3` or `SPEC-3.2`."""
    found: dict[str, str] = {}
    for name, text in files.items():
        for node in ast.walk(ast.parse(text)):
            if (
                isinstance(node, ast.Expr)
                and isinstance(node.value, ast.Constant)
                and isinstance(node.value.value, str)
            ):
                for number in re.findall(r"SPEC[ -]([0-9]+(?:\.[0-9]+)*)", node.value.value):
                    found.setdefault(f"SPEC-{number}", f"{name}:{node.lineno}")
    return found


_HEADING = re.compile(r"#+\s+SPEC-([0-9]+(?:\.[0-9]+)*)\b")


def spec_files() -> dict[str, str]:
    """Return {path relative to the repository: text} of the root page and of every chapter."""
    folder = ROOT / "checker"
    pages = [folder / "SPEC.md", *sorted(folder.glob("*/SPEC.md"))]
    return {page.relative_to(ROOT).as_posix(): page.read_text("utf-8") for page in pages}


def text_of_clauses(page: str) -> dict[str, str]:
    """Return {clause: its text} of one page.

    A clause begins at a heading that starts with its id (`### SPEC-3.2 Title`) and ends at the
    next heading of any kind.  Code blocks are not read.
    """
    found: dict[str, str] = {}
    current, fenced = "", False
    for line in page.splitlines(keepends=True):
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced:
            continue
        elif line.startswith("#"):
            heading = _HEADING.match(line)
            current = f"SPEC-{heading[1]}" if heading else ""
            if current in found:
                raise ValueError(f"{current} is there twice")
        if current:
            found[current] = found.get(current, "") + line
    return found


def clauses_of_spec(pages: dict[str, str]) -> dict[str, bool]:
    """Return {clause: whether it says MUST} over pages {name: text}.

    Raises: ValueError if two headings have the same id, on one page or on two.
    """
    found: dict[str, bool] = {}
    for page in pages.values():
        for clause, text in text_of_clauses(page).items():
            if clause in found:
                raise ValueError(f"{clause} is there twice")
            found[clause] = re.search(r"\bMUST\b", text) is not None
    return found


def clauses_of_vectors(folder: Path) -> set[str]:
    """Return the clauses that reject vectors name, in their file names or their text.

    Independent of the format: any file of at most 1 MB under the folder is read.
    """
    found: set[str] = set()
    for path in sorted(folder.rglob("*")):
        found |= set(CLAUSE.findall(path.name))
        if path.is_file() and path.stat().st_size <= 1 << 20:
            found |= set(CLAUSE.findall(path.read_bytes().decode("latin-1")))
    return found
