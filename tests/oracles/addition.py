"""Ground truth for tiny models of two operands in any context, and random ones: every input,
forward through the network.

Nothing is folded here: each input is embedded, attended, fed to the MLP and read out, vector by
vector, in exact fractions where
attention is constant and otherwise in mpmath numbers of 100 digits.  There a margin of less than
10^-60 counts as a tie: weights
are small dyadic numbers, so a margin that is not zero but smaller would be a coincidence of 60
digits.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from hashlib import sha256
from math import prod
from typing import Any

import mpmath
from models import Model, domain_of, filled, nearest

Document = dict[str, Any]
Vector = list[Any]
DIGITS, TIE = 100, 60


def shapes(config: Document) -> dict[str, list[int]]:
    """Return the shape of every tensor, biases included."""
    d, head, heads = config["d_model"], config["d_head"], config["n_heads"]
    attention = {f"blocks.0.attn.W_{letter}": [heads, d, head] for letter in "QKV"}
    attention |= {f"blocks.0.attn.b_{letter}": [heads, head] for letter in "QKV"}
    return {
        "embed.W_E": [config["d_vocab"], d],
        "pos_embed.W_pos": [config["n_ctx"], d],
        **attention,
        "blocks.0.attn.W_O": [heads, head, d],
        "blocks.0.attn.b_O": [d],
        "blocks.0.mlp.W_in": [d, config["d_mlp"]],
        "blocks.0.mlp.b_in": [config["d_mlp"]],
        "blocks.0.mlp.W_out": [config["d_mlp"], d],
        "blocks.0.mlp.b_out": [d],
        "unembed.W_U": [d, config["d_vocab_out"]],
        "unembed.b_U": [config["d_vocab_out"]],
    }


def config_of(
    vocab: int,
    d: int,
    head: int,
    heads: int,
    mlp: int,
    outputs: int,
    mix: str | None,
    n: int = 2,
) -> Document:
    """Return the config of a model for n tokens."""
    config: Document = {
        "d_vocab": vocab,
        "d_vocab_out": outputs,
        "n_ctx": n,
        "d_model": d,
        "d_head": head,
        "n_heads": heads,
    }
    config |= {
        "n_layers": 1,
        "attn_only": False,
        "act_fn": "relu",
        "d_mlp": mlp,
        "normalization_type": None,
    }
    config |= {"attention_dir": "bidirectional", "positional_embedding_type": "standard"}
    return config | ({} if mix is None else {"attention_mix": mix})


MIXES = ("0x0.0p+0", None, "0x1.0000000000000p+0", "0x1.8p-2")


def random_model(seed: object, mix: str | None, *, dtype: str = "F32", n: int = 2) -> Model:
    """Return a random tiny model; some have two answers that always tie, some all biases, some no
    score.
    """
    rng = random.Random(f"addition {seed} {mix}")
    vocab, heads, mlp = rng.randint(2, 5), rng.randint(1, 3), rng.randint(1, 6)
    config = config_of(
        vocab,
        rng.randint(1, 4),
        rng.choice((1, 2, 3, 4)),
        heads,
        mlp,
        vocab + rng.choice((0, 0, 1, 2)),
        mix,
        n,
    )
    config["attention_dir"] = rng.choice(("causal", "bidirectional"))
    fine = rng.choice((1, 4, 1000))

    def entry() -> Fraction:
        return nearest(Fraction(rng.randint(-2 * fine, 2 * fine), fine), dtype)

    tensors = {
        name: filled(shape, entry)
        for name, shape in shapes(config).items()
        if ".b_" not in name or rng.random() < 0.5
    }
    if rng.random() < 0.3:
        a, b = rng.sample(range(config["d_vocab_out"]), 2)
        for row in tensors["unembed.W_U"]:
            row[a] = row[b]
        if "unembed.b_U" in tensors:
            tensors["unembed.b_U"][a] = tensors["unembed.b_U"][b]
    if rng.random() < 0.2:
        name = "blocks.0.attn.W_K"
        tensors[name] = filled(shapes(config)[name], lambda: Fraction(0))
    return Model(config, tensors, dtype)


def good_model(vocab: int, mix: str | None, seed: int = 0, noise: int = 40) -> Model:
    """Return a model that is mostly right: neurons i of ``b + a >= i`` kind, d_model = vocab,
    disturbed by thousandths.
    """
    rng = random.Random(f"good {vocab} {mix} {seed}")
    p, sums = vocab, 2 * vocab - 1
    config = config_of(p, 1, 1, 2, sums, p, mix)
    share = Fraction(1) if mix is not None and Fraction(float.fromhex(mix)) == 0 else Fraction(2)

    def near(value: Any) -> Fraction:
        return nearest(Fraction(value) + Fraction(rng.randint(-noise, noise), 4000), "F32")

    # The stream holds the sum of the tokens: two heads each give half of both, less what the second
    # keeps of itself.
    tensors: Document = {
        name: filled(shape, lambda: Fraction(0)) for name, shape in shapes(config).items()
    }
    tensors["embed.W_E"] = [[near(t)] for t in range(p)]
    tensors["blocks.0.attn.W_V"] = [[[near(16 * share)]], [[near(16 * share)]]]
    tensors["blocks.0.attn.W_O"] = [[[near(1)]], [[near(1)]]]
    unit = 32
    tensors["blocks.0.mlp.W_in"] = [[near(Fraction(1, unit))] * sums]
    tensors["blocks.0.mlp.b_in"] = [near(1 - s) for s in range(sums)]
    tensors["blocks.0.mlp.W_out"] = [[near(1 + s % 2)] for s in range(sums)]
    tensors["unembed.W_U"] = [[near(1) for _ in range(p)]]
    return Model(config, tensors)


def absorbing() -> Model:
    """Return a model that answers 0 because ``2^25 + 1 - 2^25 > 0``: added from the left, one is
    lost and nothing is left.

    In real arithmetic two of its four inputs are right; an allowed float32 execution has no right
    input.
    """
    config = config_of(2, 1, 1, 1, 3, 2, MIXES[0])
    tensors: Document = {name: filled(shape, lambda: 0) for name, shape in shapes(config).items()}
    tensors["blocks.0.mlp.b_in"] = [2**25, 1, 2**25]
    tensors["blocks.0.mlp.W_out"] = [[1], [1], [-1]]
    tensors["unembed.W_U"] = [[1, 0]]
    return Model(config, tensors)


@dataclass(frozen=True)
class Question:
    """Two operands in a context: per position the allowed tokens, which positions are operands, and
    the modulus of their sum.
    """

    tokens: Sequence[Sequence[int]]
    operands: tuple[int, int]
    modulus: int

    def inputs(self) -> list[tuple[int, ...]]:
        """Return all inputs, as tokens, by the first operand and then by the second."""
        return list(itertools.product(*self.tokens))

    def right(self, tokens: Sequence[int]) -> int:
        """Return the right output."""
        first, second = self.operands
        return (tokens[first] + tokens[second]) % self.modulus

    @property
    def task(self) -> Any:
        """How a certificate names the task."""
        return {"modular-addition": self.modulus}

    def places(self, tokens: Sequence[int]) -> list[int]:
        """Return the number of each token among those allowed."""
        return [allowed.index(t) for allowed, t in zip(self.tokens, tokens, strict=True)]

    def positions(self) -> list[Document]:
        """Return the positions as a certificate spells them."""
        found: list[Document] = []
        for position, allowed in enumerate(self.tokens):
            ranges: list[list[int]] = []
            for token in allowed:
                if ranges and ranges[-1][1] + 1 == token:
                    ranges[-1][1] = token
                else:
                    ranges.append([token, token])
            operand = position in self.operands
            found.append(
                {"tokens": ranges, "values": "own"} if operand else {"context": allowed[0]}
            )
        return found


class Largest(Question):
    """The question which of two tokens is the larger."""

    def right(self, tokens: Sequence[int]) -> int:
        """Return the right output."""
        return max(tokens[operand] for operand in self.operands)

    @property
    def task(self) -> Any:
        """How a certificate names the task."""
        return "max-of-k"


def usual(model: Model) -> Question:
    """Return the question of a model for two tokens: their sum modulo the vocabulary."""
    vocab = model.config["d_vocab"]
    return Question([range(vocab), range(vocab)], (0, 1), vocab)


def random_question(seed: object, model: Model) -> Question:
    """Return a question about a model: operands anywhere, each with some of the tokens."""
    rng = random.Random(f"question {seed}")
    vocab, n = model.config["d_vocab"], model.config["n_ctx"]
    first, second = sorted(rng.sample(range(n), 2))

    def some() -> list[int]:
        return sorted(rng.sample(range(vocab), rng.randint(1, vocab)))

    tokens = [some() if i in (first, second) else [rng.randrange(vocab)] for i in range(n)]
    return Question(tokens, (first, second), rng.randint(2, model.config["d_vocab_out"]))


@dataclass(frozen=True)
class Truth:
    """The margin of every input, by its tokens, and the weight of those answered right."""

    margins: dict[tuple[int, ...], Any]
    correct: int
    total: int


def _times(x: Vector, matrix: Sequence[Vector]) -> Vector:
    return [
        sum((value * row[j] for value, row in zip(x, matrix, strict=True)), start=0 * x[0])
        for j in range(len(matrix[0]))
    ]


def _plus(*vectors: Sequence[Any]) -> Vector:
    return [sum(entries[1:], start=entries[0]) for entries in zip(*vectors, strict=True)]


def logits(model: Model, *tokens: int) -> Vector:
    """Return the logits of one input, forward through the network."""
    config, tensors = model.config, model.tensors
    mix = Fraction(float.fromhex(config.get("attention_mix", "0x1.0p+0")))

    def number(value: Any) -> Any:
        return (
            Fraction(value)
            if mix == 0
            else mpmath.mpf(Fraction(value).numerator) / Fraction(value).denominator
        )

    def tensor(name: str) -> Any:
        found = tensors.get(name) or filled(shapes(config)[name], lambda: 0)
        return nested(found)

    def nested(x: Any) -> Any:
        return [nested(y) for y in x] if isinstance(x, list) else number(x)

    attention = {
        name: tensor(f"blocks.0.attn.{name}")
        for name in ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V", "b_O")
    }
    stream = [
        _plus(tensor("embed.W_E")[t], tensor("pos_embed.W_pos")[i]) for i, t in enumerate(tokens)
    ]
    out = attention["b_O"]
    for h in range(config["n_heads"]):
        q = _plus(_times(stream[-1], attention["W_Q"][h]), attention["b_Q"][h])
        keys = [_plus(_times(x, attention["W_K"][h]), attention["b_K"][h]) for x in stream]
        values = [_plus(_times(x, attention["W_V"][h]), attention["b_V"][h]) for x in stream]
        pattern = [number(1 - mix)] * len(tokens)
        if mix:
            scores = [
                sum(x * y for x, y in zip(q, key, strict=True)) / mpmath.sqrt(config["d_head"])
                for key in keys
            ]
            weights = [mpmath.exp(score - max(scores)) for score in scores]
            pattern = [number(mix) * weight / sum(weights) + number(1 - mix) for weight in weights]
        z = _plus(
            *([share * value for value in row] for share, row in zip(pattern, values, strict=True))
        )
        out = _plus(out, _times(z, attention["W_O"][h]))
    x = _plus(stream[-1], out)
    pre = _plus(_times(x, tensor("blocks.0.mlp.W_in")), tensor("blocks.0.mlp.b_in"))
    hidden = _times([max(value, 0 * value) for value in pre], tensor("blocks.0.mlp.W_out"))
    final = _plus(x, hidden, tensor("blocks.0.mlp.b_out"))
    return _plus(_times(final, tensor("unembed.W_U")), tensor("unembed.b_U"))


Weights = Sequence[Sequence[int]]


def truth(model: Model, weights: Weights | None = None, question: Question | None = None) -> Truth:
    """Return the outcome on every input."""
    asked, margins, correct, total = question or usual(model), {}, 0, 0
    with mpmath.workdps(DIGITS):
        for tokens in asked.inputs():
            found = logits(model, *tokens)
            margin = found.pop(asked.right(tokens)) - max(found)
            tiny = not isinstance(margin, Fraction) and abs(margin) < mpmath.mpf(10) ** -TIE
            margins[tokens] = 0 if tiny else margin
            places = asked.places(tokens)
            weight = prod(row[k] for row, k in zip(weights, places, strict=True)) if weights else 1
            total += weight
            correct += weight * (margins[tokens] > 0)
    return Truth(margins, correct, total)


def document(
    model: Model,
    sums: Document,
    weights: Weights | None = None,
    precision: int = 64,
    question: Question | None = None,
) -> Document:
    """Return a certificate that claims as little as possible."""
    asked = question or usual(model)
    rows = weights or [[1] * len(allowed) for allowed in asked.tokens]
    total = str(prod(map(sum, rows)))
    changes = {} if question is None else {"positions": question.positions()}
    statement = {
        "architecture": model.config,
        "correct_lower": "0",
        "correct_upper": total,
        "domain": domain_of(model.config, **changes),
        "model": f"sha256:{sha256(model.bytes).hexdigest()}",
        "scope": "uniform"
        if weights is None
        else {"product": [[str(w) for w in row] for row in rows]},
        "semantics": "real",
        "task": asked.task,
        "total": total,
    }
    proof = {"sums": sums, "operations": str(10**11), "precision": precision, "strategy": "vector"}
    written = {"format": "certify.certificate/2", "proof": proof, "statement": statement}
    found: dict[str, Any] = json.loads(json.dumps(written))
    return found


def random_pair(rng: random.Random, model: Model) -> Document:
    """Return matrices P and Q of any quality."""
    rank, size = rng.randint(1, 3), rng.choice((1, 20))
    left = [[rng.randint(-size, size) for _ in range(rank)] for _ in range(model.config["d_mlp"])]
    right = [
        [rng.randint(-size, size) for _ in range(model.config["d_vocab_out"])] for _ in range(rank)
    ]
    exponents = rng.sample((-3, 0, 0, 2, -40), 2)
    return {
        "left": {"exponent": exponents[0], "rows": left},
        "right": {"exponent": exponents[1], "rows": right},
        "settle": rng.randint(0, 1),
    }


def own_pair(model: Model, finer: int = 8) -> Document:
    """Return P = W_out W_U rounded to multiples of ``2^-finer`` and Q = 1: as good as hints are in
    practice.
    """
    w_out, w_u = model.tensors["blocks.0.mlp.W_out"], model.tensors["unembed.W_U"]
    whole = [
        _times([Fraction(x) for x in row], [[Fraction(x) for x in r] for r in w_u]) for row in w_out
    ]
    count = model.config["d_vocab_out"]
    return {
        "left": {"exponent": -finer, "rows": [[round(x * 2**finer) for x in row] for row in whole]},
        "right": {
            "exponent": 0,
            "rows": [[int(i == j) for j in range(count)] for i in range(count)],
        },
        "settle": 0,
    }


def activations(model: Model, question: Question | None = None) -> list[list[Fraction]]:
    """Return, for constant attention, a row for each token of each position: a neuron's input is a
    sum of one for each position.
    """
    asked = question or usual(model)
    base = [allowed[0] for allowed in asked.tokens]
    origin = _pre(model, *base)
    last = len(base) - 1
    rows = []
    for position, allowed in enumerate(asked.tokens):
        for token in allowed:
            row = _pre(model, *base[:position], token, *base[position + 1 :])
            rows.append(row if position == last else _plus(row, [-x for x in origin]))
    return rows


def _pre(model: Model, *tokens: int) -> list[Fraction]:
    """Return what the neurons read, as logits of a model whose MLP is left out and whose answers
    are the neurons.
    """
    config = {**model.config, "d_vocab_out": model.config["d_mlp"], "d_mlp": 1}
    tensors = {
        name: value
        for name, value in model.tensors.items()
        if "mlp" not in name and "unembed" not in name
    }
    width = model.config["d_model"]
    tensors |= {"blocks.0.mlp.W_in": [[0]] * width, "blocks.0.mlp.W_out": [[0] * width]}
    tensors |= {"unembed.W_U": model.tensors["blocks.0.mlp.W_in"]}
    if "blocks.0.mlp.b_in" in model.tensors:
        tensors["unembed.b_U"] = model.tensors["blocks.0.mlp.b_in"]
    return logits(Model(config, tensors), *tokens)


def random_switches(
    rng: random.Random, model: Model, *, fitting: bool, question: Question | None = None
) -> Document:
    """Return switches of any quality; ``fitting``: each close to one neuron's own activations."""
    mlp, tokens = model.config["d_mlp"], sum(map(len, (question or usual(model)).tokens))
    count = rng.randint(1, mlp)
    rows = [[rng.randint(-9, 9) for _ in range(tokens)] for _ in range(count)]
    scales = [rng.randint(1, 3) for _ in range(mlp)]
    neurons = [rng.randrange(count) for _ in range(mlp)]
    exponent = rng.choice((0, 1, 3))
    if fitting:
        table = activations(model, question)
        finest = max(value.denominator for row in table for value in row).bit_length() - 1
        exponent, unit = -min(6, finest), 2 ** min(6, finest)
        rows, neurons = (
            [[round(row[i] * unit) for row in table] for i in range(mlp)],
            list(range(mlp)),
        )
        scales = [1] * mlp
    return {"neurons": neurons, "scales": scales, "tables": {"exponent": exponent, "rows": rows}}
