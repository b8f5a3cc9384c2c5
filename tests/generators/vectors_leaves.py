"""Vectors for SPEC-5.2 (tasks) and SPEC-14: proofs of leaves, compared with the 200-bit ground
truth of `networks`.

`chapter` takes the book and the module `make_vectors`, which imports this file, as in
`vectors_paths`.
"""

from __future__ import annotations

import copy
import random
from typing import Any

import networks
import questions
from models import Model

Document = dict[str, Any]
Leaf = dict[str, Any]
SEEDS = {"relu": 1, "gelu_new": 3, "silu": 4}


def leaf(inputs: int, method: str = "either", margin: list[str] | None = None) -> Leaf:
    """Return a leaf."""
    return {
        "inputs": str(inputs),
        "method": method,
        **({"margin": margin} if margin is not None else {}),
    }


def changed(model: Model, **tensors: Any) -> Model:
    """Return the model with other tensors, dots written as underscores of `unembed_W_U`."""
    return Model(
        model.config,
        model.tensors
        | {name.replace("unembed_", "unembed."): value for name, value in tensors.items()},
    )


def random_model(seed: int, chosen: Document | None = None, **sizes: Any) -> Model:
    """Return a small random model: two tokens, two positions, two outputs by default."""
    return networks.of(
        random.Random(f"vector {seed}"), chosen or {}, **{"vocab": 2, "n": 2, "outputs": 2, **sizes}
    )


def split(
    make: Any,
    model: Model,
    task: Any,
    weights: Any = None,
    domain: Document | None = None,
    precision: int = 64,
) -> Document:
    """Return a certificate with one leaf for each run of inputs that are right, or wrong, and the
    strongest claims.
    """
    asked: Document = {"weights": weights, "domain": domain, "precision": precision}
    count = len(networks.inputs(model, domain))
    loose = networks.document(model, task, [leaf(1)] * count, **asked)
    outcomes = make.theorem_of(model.bytes, make.mutators.encode(loose)).outcomes[:-1]
    runs: list[Leaf] = []
    for outcome in outcomes:
        decided = outcome.lower in (0, outcome.size) and outcome.lower == outcome.upper
        method = "skip" if not decided else "wrong" if outcome.lower and outcome.size else "right"
        if runs and runs[-1]["method"] == method:
            runs[-1]["inputs"] += 1
            runs[-1]["margins"].append(outcome.margin)
        else:
            runs.append({"inputs": 1, "method": method, "margins": [outcome.margin]})
    leaves = []
    for run in runs:
        known = [margin for margin in run["margins"] if margin is not None]
        leaves.append(
            leaf(
                run["inputs"],
                run["method"],
                make.dyadic(min(known, default=0)) if run["method"] == "right" else None,
            )
        )
    return tight(make, model, networks.document(model, task, leaves, **asked))


def tight(make: Any, model: Model, doc: Document) -> Document:
    """Return the certificate with the bounds and operations that the checker derives."""
    theorem = make.theorem_of(model.bytes, make.mutators.encode(doc))
    doc = make.put(doc, "proof/operations", str(theorem.ledger.total))
    doc["statement"] |= {
        "correct_lower": str(theorem.correct_lower),
        "correct_upper": str(theorem.correct_upper),
    }
    return doc


def at_precision(make: Any, doc: Document, precision: int) -> Document:
    """Return the certificate at another precision, with as many operations as that may take."""
    found: Document = make.put(doc, "proof/precision", precision)
    found["proof"]["operations"] = str(10**11)
    return found


def truth(
    make: Any, model: Model, task: Any, weights: Any = None, domain: Document | None = None
) -> Any:
    """Return how many inputs are right, in 200 bits; a margin that is zero in 200 bits is taken for
    a tie.
    """
    domain = domain or networks.usual_domain(model)
    correct = total = 0
    for tokens in networks.inputs(model, domain):
        weight = questions.weight(domain, weights, tokens)
        total += weight
        correct += weight * bool(networks.margin(model, task, tokens, domain) > 0)
    return make.oracle.Truth(correct, total, (), (), (), {})


TASKS: tuple[tuple[str, Any, Document], ...] = (
    ("max-of-k", "max-of-k", {"vocab": 3}),
    ("modular-addition", {"modular-addition": 3}, {"vocab": 3, "outputs": 4}),
    ("balanced-brackets", "balanced-brackets", {"n": 4}),
    ("argmax", "argmax", {"vocab": 3, "outputs": 3}),
)


