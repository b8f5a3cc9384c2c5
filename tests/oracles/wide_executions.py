"""Float32 executions of the program of SPEC-16.12 to SPEC-16.14: several heads, layer norm or a
ReLU MLP, with the order of each sum chosen by the caller, as in `executions.py`.

Everything is numpy float32.  The executions show what can happen; they prove nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import networks
import numpy as np
from executions import Dot
from float32 import Exp, Single
from models import Model
from numpy.typing import NDArray

ATTENTION, MLP = "blocks.0.attn.", "blocks.0.mlp."


@dataclass(frozen=True)
class Choices:
    """What an execution chooses besides orders.

    ``scaled``, ``shared``: whether scores, and weights, are multiplied by a reciprocal; ``single``:
    heads summed one by one; ``last``: residuals added last; ``meant``, ``inverted``: whether means,
    and rows, are multiplied by a reciprocal.
    """

    scaled: bool = False
    shared: bool = False
    single: bool = False
    last: bool = False
    meant: bool = False
    inverted: bool = False


@dataclass(frozen=True)
class Stages:
    """What is computed for each input of a batch: ``read`` [batch, n, d], the rows that attention
    reads; ``centred`` and ``end`` [batch, d], at the end; ``y`` [batch, d]; ``logits``.
    """

    read: Single
    y: Single
    centred: Single
    end: Single
    logits: Single


def arrays(model: Model) -> dict[str, Single]:
    """Return all tensors in float32, absent biases zero."""
    found = {}
    for name, shape, _ in networks.shapes(model.config, 0):
        value = model.tensors.get(name)
        found[name] = np.zeros(shape, np.float32) if value is None else _array(value)
    return found


def _array(value: Any) -> Single:
    def plain(part: Any) -> Any:
        return [plain(x) for x in part] if isinstance(part, list) else float(part)

    wide = np.array(plain(value), dtype=np.float64)
    narrow = wide.astype(np.float32)
    if not np.array_equal(wide, narrow):
        raise ValueError("a weight is not float32")
    return narrow


def columns(x: Single) -> list[Single]:
    return [x[:, i : i + 1] for i in range(x.shape[1])]


def normed(
    model: Model, w: dict[str, Single], name: str, x: Single, dot: Dot, chosen: Choices
) -> tuple[Single, Single]:
    """Return the centred rows, and the normalised ones."""
    kind = model.config["normalization_type"]
    if kind is None:
        return x, x
    d = np.float32(x.shape[1])

    def scaled(total: Single) -> Single:
        return total * (np.float32(1) / d) if chosen.meant else total / d

    centred = x - scaled(dot("mean", [], [], columns(x)))
    parts = columns(centred)
    eps = np.float32(float.fromhex(model.config["eps"]))
    root = np.sqrt(scaled(dot("variance", parts, parts, [])) + eps)
    found = centred * (np.float32(1) / root) if chosen.inverted else centred / root
    if kind == "LN":
        found = found * w[f"{name}.w"] + w[f"{name}.b"]
    return centred, found


def execute(model: Model, tokens: NDArray[np.int64], dot: Dot, exp: Exp, chosen: Choices) -> Stages:
    """Return one execution for ``tokens`` [batch, n]."""
    w, config = arrays(model), model.config

    def product(stage: str, x: Single, weight: Single, *more: Single) -> Single:
        return dot(stage, columns(x), list(weight[:, None]), list(more))

    def head(letter: str, k: int, x: Single) -> Single:
        weight, bias = (w[f"{ATTENTION}{name}_{letter}"][k] for name in ("W", "b"))
        return product(letter, x, weight, bias[None])

    x = [w["embed.W_E"][tokens[:, i]] + w["pos_embed.W_pos"][i] for i in range(tokens.shape[1])]
    rows = [normed(model, w, "blocks.0.ln1", row, dot, chosen)[1] for row in x]
    mixed = []
    for k in range(config["n_heads"]):
        query = head("Q", k, rows[-1])
        keys, values = ([head(letter, k, row) for row in rows] for letter in "KV")
        root = np.sqrt(np.float32(config["d_head"]))
        dots = np.concatenate(
            [dot("score", columns(query), columns(key), []) for key in keys], axis=1
        )
        scores = dots * (np.float32(1) / root) if chosen.scaled else dots / root
        weights = exp(scores - scores.max(axis=1, keepdims=True))
        total = dot("sum", [], [], columns(weights))
        pattern = weights * (np.float32(1) / total) if chosen.shared else weights / total
        mixed.append(dot("mixed", columns(pattern), values, []))
    y = _summed(w[f"{ATTENTION}W_O"], w[f"{ATTENTION}b_O"], x[-1], mixed, dot, chosen)
    f = y
    if not config["attn_only"]:
        pre = product("neurons", y, w[f"{MLP}W_in"], w[f"{MLP}b_in"][None])
        active = np.maximum(pre, np.float32(0))
        more: list[Single] = [w[f"{MLP}b_out"][None], *([] if chosen.last else [y])]
        out = product("out", active, w[f"{MLP}W_out"], *more)
        f = y + out if chosen.last else out
    centred, end = normed(model, w, "ln_final", f, dot, chosen)
    logits = product("logits", end, w["unembed.W_U"], w["unembed.b_U"][None])
    return Stages(np.stack(rows, axis=1), y, centred, end, logits)


def _summed(
    W_O: Single, b_O: Single, residual: Single, mixed: Sequence[Single], dot: Dot, chosen: Choices
) -> Single:
    """Return the residual with all heads' parts added."""
    more = [b_O[None], *([] if chosen.last else [residual])]
    if chosen.single:
        pairs = zip(mixed, W_O, strict=True)
        parts = [dot("output", columns(z), list(w[:, None]), []) for z, w in pairs]
        outer = dot("heads", [], [], [*parts, *more])
    else:
        stacked = W_O.reshape(-1, W_O.shape[2])
        outer = dot("output", columns(np.concatenate(mixed, axis=1)), list(stacked[:, None]), more)
    return residual + outer if chosen.last else outer


