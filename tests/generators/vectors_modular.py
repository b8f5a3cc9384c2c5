"""Vectors for SPEC-13.1 to SPEC-13.7: sums of two operands in any context.

`chapter` takes the book and the module `make_vectors`, which imports this file, so that there is no
circle.
"""

from __future__ import annotations

import copy
import random
from collections.abc import Sequence
from fractions import Fraction
from hashlib import sha256
from typing import Any

import addition
import mutators
import vectors_float32
from addition import document
from models import Model, filled

from checker.__main__ import facts
from checker.check import check, parse, require_shown
from checker.statement.model import _tensors

Document = dict[str, Any]
CONSTANT, MIXED = "0x0.0p+0", "0x1.8p-2"
EXACT = {"rule": "exact"}


def adder(vocab: int = 3, mix: str | None = CONSTANT, wider: int = 0, n: int = 2) -> Model:
    """Return a model that adds: the stream is ``(a + b, 1)``, neurons are relu of a + b, a + b - p
    + 1 and a + b - p.  With more than two positions there is one token more, for the context.

    From these the unembedding makes the logits ``2 j s - j^2`` for ``s = (a + b) mod p``, largest
    at j = s.  With softmax, all
    scores are zero, so the two weights are 1/2, and the head is twice as strong.
    """
    p = vocab
    config = addition.config_of(p + (n > 2), 2, 1, 1, 4, p + wider, mix, n)
    tensors: Document = {
        name: filled(shape, lambda: Fraction(0)) for name, shape in addition.shapes(config).items()
    }
    # Weights on the n positions: 1, or with the mix c, 1 - c + c/n each; the last token keeps
    # itself besides.
    c = Fraction(1) if mix is None else Fraction(float.fromhex(mix))
    share = 1 - c + c / n
    strength = n if c == 1 else 1
    tensors["embed.W_E"] = [[t % p, 0] for t in range(config["d_vocab"])]
    tensors["blocks.0.attn.W_V"] = [[[strength], [0]]]
    tensors["blocks.0.attn.W_O"] = [[[0, 1]]]
    steps = share * strength  # the second coordinate of the stream is steps * (a + b)
    tensors["blocks.0.mlp.W_in"] = [[0] * 4, [1, 1, 1, 0]]
    tensors["blocks.0.mlp.b_in"] = [0, -(p - 1) * steps, -p * steps, 1]
    # s = (a + b) - p * [a + b >= p], and p * [..] = p * (relu(x - (p - 1)) - relu(x - p)) in whole
    # steps.
    scale = 1 / Fraction(steps)
    scale = scale if scale.denominator == 1 else Fraction(1)
    tensors["blocks.0.mlp.W_out"] = [[0, scale], [0, -p * scale], [0, p * scale], [1, 0]]
    outputs = range(p + wider)
    tensors["unembed.W_U"] = [[-j * j for j in outputs], [2 * j for j in outputs]]
    # What the second coordinate of the stream and the first (the second token) write directly is
    # small beside the MLP's.
    tensors["blocks.0.mlp.W_out"] = [[64 * x for x in row] for row in tensors["blocks.0.mlp.W_out"]]
    return Model(config, tensors)


def zeros(config: Document) -> Model:
    """Return a model of zeros with this config."""
    sizes = {name: value for name, value in config.items() if type(value) is int} | {"d_hidden": 1}
    pooled = "pool" in str(config.get("readout"))
    axes = _tensors(
        config, sizes if pooled else {k: v for k, v in sizes.items() if k != "d_hidden"}
    )
    return Model(
        config,
        {
            name: filled([sizes[a] for a in named.split()], lambda: 0)
            for name, named in axes.items()
        },
    )


def tightened(model: Model, doc: Document) -> tuple[Document, Any]:
    """Return the certificate with the strongest claims, and its theorem."""
    theorem = check(parse(model.bytes, mutators.encode(doc)), lambda done, declared: None)
    tight = copy.deepcopy(doc)
    tight["proof"]["operations"] = str(theorem.ledger.total)
    tight["statement"] |= {
        "correct_lower": str(theorem.correct_lower),
        "correct_upper": str(theorem.correct_upper),
    }
    return tight, check(parse(model.bytes, mutators.encode(tight)), lambda done, declared: None)