def chapter(book: Any, make: Any) -> None:
    """SPEC-5.2, SPEC-7 and SPEC-14."""
    accepted(book, make)
    tasks(book, make)
    refused(book, make)


def accepted(book: Any, make: Any) -> None:
    """What must be accepted: every architecture's own rule, every method, ties."""

    def accept(
        clause: str,
        name: str,
        why: str,
        model: Model,
        task: Any,
        doc: Document | None = None,
        **more: Any,
    ) -> None:
        weights = more.pop("weights", None)
        doc = split(make, model, task, weights) if doc is None else tight(make, model, doc)
        book.accept(clause, name, why, model, doc, truth=truth(make, model, task, weights), **more)

    for name, task, sizes in TASKS:
        sized = {"outputs": sizes.get("vocab", 2), **sizes}
        accept(
            "SPEC-5.2",
            f"task-{name}",
            f"the task {name}",
            random_model(7, {"mlp": "relu"}, **sized),
            task,
            exact=True,
        )
    model = random_model(8, {"readout": "all"}, vocab=3, outputs=3)
    accept(
        "SPEC-5.7",
        "read-all",
        "every position answers for the tokens up to it",
        model,
        "max-of-k",
        exact=True,
    )
    accept(
        "SPEC-9.3",
        "read-all",
        "the positions that are required",
        model,
        "max-of-k",
        exact=True,
        arguments=("--read", "all"),
    )
    pooling = random_model(8, {"readout": "sum-pool-mlp"})
    accept(
        "SPEC-9.3",
        "readout-sum-pool-mlp",
        "the readout that is required",
        pooling,
        "max-of-k",
        exact=True,
        arguments=("--readout", "sum-pool-mlp"),
    )
    asked = networks.table(random_model(9), [0, 1, 1, 0])
    accept("SPEC-5.2", "task-table", "the answers of a table", random_model(9), asked, exact=True)
    book.files["tables/right.json"] = make.mutators.encode(asked["table"])
    book.files["tables/other.json"] = make.mutators.encode(
        {**asked["table"], "answers": [0, 1, 1, 1]}
    )
    arguments = ("--task", "table:tables/right.json")
    accept(
        "SPEC-9.3",
        "task-table",
        "the table that is required",
        random_model(9),
        asked,
        exact=True,
        arguments=arguments,
    )
    for function in ("relu", "gelu_new", "silu"):
        for norm in (None, "LN", "LNPre"):
            chosen = {"mlp": function, "normalization_type": norm, "biases": True, "n_heads": 2}
            name = f"{function}-{norm or 'plain'}".lower().replace("_", "-")
            accept(
                "SPEC-14.1",
                name,
                "an activation and a normalisation",
                random_model(10, chosen),
                "max-of-k",
                exact=True,
            )
    for mix in ("0x0.0p+0", "0x1.8p-1"):
        for readout in ("sum-pool-mlp", "mean-pool-mlp"):
            chosen = {
                "attention_mix": mix,
                "readout": readout,
                "biases": True,
                "attention_dir": "bidirectional",
                "n_layers": 2,
            }
            name = f"{readout[:4].strip('-')}-pool-{'mixed' if '8' in mix else 'constant'}"
            accept(
                "SPEC-14.1",
                name,
                "a mix and a pooled readout",
                random_model(11, chosen),
                "argmax",
                exact=True,
            )
    model = random_model(12, {"mlp": "relu"}, n=3)
    weights = [[1, 2], [0, 5], [3, 1]]
    accept(
        "SPEC-14.2",
        "product",
        "inputs that weigh differently, half of them nothing",
        model,
        "max-of-k",
        weights=weights,
        exact=True,
    )
    mixed = networks.document(model, "max-of-k", [leaf(3), leaf(2, "skip"), leaf(3)])
    accept("SPEC-14.2", "methods", "inputs that are skipped", model, "max-of-k", mixed)
    accept(
        "SPEC-3.5",
        "leaves-precision-32",
        "precision at its limit; margins of 64 bits, which 32 do not show",
        model,
        "max-of-k",
        at_precision(make, split(make, model, "max-of-k"), 32),
        exact=True,
    )
    accept(
        "SPEC-14.7",
        "margin-of-finer-precision",
        "margins of 128 bits, claimed at 40: inputs are evaluated again where they need it",
        model,
        "max-of-k",
        at_precision(make, split(make, model, "max-of-k", precision=128), 40),
        exact=True,
    )
    twin = changed(random_model(13), unembed_W_U=[[1, 1], [2, 2], [-1, -1]])
    ties = networks.document(twin, "max-of-k", [leaf(4, "wrong")])
    accept(
        "SPEC-14.7",
        "twins",
        "two answers with the same column: every input is a tie, hence wrong",
        twin,
        "max-of-k",
        ties,
        exact=True,
    )
    dead = random_model(14, {"readout": "sum-pool-mlp"})
    dead = Model(dead.config, {**dead.tensors, "head.b_1": [-512] * 3, "head.b_2": [0, 0]})
    ties = networks.document(dead, "max-of-k", [leaf(4, "wrong")])
    accept(
        "SPEC-14.7",
        "dead",
        "no unit of the head is on: the logits are its bias",
        dead,
        "max-of-k",
        ties,
        exact=True,
    )


