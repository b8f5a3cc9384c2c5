"""Vectors for SPEC-16.1 to SPEC-16.14: models with several heads, layer norm or an MLP.

`chapter` takes the book and the module `make_vectors`, which imports this file, so that there is no
circle (see `vectors_paths.py`).  The truth is that of `networks.py`, by plain loops with 200 bits.
"""

from __future__ import annotations

import copy
import random
from typing import Any, cast

import boxes
import mutators
import networks
import oracle
from models import Model
from vectors_float32 import claimed

from checker.cells.cell import Inputs, expand
from checker.cells.places import places_of
from checker.cells.weights import both_ends
from checker.check import parse
from checker.ground.ledger import Ledger
from checker.wide.derive import WideCells
from checker.wide.forest import WideForest
from checker.wide.frame import WideFrame
from checker.wide.hints import Hints

Document = dict[str, Any]
ATTENTION = "blocks.0.attn."
MLP = "blocks.0.mlp."
PRECISION = 64
MOST = 1 << 31
LEAST_EPS = "0x1.0000000000000p-60"


def two_heads(seed: int, norm: str | None = None, heads: int = 2, mlp: str | None = None) -> Model:
    """Return a model with two heads, or one, that is mostly right: one attends to large tokens and
    copies them, the other does anything.
    """
    rng = random.Random(f"wide {seed}")
    chosen = {"n_heads": heads, "biases": True, "normalization_type": norm, "mlp": mlp}
    model = networks.of(rng, chosen, vocab=3, n=3, d_model=3, d_head=3, spread=10)
    identity = [[int(row == column) for column in range(3)] for row in range(3)]
    tensors = dict(model.tensors)
    tensors["embed.W_E"] = identity
    tensors["unembed.W_U"] = [[6 * entry for entry in row] for row in identity]
    tensors[f"{ATTENTION}W_Q"] = [[[1, 1, 1]] * 3, *tensors[f"{ATTENTION}W_Q"][1:]]
    keys = [[t if row == t else 0 for row in range(3)] for t in range(3)]
    tensors[f"{ATTENTION}W_K"] = [keys, *tensors[f"{ATTENTION}W_K"][1:]]
    tensors[f"{ATTENTION}W_V"] = [identity, *tensors[f"{ATTENTION}W_V"][1:]]
    tensors[f"{ATTENTION}W_O"] = [identity, *tensors[f"{ATTENTION}W_O"][1:]]
    return Model(model.config, tensors, every=model.every)


def truth_of(model: Model) -> oracle.Truth:
    """Return how many inputs are right, with 200 bits."""
    margins = {x: networks.margin(model, "max-of-k", x) for x in networks.inputs(model)}
    assert all(abs(margin) > 1e-30 for margin in margins.values())
    right = tuple(x for x, margin in margins.items() if margin > 0)
    wrong = tuple(x for x, margin in margins.items() if margin <= 0)
    return oracle.Truth(len(right), len(margins), right, wrong, (), {})


def document(made: Any, model: Model, cells: list[Document]) -> Document:
    """Return a certificate of wide cells that claims nothing."""
    doc: Document = made.document(model, cells, precision=PRECISION)
    doc["proof"]["wide"] = doc["proof"].pop("cells")
    return doc


def boxed(made: Any, model: Model, cells: list[Document], *, in_float32: bool = False) -> Document:
    """Return a certificate that claims nothing, with boxes as tight as they may be."""
    heads = model.config["n_heads"]
    widest = [[0, 1, 60]] * (heads - 1)
    hints: Document = {"box": widest}
    count = model.config.get("d_mlp", 0)
    hints |= {"neurons": [[-MOST, MOST]] * count} if count else {}
    loose = [cell if cell["method"] == "skip" else cell | hints for cell in cells]
    doc = document(made, model, loose)
    doc = claimed(doc) if in_float32 else doc
    parsed = parse(model.bytes, mutators.encode(doc))
    named, proof = places_of(parsed.statement), cast(WideForest, parsed.proof)
    checker = cast(WideCells, proof.derivation(Ledger(lambda done: None)))
    tables, scores = checker.read, checker.scores_of_heads
    roots = {root.where: root for root in proof.roots}
    unread = list(roots.values())
    found, bounds = {}, {}
    while unread:
        cell = unread.pop()
        unread += cell.children
        inputs: Inputs = cell.inputs()
        asked, blocks = expand(cell.queries), inputs.blocks
        weights = [both_ends(*own.weights(asked, own.tables.layout(blocks))) for own in scores]
        maximum = len(inputs.blocks) - 1 if inputs.forced else None
        sides = [boxes.side_of(weights[0], other, maximum) for other in weights[1:]]
        found[cell.where] = [[side.low, side.high, side.exponent] for side in sides]
        if count:
            held = Hints(tuple(sides), {}, ((-MOST, MOST),) * count)
            frame = WideFrame(scores, cell, named, held, tables)
            bounds[cell.where] = [list(boxes.bounds_of(frame, k)) for k in range(count)]
    for number, item in enumerate(doc["proof"]["wide"]):
        if "box" in item:
            item["box"] = found[f"cell {number}"]
        if "neurons" in item:
            item["neurons"] = bounds[f"cell {number}"]
    return doc