def accept(
    book: Any,
    place: str,
    why: str,
    model: Model,
    doc: Document,
    question: addition.Question | None = None,
    *,
    exact: bool = False,
) -> Document:
    """Add a certificate that must be accepted, after comparing it with the truth."""
    tight, theorem = tightened(model, doc)
    require_shown(theorem)
    scope = doc["statement"]["scope"]
    weights = None if scope == "uniform" else [[int(w) for w in row] for row in scope["product"]]
    truth = addition.truth(model, weights, question)
    lower, upper = theorem.correct_lower, theorem.correct_upper
    if not lower <= truth.correct <= upper or (exact and lower != upper):
        raise AssertionError(f"{place}: {lower} <= {truth.correct} <= {upper}")
    clause, name = place.split("/")
    outcomes, ledger = (
        "".join(f"{o.lower},{o.upper},{o.size},{o.margin};" for o in theorem.outcomes),
        theorem.ledger,
    )
    record = {
        "verdict": "VERIFIED",
        "why": why,
        "correct_lower": str(lower),
        "correct_upper": str(upper),
        "correct": str(truth.correct),
        "exact": exact,
        "margin_lower": facts(theorem)["margin_lower"],
        "operations": [ledger.mul, ledger.add, ledger.cmp, ledger.exp],
        "outcomes": outcomes if len(outcomes) < 200 else sha256(outcomes.encode()).hexdigest(),
    }
    book.add(clause, f"accept-{name}", model.bytes, mutators.encode(tight), record)
    return tight


def switches(model: Model) -> Document:
    """Return a switch for each neuron, close to its own activations."""
    return addition.random_switches(random.Random(1), model, fitting=True)


def noisy(mix: str | None, seed: int) -> Model:
    """Return a random model."""
    return addition.random_model(f"vector {seed}", mix)


def chapter(book: Any, make: Any) -> None:
    """SPEC-13.1 to SPEC-13.7."""
    model = adder()
    pair = addition.own_pair(model, 0)
    rules = {
        "exact": EXACT,
        "low-rank": {"rule": "low-rank", **pair},
        "switches": {"rule": "switches", **pair, **switches(model)},
    }
    clauses = {"exact": "SPEC-13.3", "low-rank": "SPEC-13.5", "switches": "SPEC-13.6"}
    tight = {}
    for rule, sums in rules.items():
        why = f"every input of a model that adds, rule {rule}"
        tight[rule] = accept(
            book, f"{clauses[rule]}/adds", why, model, document(model, sums), exact=True
        )
        for side, by in (("correct_lower", 1), ("correct_upper", -1)):
            more = make.added(tight[rule], f"statement/{side}", by)
            book.refuse(
                "SPEC-5.6",
                f"sums-{rule}-{side}",
                "one more right, or one fewer, than derived",
                more,
                model,
            )
        few = make.added(tight[rule], "proof/operations", -1)
        book.refuse("SPEC-8.2", f"sums-{rule}", "too few operations", few, model, declined=True)
    _accepted(book, model, pair)
    _contexts(book, make)
    _declined(book, make, model)
    _refused(book, make, model, rules)
    _float32(book, make, model, rules)