def tasks(book: Any, make: Any) -> None:
    """Models that a task is not about, tables that are none."""

    def declined(name: str, why: str, task: Any, model: Model) -> None:
        book.refuse(
            "SPEC-5.2",
            name,
            why,
            networks.document(model, task, [leaf(len(networks.inputs(model)))]),
            model,
            declined=True,
        )

    declined(
        "addition-of-three",
        "modular addition of three tokens",
        {"modular-addition": 2},
        random_model(20, n=3),
    )
    declined(
        "addition-outputs",
        "fewer answers than the modulus",
        {"modular-addition": 3},
        random_model(20, vocab=3),
    )
    declined(
        "three-brackets",
        "brackets of three kinds",
        "balanced-brackets",
        random_model(21, vocab=3, outputs=3),
    )
    declined("argmax-outputs", "fewer answers than places", "argmax", random_model(22, n=3))
    for name in ("table", "modular-addition", "polynomial", "group"):
        declined(f"{name}-by-name", "the name of a task that needs more", name, random_model(24))
    model = random_model(24)
    table = networks.table(model, [0, 1, 1, 0])
    declined(
        "table-format",
        "a table of another version",
        make.put(table, "table/format", "certify.table/1"),
        model,
    )
    value: Any
    for name, value, why in (
        ("table-answer-2", 2, "an answer that is no output"),
        ("table-answer-negative", -1, "a negative answer"),
    ):
        declined(name, why, make.put(table, "table/answers/3", value), model)
    for name, path, value, why in (
        ("table-n", "table/tokens", [[[0, 1]]] * 3, "a table about longer inputs"),
        ("table-vocab", "table/tokens", [[[0, 1]], [[0, 0]]], "a table about fewer tokens"),
        ("table-short", "table/answers", [0, 1, 1], "an answer is missing"),
        ("table-long", "table/answers", [0, 1, 1, 0, 0], "an answer too many"),
        ("table-empty", "table/answers", [], "no answers"),
    ):
        book.refuse(
            "SPEC-5.2",
            name,
            why,
            networks.document(model, make.put(table, path, value), [leaf(4)]),
            model,
        )
    task: Any
    none = [{**table, "max-of-k": {}}, {"tables": table["table"]}, {}, {"max-of-k": {}}]
    for at, task in enumerate(none):
        declined(f"task-object-{at}", "an object that is no task", task, model)
    for name, task in (
        ("list", ["max-of-k"]),
        ("null", None),
        ("table-more", {"table": {**table["table"], "more": 1}}),
        ("table-list", {"table": [table["table"]]}),
    ):
        book.refuse(
            "SPEC-3.4",
            f"task-{name}",
            "a value that is no task",
            networks.document(model, task, [leaf(4)]),
            model,
        )
    doc = split(make, model, table)
    book.refuse(
        "SPEC-9.3",
        "task-table",
        "another table",
        doc,
        model,
        arguments=("--task", "table:tables/other.json"),
    )
    book.refuse(
        "SPEC-9.3",
        "at-least-of-any-table",
        "a table that nobody asked for",
        doc,
        model,
        arguments=("--at-least", "0/1"),
    )
    book.refuse(
        "SPEC-9.3",
        "task-max-of-k",
        "a table, not the task",
        doc,
        model,
        arguments=("--task", "max-of-k"),
    )
    pooling = random_model(8, {"readout": "sum-pool-mlp"})
    for readout in ("last", "mean-pool-mlp"):
        book.refuse(
            "SPEC-9.3",
            f"readout-{readout}",
            "all positions are pooled, which was not asked for",
            split(make, pooling, "max-of-k"),
            pooling,
            arguments=("--readout", readout),
        )
    book.refuse(
        "SPEC-9.5",
        "leaves",
        "every input is skipped",
        tight(make, model, networks.document(model, "max-of-k", [leaf(4, "skip")])),
        model,
    )
    cells = make.document(make.PAIR, make.completed(2, [], "skip"))
    for name, other in (("modular-addition", {"modular-addition": 2}), ("argmax", "argmax")):
        book.refuse(
            "SPEC-7",
            f"cells-of-{name}",
            "cells prove nothing about this task",
            make.put(cells, "statement/task", other),
            declined=True,
        )


