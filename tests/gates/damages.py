"""The damages: every way we know to harm the checker by one expression or one statement.

A damage has a name that survives changes elsewhere in its file: the file, the function, the
operator, the text before and after, and a number where the same is there twice.  What no test can
tell is in `equivalent_mutants.txt`, each with the reason.
"""

from __future__ import annotations

import ast
import copy
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

GATES = Path(__file__).resolve().parent
TESTS = GATES.parent
ROOT = TESTS.parent
REVIEWED = GATES / "equivalent_mutants.txt"
DOORS = {"require", "require_form", "require_support"}
REFUSALS = {"Rejected", "Malformed", "Declined"}
# Words that name two ends, or two of a kind; a name is exchanged where its other one is in reach.
PAIRS = """
    lower upper   low high        lows highs          least most      lowest highest
    lowers uppers floors tops     floor ceiling       min max         below above
    down up       root_low root_high                  first last      begin end
    start end     head tail       here there          one two         own other
    must may      grow shrink     grown shrunk        g s             possible certain
    up_to below   shares lower_shares                 prefixes suffixes
    score value   left right      row column          rows columns    add mul
    query key     radius middle   eps eta             inner outer     wide narrow
"""
OTHER_END: dict[str, str] = {}
for one, two in zip(PAIRS.split()[::2], PAIRS.split()[1::2], strict=True):
    OTHER_END.setdefault(one, two)
    OTHER_END.setdefault(two, one)
FLIPS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
}
TURNS: dict[type[ast.cmpop], type[ast.cmpop]] = {
    ast.Eq: ast.NotEq, ast.NotEq: ast.Eq, ast.In: ast.NotIn, ast.NotIn: ast.In, ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
}  # fmt: skip
SWAPS = {"min": "max", "max": "min", "any": "all", "all": "any"}


@dataclass(frozen=True)
class Mutant:
    """One damage: what it is, where, and the whole file with it.

    ``statement`` is the first line of the innermost statement around it, and ``owner`` the
    qualified name of the outermost function.  It is empty for what happens during import; then
    ``targets`` are the names that the statement defines.
    """

    file: str
    line: int
    statement: int
    owner: str
    function: str
    operator: str
    before: str
    after: str
    source: str
    targets: tuple[str, ...] = ()
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


def negated_floor(node: ast.expr) -> ast.expr | None:
    """Return `a >> b` of `-a >> b` and `a // b` of `-a // b`; else nothing."""
    if (
        isinstance(node, ast.BinOp)
        and isinstance(node.op, (ast.RShift, ast.FloorDiv))
        and isinstance(node.left, ast.UnaryOp)
        and isinstance(node.left.op, ast.USub)
    ):
        return ast.BinOp(node.left.operand, node.op, node.right)
    return None