def _accepted(book: Any, model: Model, pair: Document) -> None:
    for number, mix in enumerate(addition.MIXES):
        for seed in range(2):
            found = noisy(mix, seed)
            place = f"SPEC-13.{4 if mix != CONSTANT else 3}/random-{number}-{seed}"
            accept(
                book,
                place,
                "a random model, every input",
                found,
                document(found, EXACT),
                exact=mix == CONSTANT,
            )
            low = {"rule": "low-rank", **addition.own_pair(found, 2), "settle": seed}
            accept(
                book,
                f"SPEC-13.5/random-{number}-{seed}",
                "P Q is off by roundings",
                found,
                document(found, low),
            )
    weights = [[0, 1, 10**20], [2, 0, 5]]
    accept(
        book,
        "SPEC-13.3/scope",
        "a product scope with zeros",
        model,
        document(model, EXACT, weights),
        exact=True,
    )
    accept(
        book,
        "SPEC-13.4/equal-scores",
        "scores that are equal: both weights are exactly a half",
        adder(mix=None),
        document(adder(mix=None), EXACT),
        exact=True,
    )
    accept(
        book,
        "SPEC-13.1/more-outputs",
        "outputs that are no sum are wrong answers too",
        adder(wider=2),
        document(adder(wider=2), EXACT),
        exact=True,
    )
    causal = Model(model.config | {"attention_dir": "causal"}, model.tensors)
    accept(
        book,
        "SPEC-13.1/causal",
        "the last position sees both",
        causal,
        document(causal, EXACT),
        exact=True,
    )
    last = Model(model.config | {"readout": "last"}, model.tensors)
    accept(
        book,
        "SPEC-13.1/readout-last",
        "the readout that is meant if it is absent",
        last,
        document(last, EXACT),
        exact=True,
    )
    silly = {
        "left": {"exponent": 3, "rows": [[1]] * 4},
        "right": {"exponent": -9, "rows": [[-7, 5, 3]]},
    }
    # With a bias that outweighs what the MLP writes, some inputs are decided without an evaluation.
    leaning = Model(model.config, model.tensors | {"unembed.b_U": [2**10, 0, 0]})
    for settle, found in ((0, leaning), (1, model)):
        loose = {"rule": "low-rank", **silly, "settle": settle}
        accept(
            book,
            f"SPEC-13.5/silly-{settle}",
            "two matrices that are no part of anything",
            found,
            document(found, loose),
        )
    one = {
        "neurons": [0] * 4,
        "scales": [1, 2, 3, 1],
        "tables": {"exponent": 0, "rows": [[0, 1, 2, -2, -1, 0]]},
    }
    accept(book, "SPEC-13.6/one-switch", "one switch for all neurons", leaning,
           document(leaning, {"rule": "switches", **pair, **one}))  # fmt: skip
    nothing = document(model, {"rule": "low-rank", **silly, "settle": 0})
    book.refuse(
        "SPEC-9.5",
        "sums",
        "two matrices that are no part of the model, and no input is settled",
        tightened(model, nothing)[0],
        model,
    )