def tightened(made: Any, model: Model, doc: Document) -> Document:
    """Return the certificate with every claim as strong, and the operations as few, as the checker
    accepts.
    """
    theorem = made.theorem_of(model.bytes, mutators.encode(doc))
    tight = copy.deepcopy(doc)
    leaves = [cell for cell in tight["proof"]["wide"] if "children" not in cell]
    for cell, outcome in zip(leaves, theorem.outcomes, strict=True):
        if cell["method"] == "extreme":
            cell["margin"] = made.dyadic(outcome.margin or 0)
        elif cell["method"] != "skip":
            cell["failures"] = [str(outcome.lower), str(outcome.upper)]
    tight["proof"]["operations"] = str(theorem.ledger.total)
    tight["statement"] |= {
        "correct_lower": str(theorem.correct_lower),
        "correct_upper": str(theorem.correct_upper),
    }
    return tight


def whole(made: Any, method: str, **keys: Any) -> list[Document]:
    """Return cells of one method for every maximum of three tokens, each with one query."""
    found = []
    for m in range(3):
        for q in range(m + 1):
            layout = {} if method == "brute-force" else {"layout": [[1, m]] if m else []}
            found.append(made.root(m, [[q, q]], method, **layout, **keys))
    return found


def pooled(made: Any, leaf: str, **keys: Any) -> list[Document]:
    """Return cells of all queries below each maximum, split into single ones."""
    found = []
    for m in range(3):
        layout = {"layout": [[m, 1]] if m else []}
        if m:
            found.append(made.root(m, [[0, m - 1]], "split", children=m, **layout))
            for q in range(m):
                found.append(made.child([[q, q]], leaf, layout=[[1, m]], **keys))
        found.append(made.root(m, [[m, m]], leaf, layout=[[1, m]] if m else [], **keys))
    return found


def chapter(book: Any, made: Any) -> None:
    """Add the vectors of models with several heads."""
    model = two_heads(5)
    truth = truth_of(model)
    book.share("two-heads", model.bytes)

    def accept(folder: str, name: str, why: str, cells: list[Document], *, exact: bool) -> Document:
        doc = tightened(made, model, boxed(made, model, cells))
        book.accept(folder, name, why, model, doc, truth=truth, exact=exact)
        return doc

    base = accept(
        "SPEC-16.7",
        "brute-force",
        "every input by itself",
        whole(made, "brute-force"),
        exact=True,
    )
    accept("SPEC-16.7", "enumerate", "after the extreme test", whole(made, "enumerate"), exact=True)
    accept(
        "SPEC-16.6",
        "split",
        "what a pooled cell removes at all vertices stays removed",
        pooled(made, "enumerate"),
        exact=True,
    )
    accept(
        "SPEC-16.8",
        "count",
        "counted at all vertices, from both sides",
        whole(made, "count", blocks=[[50, []]], lower=[[50, [0, 1, 2]]]),
        exact=False,
    )
    copies = [
        cell
        | {"groups": [[c, [[0, cell["maximum"] - 1]] if cell["maximum"] else []] for c in (0,)]}
        for cell in whole(made, "copies")
    ]
    accept("SPEC-16.8", "copies", "one group, none of whose tokens is below", copies, exact=False)
    numbered = whole(made, "enumerate")
    numbered[1]["lambda"] = [[0, [3 << 16]], [2, [-(1 << 15)]]]
    accept("SPEC-16.3", "lambda", "any numbers will do", numbered, exact=True)
    wide = tightened(
        made,
        model,
        document(
            made,
            model,
            [cell | {"box": [[0, 1, 60]]} for cell in whole(made, "enumerate")],
        ),
    )
    book.accept("SPEC-16.4", "wide-box", "a box may be wide", model, wide, truth=truth, exact=True)
    _more(book, made, "SPEC-16.9", two_heads(3, "LNPre"), "LNPre")
    _more(book, made, "SPEC-16.10", two_heads(3, "LN", 1), "LN")
    for heads in (1, 2):
        _more(book, made, "SPEC-16.11", two_heads(4, None, heads, "relu"), f"MLP-{heads}")
    _neurons(book, made, two_heads(4, None, 1, "relu"))
    _refused(book, made, model, base)
    _declined(book, made, model, base)
    _float32(book, made)