def refused(book: Any, make: Any) -> None:
    """SPEC-14."""
    model = random_model(31, {"mlp": "relu"}, n=3)
    doc = split(make, model, "max-of-k")
    leaves = doc["proof"]["leaves"]
    first = next(at for at, one in enumerate(leaves) if one["method"] == "right")
    last = next(at for at, one in enumerate(leaves) if one["method"] == "wrong")
    for precision in (68, 65, 100):
        book.refuse(
            "SPEC-14.1",
            f"precision-{precision}",
            "no multiple of 8",
            make.put(doc, "proof/precision", precision),
            model,
            declined=True,
        )
    book.refuse(
        "SPEC-3.5",
        "leaves-precision-24",
        "precision past its limit",
        make.put(doc, "proof/precision", 24),
        model,
        declined=True,
    )
    float32 = make.put(
        make.put(doc, "statement/semantics", "float32:any-order"), "statement/eps_exp", "1/4194304"
    )
    float32 = make.put(float32, "statement/eta_exp", "1/4194304")
    book.refuse(
        "SPEC-14.1", "float32", "leaves are about real arithmetic", float32, model, declined=True
    )
    lone = random_model(32, vocab=1, outputs=1)
    book.refuse(
        "SPEC-14.1",
        "one-answer",
        "nothing to be wrong with",
        networks.document(lone, "max-of-k", [leaf(1)]),
        lone,
        declined=True,
    )
    whole = networks.document(model, "max-of-k")
    value: Any
    for name, path, value, why, declined in (
        (
            "unknown-method",
            "proof/leaves/0/method",
            "exhaustive",
            "a method that this page does not name",
            True,
        ),
        ("empty-method", "proof/leaves/0/method", "", "no method", True),
        ("no-inputs", "proof/leaves", [leaf(0), leaf(8)], "a leaf without inputs", False),
        (
            "fewer-than-none",
            "proof/leaves",
            [leaf(10), leaf(-2)],
            "a leaf with a negative number of inputs",
            False,
        ),
        ("one-too-few", "proof/leaves", [leaf(7)], "the last input is in no leaf", False),
        ("one-too-many", "proof/leaves", [leaf(8), leaf(1)], "an input after the last", False),
        ("no-leaves", "proof/leaves", [], "no leaves", False),
    ):
        book.refuse("SPEC-14.2", name, why, make.put(whole, path, value), model, declined=declined)
    for name, value, why in (
        ("leaf-without-margin", leaf(8, "right"), "a margin is due"),
        ("leaf-with-margin", leaf(8, "wrong", make.ZERO), "a margin of what is wrong"),
        ("leaf-either-margin", leaf(8, "either", make.ZERO), "a margin of what may be wrong"),
        ("leaf-is-a-list", [8, "either"], "a list where an object is due"),
        (
            "leaf-inputs-a-number",
            {"inputs": 8, "method": "either"},
            "a number where a string is due",
        ),
    ):
        book.refuse("SPEC-3.4", name, why, make.put(whole, "proof/leaves/0", value), model)
    book.refuse(
        "SPEC-3.4",
        "leaves-and-cells",
        "two proofs at once",
        make.put(whole, "proof/cells", []),
        model,
    )
    book.refuse(
        "SPEC-3.4",
        "leaves-and-paths",
        "paths are for cells",
        make.put(whole, "proof/paths", {}),
        model,
    )
    for name, precision, large_bits in (
        ("weights", 64, 32),
        ("values", 64, 32),
        ("weights-for-few-bits", 56, 16),
        ("values-for-few-bits", 56, 16),
    ):
        # In one model W_in, in the other W_V, make activations of 2^large_bits and more.
        tensors = copy.deepcopy(model.tensors)
        where = "blocks.0.mlp.W_in" if name.startswith("weights") else "blocks.0.attn.W_V"
        factor = 2 ** (large_bits + 8)
        tensors[where] = [
            [[v * factor for v in row] for row in part]
            if isinstance(part[0], list)
            else [v * factor for v in part]
            for part in tensors[where]
        ]
        large = Model(model.config, tensors)
        book.refuse(
            "SPEC-14.3",
            f"large-{name}",
            f"activations of 2^{large_bits}",
            networks.document(large, "max-of-k", [leaf(8)], precision=precision),
            large,
            declined=True,
        )
    claim = leaves[first]["margin"]
    more = make.dyadic(int(claim[0]) * 2 ** (int(claim[1]) + 20) + 1)
    for name, path, value, why in (
        (
            "margin",
            f"proof/leaves/{first}/margin",
            more,
            "a margin larger by 2^-20 than what is shown",
        ),
        ("margin-1", f"proof/leaves/{first}/margin", ["1", "4096"], "a margin beyond all bounds"),
        (
            "right-is-wrong",
            f"proof/leaves/{last}",
            leaf(int(leaves[last]["inputs"]), "right", make.ZERO),
            "wrong inputs are said to be right",
        ),
        (
            "wrong-is-right",
            f"proof/leaves/{first}",
            leaf(int(leaves[first]["inputs"]), "wrong"),
            "right inputs are said to be wrong",
        ),
        ("all-right", "proof/leaves", [leaf(8, "right", ["-1", "30"])], "all are said to be right"),
        ("all-wrong", "proof/leaves", [leaf(8, "wrong")], "all are said to be wrong"),
    ):
        book.refuse("SPEC-14.7", name, why, make.put(doc, path, value), model)
    coarse = at_precision(make, doc, 40)
    for name, raised, why in (
        ("margin-of-finer-precision", 1, "a margin larger by 2^-20 than what any precision shows"),
        ("margin-of-no-precision", 2**20, "a margin that is larger than 40 bits leave possible"),
    ):
        more = make.dyadic(int(claim[0]) * 2 ** (int(claim[1]) + 20) + raised)
        path = f"proof/leaves/{first}/margin"
        book.refuse("SPEC-14.7", name, why, make.put(coarse, path, more), model)
    twin = changed(random_model(13), unembed_W_U=[[1, 1], [2, 2], [-1, -1]])
    tied = networks.document(twin, "max-of-k", [leaf(4, "right", ["-1", "0"])])
    book.refuse("SPEC-14.7", "tie-is-right", "a tie is wrong, whatever the margin", tied, twin)
    book.refuse(
        "SPEC-5.6",
        "leaves-lower",
        "one more than the leaves show",
        make.added(doc, "statement/correct_lower", 1),
        model,
    )
    book.refuse(
        "SPEC-5.6",
        "leaves-upper",
        "one fewer than the leaves show",
        make.added(doc, "statement/correct_upper", -1),
        model,
    )
    short = make.added(doc, "proof/operations", -1)
    book.refuse(
        "SPEC-8.2",
        "one-too-few-for-leaves",
        "too few operations for the last input",
        short,
        model,
        declined=True,
    )
    wide = networks.of(
        random.Random("wide"),
        {"n_layers": 16, "n_heads": 16},
        vocab=1,
        n=64,
        outputs=2,
        d_model=1,
        d_head=4,
        dtype="F16",
    )
    held = networks.document(wide, "max-of-k", [leaf(1)], precision=4096)
    book.refuse(
        "SPEC-3.5",
        "network-too-large",
        "positions of 4096 bits that would take more than 2^30",
        held,
        wide,
        declined=True,
    )