def _contexts(book: Any, make: Any) -> None:
    """Context before, between and after the operands, some of the tokens, other tasks; and domains
    that are not about two operands, or not read at the last position.
    """
    whole = range(3)
    shapes: dict[str, tuple[list[Sequence[int]], tuple[int, int]]] = {
        "equals-sign": ([whole, whole, [3]], (0, 1)),
        "context-first": ([[3], whole, whole], (1, 2)),
        "context-between": ([whole, [3], whole], (0, 2)),
        "two-context-tokens": ([[3], whole, whole, [3]], (1, 2)),
        "some-tokens": ([[0, 2], [1, 2], [3]], (0, 1)),
    }
    for mix, ending in ((CONSTANT, ""), (None, "-attention"), (MIXED, "-mixed")):
        for name, (tokens, operands) in shapes.items():
            model = adder(mix=mix, wider=1, n=len(tokens))
            question = addition.Question(tokens, operands, 3)
            doc = document(model, EXACT, question=question)
            why = "two operands in a context"
            accept(book, f"SPEC-13.1/{name}{ending}", why, model, doc, question, exact=True)
    model = adder(n=3)
    equals = addition.Question([whole, whole, [3]], (0, 1), 3)
    rng = random.Random(3)
    pair = addition.own_pair(model, 0)
    fitting = addition.random_switches(rng, model, fitting=True, question=equals)
    rules = {"low-rank": "SPEC-13.5", "switches": "SPEC-13.6"}
    for rule, clause in rules.items():
        sums = {"rule": rule, **pair} | (fitting if rule == "switches" else {})
        doc = document(model, sums, question=equals)
        accept(book, f"{clause}/equals-sign", "a context token", model, doc, equals, exact=True)
    claimed = vectors_float32.claimed(document(model, EXACT, question=equals))
    accept(book, "SPEC-13.7/equals-sign", "a context token, in float32", model, claimed, equals)
    for seed in range(3):
        found = addition.random_model(f"vector context {seed}", None, n=3 + seed % 2)
        asked = addition.random_question(seed, found)
        place = f"SPEC-13.4/context-{seed}"
        doc = document(found, EXACT, question=asked)
        accept(book, place, "a random model in a context", found, doc, asked)
    two = adder()
    largest = addition.Largest([whole, whole], (0, 1), 3)
    doc = document(two, EXACT, question=largest)
    accept(
        book, "SPEC-13.1/max-of-k", "another task over two operands", two, doc, largest, exact=True
    )
    # Declined: SPEC-13.1.
    three = zeros(addition.config_of(3, 2, 1, 1, 4, 3, CONSTANT, 3))
    more = make.put(document(three, EXACT, question=equals_of(three)), "statement/task", "max-of-k")
    every = {"tokens": [[0, 2]], "values": "own"}
    several = make.put(more, "statement/domain/positions", [every] * 3)
    for side in ("total", "correct_upper"):
        several = make.put(several, f"statement/{side}", "27")
    one = make.put(more, "statement/domain/positions", [every, {"context": 0}, {"context": 0}])
    for side in ("total", "correct_upper"):
        one = make.put(one, f"statement/{side}", "3")
    sooner = make.put(document(model, EXACT, question=equals), "statement/domain/read", [1])
    both = make.put(more, "statement/domain/read", [1, 2])
    for name, why, doc, found in (
        ("three-operands", "three operands", several, three),
        ("one-operand", "one operand", one, three),
        ("read-before-the-last", "read before the last position", sooner, model),
        ("read-twice", "two positions are read", both, three),
    ):
        book.refuse("SPEC-13.1", f"sums-{name}", why, doc, found, declined=True)
    for name, width, why in (
        ("operands-only", 6, "tables for the operands only"),
        ("a-token-too-many", 8, "tables for a token that is not allowed"),
    ):
        hints = fitting | {"tables": {"exponent": 0, "rows": [[0] * width] * 4}}
        doc = document(model, {"rule": "switches", **pair, **hints}, question=equals)
        book.refuse("SPEC-13.6", name, why, doc, model)


def equals_of(model: Model) -> addition.Question:
    """Return the question about the first two positions of three, the last being token 0."""
    whole = range(model.config["d_vocab"])
    return addition.Question([whole, whole, [0]], (0, 1), 3)


def _declined(book: Any, make: Any, model: Model) -> None:
    """Other tasks, semantics and architectures."""

    def refuse(clause: str, name: str, why: str, doc: Document, found: Model = model) -> None:
        book.refuse(clause, f"sums-{name}", why, doc, found, declined=True)

    doc = document(model, EXACT)
    refuse(
        "SPEC-13.1",
        "unknown-rule",
        "a rule that this page does not name",
        document(model, {"rule": "guess"}),
    )
    cells = make.put(make.cut(doc, "proof/sums"), "proof/cells", [])
    refuse("SPEC-7", "cells", "cells about a sum", cells)
    changes: dict[str, Document] = {
        "layers": {"n_layers": 2},
        "equals-sign": {"n_ctx": 3, "d_vocab": 4, "d_vocab_out": 4},
        "one-token": {"n_ctx": 1},
        "gelu": {"act_fn": "gelu_new"},
        "silu": {"act_fn": "silu"},
        "layer-norm": {"normalization_type": "LN", "eps": "0x1.0p-16"},
        "layer-norm-pre": {"normalization_type": "LNPre", "eps": "0x1.0p-16"},
        "sum-pool": {"readout": "sum-pool-mlp"},
    }
    for name, change in changes.items():
        found = zeros(model.config | change)
        made = document(found, EXACT)
        total = found.config["d_vocab"] ** found.config["n_ctx"]
        made["statement"] |= {"total": str(total), "correct_upper": str(total)}
        refuse(
            "SPEC-5.2" if name in ("equals-sign", "one-token") else "SPEC-13.1",
            name,
            "an architecture that is not folded",
            made,
            found,
        )
    alone = zeros(model.config | {"d_vocab_out": 1})
    table = {"answers": [0] * 9, "format": "certify.table/2", "tokens": [[[0, 2]]] * 2}
    made = make.put(document(alone, EXACT), "statement/task", {"table": table})
    refuse("SPEC-13.1", "one-answer", "one output, so that none is wrong", made, alone)
    bare = {
        key: value for key, value in model.config.items() if key not in ("d_mlp", "attention_mix")
    }
    found = zeros(bare | {"attn_only": True, "act_fn": None})
    refuse("SPEC-13.1", "no-mlp", "no MLP", document(found, EXACT), found)
    soft = adder(mix=None)
    doc = document(soft, {"rule": "switches", **addition.own_pair(soft, 0), **switches(model)})
    refuse("SPEC-13.6", "attention", "switches with softmax", doc, soft)
    mixed = adder(mix=MIXED)
    doc = document(mixed, {"rule": "switches", **addition.own_pair(mixed, 0), **switches(model)})
    refuse("SPEC-13.6", "a-little-attention", "switches with a share of softmax", doc, mixed)