def _more(book: Any, made: Any, folder: str, model: Model, what: str) -> None:
    """Add proofs about a model with layer norm or an MLP."""
    truth = truth_of(model)
    book.share(f"wide-{what.lower()}", model.bytes)
    for method, cells in (
        ("brute-force", whole(made, "brute-force")),
        ("split", pooled(made, "enumerate")),
    ):
        doc = tightened(made, model, boxed(made, model, cells))
        name = f"{what.lower()}-{method}"
        book.accept(folder, name, f"a model with {what}", model, doc, truth=truth, exact=True)
    base = tightened(made, model, boxed(made, model, whole(made, "brute-force")))
    book.refuse(
        "SPEC-5.6",
        f"wide-{what.lower()}",
        "one right input more than there are",
        made.added(base, "statement/correct_lower", 1),
        model,
    )


def _neurons(book: Any, made: Any, model: Model) -> None:
    """Add bounds of neurons that are not what they should be, or do not hold."""
    base = tightened(made, model, boxed(made, model, whole(made, "brute-force")))
    place = "proof/wide/3/neurons"
    (least, most), *others = made.got(base, place)
    for name, why, value in (
        ("above", "a neuron reads more than its upper bound", [[least, most - 2], *others]),
        ("below", "a neuron reads less than its lower bound", [[least + 2, most], *others]),
        ("turned", "bounds the wrong way round", [[most, least], *others]),
        ("one-less", "a neuron without bounds", others),
    ):
        book.refuse("SPEC-16.11", name, why, made.put(base, place, value), model)


def _refused(book: Any, made: Any, model: Model, base: Document) -> None:
    """Add hints that are not what they should be, and boxes that hold not all ratios."""
    sides = base["proof"]["wide"][1]["box"]
    low, high, exponent = sides[0]
    for name, why, value in (
        ("no-side", "a box without a side for the second head", []),
        ("two-sides", "a box with a side more than heads", sides * 2),
        ("turned", "a side whose lower end is above its upper", [[high, low, exponent]]),
    ):
        book.refuse("SPEC-16.3", name, why, made.put(base, "proof/wide/1/box", value), model)
    for name, why, value in (
        ("twice", "lambda of one answer twice", [[0, [1]], [0, [2]]]),
        ("no-number", "lambda without a number", [[0, []]]),
        ("two-numbers", "lambda with a number more than heads", [[0, [1, 2]]]),
    ):
        book.refuse("SPEC-16.3", name, why, made.put(base, "proof/wide/1/lambda", value), model)
    for name, why, value in (
        ("pair", "a side without an exponent", [[low, high]]),
        ("answer", "lambda of nothing", None),
    ):
        path = "proof/wide/1/box" if value else "proof/wide/1/lambda"
        book.refuse("SPEC-3.4", f"wide-{name}", why, made.put(base, path, value or [[0]]), model)
    for name, why, value in (
        ("upper", "one unit less, and an input is above the box", [[low, high - 1, exponent]]),
        ("lower", "an input is below the box", [[low + (low >> 20) + 1, high, exponent]]),
        ("other", "the ratio of the denominators the other way round", [[1, 1, 40]]),
    ):
        book.refuse("SPEC-16.4", name, why, made.put(base, "proof/wide/1/box", value), model)
    book.refuse(
        "SPEC-3.4", "wide-without-box", "a cell needs a box",
        made.cut(base, "proof/wide/1/box"), model,
    )  # fmt: skip
    book.refuse(
        "SPEC-7.5",
        "wide-screen",
        "screens are not proved for several heads",
        made.put(base, "proof/wide/0", made.root(0, [[0, 0]], "screen", layout=[], children=1)),
        model,
        declined=True,
    )
    book.refuse(
        "SPEC-7.13",
        "wide-failures",
        "one failure fewer than may be",
        made.put(base, "proof/wide/0/failures", ["2", "2"]),
        model,
    )
    book.refuse(
        "SPEC-5.6",
        "wide-lower",
        "one right input more than there are",
        made.added(base, "statement/correct_lower", 1),
        model,
    )