def torch_logits(torch: Any, model: Model, tokens: NDArray[np.int64]) -> Single:
    """Return what PyTorch computes in float32, with its own products, softmax and means."""
    config = model.config
    w = {name: torch.from_numpy(array) for name, array in arrays(model).items()}
    kind = config["normalization_type"]

    def norm(name: str, x: Any) -> Any:
        if kind is None:
            return x
        x = x - x.mean(-1, keepdim=True)
        x = x / (x.pow(2).mean(-1, keepdim=True) + float.fromhex(config["eps"])).sqrt()
        return x * w[f"{name}.w"] + w[f"{name}.b"] if kind == "LN" else x

    x = w["embed.W_E"][torch.from_numpy(tokens)] + w["pos_embed.W_pos"]
    rows = norm("blocks.0.ln1", x)
    q, k, v = (
        torch.einsum("bnd,hda->bhna", rows, w[f"{ATTENTION}W_{a}"])
        + w[f"{ATTENTION}b_{a}"][None, :, None]
        for a in "QKV"
    )
    scores = q[:, :, -1:] @ k.transpose(-1, -2) / config["d_head"] ** 0.5
    mixed = (scores.softmax(-1) @ v)[:, :, 0]
    y = x[:, -1] + (torch.einsum("bha,had->bd", mixed, w[f"{ATTENTION}W_O"]) + w[f"{ATTENTION}b_O"])
    if not config["attn_only"]:
        pre = y @ w[f"{MLP}W_in"] + w[f"{MLP}b_in"]
        y = y + (pre.relu() @ w[f"{MLP}W_out"] + w[f"{MLP}b_out"])
    found: Single = (norm("ln_final", y) @ w["unembed.W_U"] + w["unembed.b_U"]).numpy()
    return found