def _refused(book: Any, make: Any, model: Model, rules: Document) -> None:
    """SwitchHints that do not have the form or the shape they should have."""
    low, switch = (document(model, rules[rule]) for rule in ("low-rank", "switches"))
    four = [[0] * 6] * 4
    damaged: dict[str, tuple[Document, str, Any, str]] = {
        "SPEC-3.3/sums-settle": (low, "settle", 2, "settle is 0 or 1"),
        "SPEC-3.3/sums-settle-true": (low, "settle", True, "true is not 1"),
        "SPEC-3.4/sums-no-object": (low, "", [], "a list where an object is due"),
        "SPEC-3.4/sums-no-rule": (low, "", {}, "no rule"),
        "SPEC-3.4/sums-half-a-pair": (
            low,
            "",
            {"rule": "low-rank", "left": rules["low-rank"]["left"], "settle": 0},
            "no Q",
        ),
        "SPEC-3.4/sums-exact-with-a-pair": (low, "rule", "exact", "keys of another rule"),
        "SPEC-3.4/sums-no-switches": (low, "rule", "switches", "keys of another rule"),
        "SPEC-6.5/sums-empty": (low, "left", {"exponent": 0, "rows": []}, "P has no rows"),
        "SPEC-6.6/sums-neurons": (
            low,
            "left/rows",
            rules["low-rank"]["left"]["rows"][:3],
            "P has a row too few",
        ),
        "SPEC-6.6/sums-ranks": (low, "right/rows", [[1, 1, 1]], "P and Q of different rank"),
        "SPEC-6.6/sums-outputs": (low, "right/rows", [[1, 1]] * 3, "Q has a column too few"),
        "SPEC-3.3/switch-negative": (
            switch,
            "neurons",
            [0, 1, 2, -1],
            "a negative switch, which Python would count from the end",
        ),
        "SPEC-3.3/switch-too-large": (
            switch,
            "neurons",
            [0, 1, 2, 4],
            "a switch that is not there",
        ),
        "SPEC-3.3/scale-zero": (switch, "scales", [1, 1, 1, 0], "a scale of zero"),
        "SPEC-3.3/scale-negative": (switch, "scales", [1, 1, 1, -1], "a negative scale"),
        "SPEC-13.6/too-few-neurons": (switch, "neurons", [0, 1, 2], "a neuron without a switch"),
        "SPEC-13.6/too-many-neurons": (
            switch,
            "neurons",
            [0, 1, 2, 3, 3],
            "a switch without a neuron",
        ),
        "SPEC-13.6/too-few-scales": (switch, "scales", [1, 1, 1], "a neuron without a scale"),
        "SPEC-13.6/too-few-tokens": (
            switch,
            "tables/rows",
            [[0] * 3] * 4,
            "tables for the first token only",
        ),
        "SPEC-13.6/too-many-tokens": (
            switch,
            "tables/rows",
            [[0] * 8] * 4,
            "tables for a token that is not there",
        ),
        "SPEC-13.6/finer": (
            switch,
            "tables",
            {"exponent": -128, "rows": four},
            "tables finer than the activations",
        ),
    }
    for place, (doc, path, value, why) in damaged.items():
        clause, name = place.split("/")
        book.refuse(
            clause,
            name,
            why,
            make.put(doc, "/".join(["proof/sums", path]).rstrip("/"), value),
            model,
        )
    beside = make.put(low, "proof/paths", {})
    book.refuse("SPEC-3.4", "sums-with-paths", "a key of a proof of cells", beside, model)
    claim, _ = tightened(model, document(model, EXACT))
    poor = {
        "rule": "low-rank",
        "left": {"exponent": 0, "rows": [[0]] * 4},
        "right": {"exponent": 0, "rows": [[0, 0, 0]]},
        "settle": 0,
    }
    wide = make.put(make.put(claim, "proof/sums", poor), "proof/operations", str(10**11))
    book.refuse(
        "SPEC-5.6",
        "sums-exact-claim-of-a-bound",
        "what M shows, claimed of two matrices of zeros",
        wide,
        model,
    )