def other_ends(name: str) -> Iterator[str]:
    """Yield the names that stand for the other end, or for the other of two."""
    if name in OTHER_END:
        yield OTHER_END[name]
    parts = name.split("_")
    for at, part in enumerate(parts):
        if part in OTHER_END and len(parts) > 1:
            yield "_".join([*parts[:at], OTHER_END[part], *parts[at + 1 :]])


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
        if isinstance(node.op, (ast.Add, ast.Sub)):
            yield "drop-term", node.left
        if isinstance(node.op, ast.Add):
            yield "drop-term", node.right
        if isinstance(node.op, (ast.RShift, ast.FloorDiv)):
            negated = ast.BinOp(ast.UnaryOp(ast.USub(), node.left), node.op, node.right)
            yield "round-up", ast.UnaryOp(ast.USub(), negated)
    elif (
        isinstance(node, ast.UnaryOp)
        and isinstance(node.op, ast.USub)
        and not isinstance(node.operand, ast.Constant)
    ):
        yield "drop-minus", node.operand
        if rounded := negated_floor(node.operand):
            yield "round-down", rounded
    elif isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.Not):
        yield "negate", node.operand
    elif isinstance(node, ast.BoolOp):
        yield "and-or", changed(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    elif isinstance(node, ast.Call) and name_of(node.func) == "shift_up" and len(node.args) == 2:
        yield "round-down", ast.BinOp(node.args[0], ast.RShift(), node.args[1])
    elif (
        isinstance(node, ast.Call)
        and name_of(node.func) in ("min", "max")
        and len(node.args) == 2
        and not node.keywords
    ):
        yield from (("drop-cap", part) for part in node.args if not isinstance(part, ast.Starred))
    elif (
        isinstance(node, ast.Return)
        and isinstance(node.value, ast.Tuple)
        and len(node.value.elts) == 2
    ):
        yield "swap-pair", changed(node, value=ast.Tuple(node.value.elts[::-1], ast.Load()))
    if isinstance(node, ast.Name) and node.id in SWAPS:
        yield "min-max", ast.Name(SWAPS[node.id], ast.Load())
    if isinstance(node, (ast.ListComp, ast.SetComp, ast.DictComp, ast.GeneratorExp)):
        for at, part in enumerate(node.generators):
            if part.ifs:
                parts = [*node.generators[:at], changed(part, ifs=[]), *node.generators[at + 1 :]]
                yield "drop-filter", changed(node, generators=parts)


def skipped(node: ast.AST) -> Sequence[ast.AST]:
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


def places(tree: ast.Module) -> set[str]:
    """Return the names that a file imports, and the fields that it reads or sets."""
    found = {node.attr for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name):
            found.add(node.target.id)
    return found


def defined(statement: ast.stmt) -> tuple[str, ...]:
    """Return the names that a statement gives a value to."""
    targets: list[ast.expr] = []
    if isinstance(statement, ast.Assign):
        targets = statement.targets
    elif isinstance(statement, (ast.AnnAssign, ast.AugAssign)):
        targets = [statement.target]
    elif isinstance(statement, (ast.FunctionDef, ast.ClassDef)):
        return (statement.name,)
    return tuple(name_of(n) for t in targets for n in ast.walk(t) if name_of(n))


@dataclass(frozen=True)
class Around:
    """What is around a node: statement, functions, and the names within reach."""

    statement: int = 1
    owner: str = ""
    prefix: str = ""
    function: str = "module"
    names: frozenset[str] = frozenset()
    targets: tuple[str, ...] = ()

    def within(self, node: ast.AST) -> Around:
        """Return what is around the children of a node."""
        here = self
        if isinstance(node, ast.stmt):
            here = replace(here, statement=node.lineno, targets=defined(node))
        if isinstance(node, ast.ClassDef) and not here.owner:
            here = replace(here, prefix=f"{here.prefix}{node.name}.")
        if isinstance(node, ast.FunctionDef):
            names = {n.id for n in ast.walk(node) if isinstance(n, ast.Name)}
            names |= {a.arg for a in node.args.args}
            owner = here.owner or f"{here.prefix}{node.name}"
            here = replace(here, function=node.name, owner=owner, names=frozenset(names))
        return here


def exchanged(node: ast.AST, around: Around, fields: set[str]) -> Iterator[ast.expr]:
    """Yield a name or field with the other end that is within reach."""
    if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Load):
        for name in other_ends(node.id):
            if name in around.names:
                yield ast.Name(name, ast.Load())
    if isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Load):
        for name in other_ends(node.attr):
            if name in fields:
                yield ast.Attribute(node.value, name, ast.Load())


def mutants_of(file: str, source: str, fields: set[str] | None = None) -> Iterator[Mutant]:
    """Yield every mutant of one file, in order of place."""
    data, tree = source.encode(), ast.parse(source)
    within_reach = places(tree) if fields is None else fields
    starts = [0]
    for line in data.splitlines(keepends=True):
        starts.append(starts[-1] + len(line))

    def span(node: ast.AST) -> slice:
        begin = starts[node.lineno - 1] + node.col_offset  # type: ignore[attr-defined]
        end = starts[node.end_lineno - 1] + node.end_col_offset  # type: ignore[attr-defined]
        return slice(begin, end)

    def visit(node: ast.AST, outside: Around) -> Iterator[Mutant]:
        around = outside.within(node)
        options = list(damages(node))
        options += [("other-end", new) for new in exchanged(node, around, within_reach)]
        for operator, new in options:
            if ast.dump(new) == ast.dump(node):
                continue
            place, before = span(node), node
            if isinstance(new, ast.If):  # only the condition is rewritten: the body keeps its lines
                before = node.test  # type: ignore[attr-defined]
                place = span(before)
                text = f"not ({ast.unparse(before)})"
            else:
                text = ast.unparse(ast.fix_missing_locations(new))
                text = f"({text})" if isinstance(new, ast.expr) else text
            yield Mutant(
                file=file,
                line=node.lineno,  # type: ignore[attr-defined]
                statement=around.statement,
                owner=around.owner,
                function=around.function,
                targets=() if around.owner else around.targets,
                operator=operator,
                before=" ".join(ast.unparse(before).split()),
                after=text,
                source=(data[: place.start] + text.encode() + data[place.stop :]).decode(),
            )
        left_out = skipped(node)
        for child in ast.iter_child_nodes(node):
            if not any(child is other for other in left_out):
                yield from visit(child, around)

    yield from visit(tree, Around())


def all_mutants(folder: Path = ROOT / "checker") -> list[Mutant]:
    """Return every mutant that compiles and differs, each once."""
    found: dict[tuple[str, str], Mutant] = {}
    keys: Counter[str] = Counter()
    texts = {path: path.read_text("utf-8") for path in sorted(folder.rglob("*.py"))}
    fields = set[str]().union(*(places(ast.parse(text)) for text in texts.values()))
    for path, source in texts.items():
        file = f"checker/{path.relative_to(folder).as_posix()}"
        for mutant in mutants_of(file, source, fields):
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