def _declined(book: Any, made: Any, model: Model, base: Document) -> None:
    """Add models and keys that wide cells are not proved for."""
    for name, chosen in (
        ("silu", {"n_heads": 2, "mlp": "silu"}),
        ("norm-and-mlp", {"n_heads": 2, "normalization_type": "LNPre", "mlp": "relu"}),
        ("layers", {"n_heads": 2, "n_layers": 2}),
        ("mix", {"n_heads": 2, "attention_mix": "0x1.4000000000000p-1"}),
        ("five-heads", {"n_heads": 5}),
    ):
        other = networks.of(random.Random(name), chosen)
        sides = [[0, 1, 60]] * (other.config["n_heads"] - 1)
        cells = [cell | {"box": sides} for cell in whole(made, "brute-force")]
        doc = document(made, other, cells)
        why = f"wide cells are not proved for a model with {name}"
        book.refuse("SPEC-16.1", name, why, doc, other, declined=True)
    paths = {"ov": {"bound": {"rule": "range"}, "form": [1, 3], "peel": [[], []]}}
    book.refuse(
        "SPEC-16.1",
        "paths",
        "paths are not enclosed for several heads",
        made.put(base, "proof/paths", paths),
        model,
        declined=True,
    )


def loosely(made: Any, model: Model) -> Document:
    """Return a certificate about float32 that claims nothing, with hints that need not hold."""
    count = model.config.get("d_mlp", 0)
    hints: Document = {"box": [[0, 1, 60]] * (model.config["n_heads"] - 1)}
    hints |= {"neurons": [[-MOST, MOST]] * count} if count else {}
    cells = [cell | hints for cell in whole(made, "brute-force")]
    return claimed(document(made, model, cells))


def scaled(model: Model, name: str, factor: int) -> Model:
    """Return the model with one tensor multiplied."""

    def times(part: Any) -> Any:
        return [times(x) for x in part] if isinstance(part, list) else part * factor

    return Model(model.config, model.tensors | {name: times(model.tensors[name])})


def with_eps(model: Model, eps: str) -> Model:
    """Return the model with another eps."""
    return Model(model.config | {"eps": eps}, model.tensors)


def constant(model: Model, eps: str) -> Model:
    """Return the model with one token and position of equal entries, and another eps."""
    rows = model.tensors["embed.W_E"]
    places = model.tensors["pos_embed.W_pos"]
    tensors = model.tensors | {
        "embed.W_E": [[1] * len(rows[0]), *rows[1:]],
        "pos_embed.W_pos": [[1] * len(rows[0]), *places[1:]],
    }
    return Model(model.config | {"eps": eps}, tensors)


def _float32(book: Any, made: Any) -> None:
    """Add claims about every float32 execution, and models about which there are none."""
    several = two_heads(5)
    neurons = two_heads(4, None, 1, "relu")
    normed = two_heads(3, "LN", 1)
    for folder, name, model in (
        ("SPEC-16.12", "several-heads", several),
        ("SPEC-16.13", "mlp-1", neurons),
        ("SPEC-16.13", "mlp-2", two_heads(4, None, 2, "relu")),
        ("SPEC-16.14", "lnpre", two_heads(3, "LNPre")),
        ("SPEC-16.14", "ln", normed),
        ("SPEC-16.14", "least-eps", with_eps(normed, LEAST_EPS)),
        ("SPEC-16.14", "nearly-constant", constant(normed, "0x1.0000000000000p-20")),
    ):
        doc = boxed(made, model, whole(made, "brute-force"), in_float32=True)
        doc = tightened(made, model, doc)
        why = "in float32 with sums in any order"
        book.accept(folder, name, why, model, doc, truth=truth_of(model))
        book.refuse(
            "SPEC-5.6",
            f"wide-float32-{name}",
            "one right input more than is proved for float32",
            made.added(doc, "statement/correct_lower", 1),
            model,
        )
    huge = 1 << 70
    for name, model in (
        ("overflow-score", scaled(several, f"{ATTENTION}W_K", 1 << 123)),
        ("overflow-value", scaled(scaled(several, f"{ATTENTION}W_V", huge), "embed.W_E", huge)),
        ("overflow-neuron", scaled(scaled(neurons, f"{MLP}W_in", huge), f"{MLP}W_out", huge)),
        ("overflow-logit", scaled(normed, "unembed.W_U", 1 << 123)),
    ):
        doc = loosely(made, model)
        why = "a number might overflow"
        book.refuse("SPEC-16.12", name, why, doc, model, declined=True)
    for name, why, model in (
        ("small-eps", "squares might underflow", with_eps(normed, "0x1.f000000000000p-61")),
        ("constant", "a row is constant but for rounding", constant(normed, LEAST_EPS)),
        ("overflow", "a square might overflow", scaled(normed, "embed.W_E", huge)),
        ("overflow-end", "a square might overflow", scaled(normed, f"{ATTENTION}W_O", huge)),
    ):
        book.refuse("SPEC-16.14", name, why, loosely(made, model), model, declined=True)