def _float32(book: Any, make: Any, model: Model, rules: Document) -> None:
    """SPEC-13.7: what any float32 execution does, and when there is no theorem."""
    claimed = vectors_float32.claimed
    for rule, sums in rules.items():
        accept(
            book,
            f"SPEC-13.7/adds-{rule}",
            f"every execution of a model that adds, rule {rule}",
            model,
            claimed(document(model, sums)),
        )
    for number, seed in ((1, 8), (3, 1)):
        found = noisy(addition.MIXES[number], seed)
        accept(
            book,
            f"SPEC-13.7/random-{number}",
            "a random model in float32",
            found,
            claimed(document(found, EXACT)),
        )
    good = addition.good_model(3, None, 2)
    coarse = claimed(document(good, EXACT), eps_exp="1/64", eta_exp="1/64")
    accept(book, "SPEC-13.7/coarse-exp", "an exp that is off by 2^-6", good, coarse)
    close = addition.absorbing()
    weakest = claimed(document(close, EXACT))
    book.refuse(
        "SPEC-9.5",
        "sums-float32",
        "every input is decided in real arithmetic, and open in float32",
        tightened(close, weakest)[0],
        close,
    )
    # The second token, if it is 1, outweighs every rounding.
    half = Model(close.config, close.tensors | {"embed.W_E": [[0], [2**10]]})
    accept(
        book,
        "SPEC-13.7/absorbing",
        "right or wrong in real arithmetic; half of it open in float32",
        half,
        claimed(document(half, EXACT)),
    )
    for side in ("correct_lower", "correct_upper"):
        why = "a claim of real arithmetic, where rounding may decide"
        book.refuse(
            "SPEC-5.6",
            f"sums-float32-{side}",
            why,
            make.put(weakest, f"statement/{side}", "2"),
            close,
        )
    doc, _ = tightened(model, claimed(document(model, EXACT)))
    few = make.added(doc, "proof/operations", -1)
    book.refuse("SPEC-8.2", "sums-float32", "too few operations", few, model, declined=True)
    huge = Model(model.config, model.tensors | {"embed.W_E": [[0, 0], [2**63, 0], [2**63, 0]]})
    large = Model(model.config, model.tensors | {"unembed.W_U": [[0, 0, 0], [2**100, 0, 0]]})
    far = {"embed.W_E": [[0, 0], [0, 0], [Fraction(2) ** 127, 0]]}
    bias = {"unembed.b_U": [0, Fraction(2) ** 126, 0]}
    for name, tensors in (("residual", huge.tensors | far), ("output", large.tensors | bias)):
        found = Model(model.config, tensors)
        doc = claimed(document(found, EXACT))
        book.refuse(
            "SPEC-13.7", f"overflow-{name}", "a number might overflow", doc, found, declined=True
        )
    score = Model(
        model.config,
        huge.tensors | {"blocks.0.attn.W_Q": [[[1], [0]]], "blocks.0.attn.W_K": [[[1], [0]]]},
    )
    book.refuse(
        "SPEC-13.7",
        "overflow-score",
        "scores near 2^126",
        claimed(document(score, EXACT)),
        score,
        declined=True,
    )
