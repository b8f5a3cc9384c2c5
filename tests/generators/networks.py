"""Tiny models of every supported architecture, and their logits by plain loops in mpmath with 200
bits.

Nothing is shared with the checker or the prover: `logits` is written from SPEC-4.5, one scalar at a
time.
What is right is said by `questions`.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Iterator, Sequence
from fractions import Fraction
from hashlib import sha256
from typing import Any

import mpmath
import questions
from models import Model, domain_of

BITS = 200
CONTEXT = mpmath.MPContext()
CONTEXT.prec = BITS
Vector = list[Any]

# Every feature with its values; `of` fills in the rest.
FEATURES: dict[str, tuple[Any, ...]] = {
    "n_layers": (1, 2),
    "n_heads": (1, 2),
    "attention_dir": ("causal", "bidirectional"),
    "mlp": (None, "relu", "gelu_new", "silu"),
    "normalization_type": (None, "LN", "LNPre"),
    "biases": (False, True),
    "attention_mix": (None, "0x1.4000000000000p-1", "0x0.0p+0"),
    "readout": (None, "last", "all", "sum-pool-mlp", "mean-pool-mlp"),
}


def pairs() -> Iterator[dict[str, Any]]:
    """Yield choices of features that hold every pair of values of two features; the others are
    drawn from a fixed seed.
    """
    rng = random.Random("pairs of features")
    wanted = {
        ((a, i), (b, j))
        for a, b in itertools.combinations(FEATURES, 2)
        for i in range(len(FEATURES[a]))
        for j in range(len(FEATURES[b]))
        if possible({a: FEATURES[a][i], b: FEATURES[b][j]})
    }
    while wanted:
        best: tuple[int, dict[str, int]] = (0, {})
        for _ in range(60):
            (a, i), (b, j) = min(wanted)
            drawn = {name: rng.randrange(len(values)) for name, values in FEATURES.items()} | {
                a: i,
                b: j,
            }
            if possible({name: FEATURES[name][at] for name, at in drawn.items()}):
                found = sum(pair in wanted for pair in itertools.combinations(drawn.items(), 2))
                best = max(best, (found, drawn), key=lambda item: item[0])
        wanted -= set(itertools.combinations(best[1].items(), 2))
        yield {name: FEATURES[name][at] for name, at in best[1].items()}


def possible(chosen: dict[str, Any]) -> bool:
    """Return whether a task can be asked of such a model."""
    return not (chosen.get("readout") == "all" and chosen.get("attention_dir") == "bidirectional")


def of(
    rng: random.Random,
    chosen: dict[str, Any],
    *,
    vocab: int = 3,
    n: int = 3,
    outputs: int = 3,
    d_model: int = 3,
    d_head: int = 2,
    spread: int = 24,
    dtype: str = "F32",
) -> Model:
    """Return a random model with the chosen features: weights are multiples of 1/16, up to `spread`
    of them.
    """
    mlp, norm = chosen.get("mlp"), chosen.get("normalization_type")
    config = {
        "d_vocab": vocab,
        "d_vocab_out": outputs,
        "n_ctx": n,
        "d_model": d_model,
        "d_head": d_head,
        "n_heads": chosen.get("n_heads", 1),
        "n_layers": chosen.get("n_layers", 1),
        "attn_only": mlp is None,
        "act_fn": mlp,
        "normalization_type": norm,
        "attention_dir": chosen.get("attention_dir", "causal"),
        "positional_embedding_type": "standard",
    }
    config |= {"d_mlp": 4} if mlp else {}
    config |= {"eps": "0x1.4000000000000p-7"} if norm else {}
    every = chosen.get("readout") == "all"
    named = ["attention_mix"] if every else ["attention_mix", "readout"]
    config |= {name: chosen[name] for name in named if chosen.get(name)}
    hidden, tensors = 3, {}
    for name, shape, needed in shapes(config, hidden):
        if needed or chosen.get("biases"):
            size = math.prod(shape)
            flat = [Fraction(rng.randint(-spread, spread), 16) for _ in range(size)]
            tensors[name] = _nested(flat, shape)
    return Model(config, tensors, dtype, every=every)


def shapes(config: dict[str, Any], hidden: int) -> Iterator[tuple[str, tuple[int, ...], bool]]:
    """Yield name, shape and whether it must be there, of every tensor of SPEC-4.3."""
    d, a, h, out = config["d_model"], config["d_head"], config["n_heads"], config["d_vocab_out"]
    ln, m = config["normalization_type"] == "LN", config.get("d_mlp")
    yield "embed.W_E", (config["d_vocab"], d), True
    yield "pos_embed.W_pos", (config["n_ctx"], d), True
    for block in (f"blocks.{layer}." for layer in range(config["n_layers"])):
        for x in "QKV":
            yield f"{block}attn.W_{x}", (h, d, a), True
            yield f"{block}attn.b_{x}", (h, a), False
        yield f"{block}attn.W_O", (h, a, d), True
        yield f"{block}attn.b_O", (d,), False
        for norm in ("ln1", "ln2")[: (2 if m else 1) if ln else 0]:
            yield f"{block}{norm}.w", (d,), True
            yield f"{block}{norm}.b", (d,), True
        if m:
            yield f"{block}mlp.W_in", (d, m), True
            yield f"{block}mlp.b_in", (m,), False
            yield f"{block}mlp.W_out", (m, d), True
            yield f"{block}mlp.b_out", (d,), False
    if ln:
        yield "ln_final.w", (d,), True
        yield "ln_final.b", (d,), True
    if config.get("readout", "last") == "last":
        yield "unembed.W_U", (d, out), True
        yield "unembed.b_U", (out,), False
    else:
        yield "head.W_1", (d, hidden), True
        yield "head.b_1", (hidden,), False
        yield "head.W_2", (hidden, out), True
        yield "head.b_2", (out,), False


def _nested(flat: list[Fraction], shape: tuple[int, ...]) -> Any:
    if len(shape) == 1:
        return flat
    step = len(flat) // shape[0]
    return [_nested(flat[at : at + step], shape[1:]) for at in range(0, len(flat), step)]


# --- the forward pass -------------------------------------------------------------


def _real(value: Any) -> Any:
    exact = Fraction(value)
    return CONTEXT.mpf(exact.numerator) / exact.denominator


def _hex(text: str) -> Any:
    return _real(Fraction(float.fromhex(text)))


def _affine(x: Vector, matrix: Any, bias: Any) -> Vector:
    columns = range(len(matrix[0]))
    start = [_real(0)] * len(columns) if bias is None else [_real(b) for b in bias]
    return [
        start[k] + sum((x[j] * _real(matrix[j][k]) for j in range(len(x))), _real(0))
        for k in columns
    ]


def _plus(x: Vector, y: Vector) -> Vector:
    return [a + b for a, b in zip(x, y, strict=True)]


def _normal(model: Model, name: str, x: Vector) -> Vector:
    kind = model.config["normalization_type"]
    if kind is None:
        return x
    mean = sum(x, _real(0)) / len(x)
    variance = sum(((v - mean) ** 2 for v in x), _real(0)) / len(x)
    found = [(v - mean) / CONTEXT.sqrt(variance + _hex(model.config["eps"])) for v in x]
    if kind == "LNPre":
        return found
    w, b = model.tensors[f"{name}.w"], model.tensors[f"{name}.b"]
    return [v * _real(w[k]) + _real(b[k]) for k, v in enumerate(found)]


def activation(function: str, x: Any) -> Any:
    """Return one activation in mpmath, each by its own textbook formula."""
    if function == "relu":
        return max(x, _real(0))
    if function == "silu":
        return x / (1 + CONTEXT.exp(-x))
    cubic = x + _real(Fraction(44715, 10**6)) * x**3
    return x / 2 * (1 + CONTEXT.tanh(CONTEXT.sqrt(2 / CONTEXT.pi) * cubic))


def _attention(model: Model, block: str, rows: list[Vector]) -> list[Vector]:
    config, tensors = model.config, model.tensors
    mix = _hex(config.get("attention_mix", "0x1.0p+0"))
    found = [[_real(0)] * config["d_model"] for _ in rows]
    for h in range(config["n_heads"]):
        projected = {}
        for letter in "QKV":
            bias = tensors.get(f"{block}attn.b_{letter}")
            matrix = tensors[f"{block}attn.W_{letter}"][h]
            projected[letter] = [
                _affine(_normal(model, f"{block}ln1", x), matrix, bias and bias[h]) for x in rows
            ]
        for i in range(len(rows)):
            seen = range(i + 1) if config["attention_dir"] == "causal" else range(len(rows))
            dots = [
                sum(map(lambda a, b: a * b, projected["Q"][i], projected["K"][j]), _real(0))
                for j in seen
            ]
            weights = [CONTEXT.exp(dot / CONTEXT.sqrt(config["d_head"])) for dot in dots]
            shares = [mix * weight / sum(weights, _real(0)) + 1 - mix for weight in weights]
            mixed = [
                sum((shares[j] * projected["V"][j][k] for j in seen), _real(0))
                for k in range(config["d_head"])
            ]
            found[i] = _plus(found[i], _affine(mixed, tensors[f"{block}attn.W_O"][h], None))
    bias = tensors.get(f"{block}attn.b_O")
    return [x if bias is None else _plus(x, [_real(b) for b in bias]) for x in found]


def logits(model: Model, tokens: Sequence[int], *, every: bool | None = None) -> list[Vector]:
    """Return the logits at the last position or at every one, by default as the model says; of a
    pooled readout there is one row.
    """
    every = model.every if every is None else every
    config, tensors = model.config, model.tensors
    embedding, places = tensors["embed.W_E"], tensors["pos_embed.W_pos"]
    rows = [[_real(e) + _real(p) for e, p in zip(embedding[t], places[i], strict=True)]
            for i, t in enumerate(tokens)]  # fmt: skip
    for layer in range(config["n_layers"]):
        block = f"blocks.{layer}."
        rows = [_plus(x, y) for x, y in zip(rows, _attention(model, block, rows), strict=True)]
        if not config["attn_only"]:
            for i, x in enumerate(rows):
                inner = _affine(
                    _normal(model, f"{block}ln2", x),
                    tensors[f"{block}mlp.W_in"],
                    tensors.get(f"{block}mlp.b_in"),
                )
                active = [activation(config["act_fn"], v) for v in inner]
                rows[i] = _plus(
                    x,
                    _affine(active, tensors[f"{block}mlp.W_out"], tensors.get(f"{block}mlp.b_out")),
                )
    rows = [_normal(model, "ln_final", x) for x in rows]
    readout = config.get("readout", "last")
    if readout == "last":
        chosen = rows if every else rows[-1:]
        return [_affine(x, tensors["unembed.W_U"], tensors.get("unembed.b_U")) for x in chosen]
    pooled = [
        sum(column, _real(0)) / (len(rows) if readout == "mean-pool-mlp" else 1)
        for column in zip(*rows, strict=True)
    ]
    hidden = [
        max(v, _real(0)) for v in _affine(pooled, tensors["head.W_1"], tensors.get("head.b_1"))
    ]
    return [_affine(hidden, tensors["head.W_2"], tensors.get("head.b_2"))]


# --- the question -----------------------------------------------------------------


def usual_domain(model: Model) -> dict[str, Any]:
    """Return the usual domain of a model, read at every position where it says so."""
    every = {"read": list(range(model.config["n_ctx"]))} if model.every else {}
    return domain_of(model.config) | every


def margin(
    model: Model, task: Any, tokens: Sequence[int], domain: dict[str, Any] | None = None
) -> Any:
    """Return the margin of an input: the least over the positions that are read."""
    domain = domain or usual_domain(model)
    rows = logits(model, tokens, every=bool(domain["read"]))
    read = [rows[place] for place in domain["read"]] or rows
    found = []
    for row, right in zip(read, questions.right_outputs(domain, task, tokens), strict=True):
        found.append(row[right] - max(value for j, value in enumerate(row) if j != right))
    return min(found)


def inputs(model: Model, domain: dict[str, Any] | None = None) -> list[tuple[int, ...]]:
    """Return every input in lexicographic order."""
    return questions.inputs(domain or usual_domain(model))


def table(model: Model, answers: Sequence[Any], domain: dict[str, Any] | None = None) -> Any:
    """Return the task of a table of answers, as a certificate spells it."""
    positions = (domain or usual_domain(model))["positions"]
    tokens = [
        [[place["context"]] * 2] if "context" in place else place["tokens"] for place in positions
    ]
    return {"table": {"answers": list(answers), "format": "certify.table/2", "tokens": tokens}}


def document(
    model: Model,
    task: Any,
    leaves: list[dict[str, Any]] | None = None,
    *,
    precision: int = 64,
    weights: list[list[int]] | None = None,
    operations: int = 10**11,
    domain: dict[str, Any] | None = None,
) -> dict[str, Any]:
    """Return a certificate of leaves that claims nothing; by default one leaf holds all inputs and
    is `either`.
    """
    config = model.config
    domain = domain or usual_domain(model)
    count = math.prod(len(questions.tokens_at(place)) for place in domain["positions"])
    total = math.prod(map(sum, weights)) if weights else count
    whole = [{"inputs": str(count), "method": "either"}]
    return {
        "format": "certify.certificate/2",
        "statement": {
            "architecture": config,
            "correct_lower": "0",
            "correct_upper": str(total),
            "domain": domain,
            "model": f"sha256:{sha256(model.bytes).hexdigest()}",
            "scope": {"product": [[str(w) for w in row] for row in weights]}
            if weights
            else "uniform",
            "semantics": "real",
            "task": task,
            "total": str(total),
        },
        "proof": {
            "leaves": whole if leaves is None else leaves,
            "operations": str(operations),
            "precision": precision,
            "strategy": "exhaustive",
        },
    }
