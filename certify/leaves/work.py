"""What the checker counts for evaluating inputs one after the other.  (SPEC-14.8)"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from certify.model.file import Model
from certify.model.tensors import hidden_size
from certify.question.domain import Domain

Indices = NDArray[np.int64]


def operations_of(model: Model, domain: Domain, evaluated: Indices, precision: int) -> int:
    """Return what the checker counts for evaluating these inputs one after the other, at one
    precision.  (SPEC-14.8)
    """
    config, n = model.config, model.config.n_ctx
    if not len(evaluated):
        return 0
    shared = np.zeros(len(evaluated), dtype=np.int64)
    if config.attention_dir == "causal":
        places = np.stack(np.unravel_index(evaluated, domain.sizes), axis=1)
        shared[1:] = (places[1:] != places[:-1]).argmax(axis=1)
    lengths, repeats = np.unique(shared, return_counts=True)
    factor = 1 + precision // 256
    single: int = sum(
        times * _cost(model, domain.read, common)
        for common, times in zip(lengths.tolist(), repeats.tolist(), strict=True)
    )
    return factor * single + 2 * n * len(evaluated)


def _cost(model: Model, read: tuple[int, ...], common: int) -> int:
    """Return the operations for one input of which a prefix of so many tokens is there."""
    config, n = model.config, model.config.n_ctx
    d, width, layers, heads = (config.d_model, config.d_head, config.n_layers, config.n_heads)
    # In the last layer only positions that are read are computed, or all if they are pooled.
    ended_last = [place for place in read or range(n) if place >= common]
    new, inner, mlp = n - common, heads * width, config.d_mlp or 0
    keys = (n * (n + 1) - common * (common + 1)) // 2 if config.attention_dir == "causal" else n * n
    causal = config.attention_dir == "causal"
    last_keys = sum(place + 1 if causal else n for place in ended_last)
    pairs = heads * (keys * (layers - 1) + last_keys)
    ended = new * (layers - 1) + len(ended_last)
    units = ended * mlp
    smooth = 0 if config.act_fn == "relu" else units
    norms = new * (layers + 1) + (ended if mlp else 0)
    scaled = d * norms if config.normalization_type else 0
    blocks = (inner + 1) * d + ((d + 1) * mlp + (mlp + 1) * d if mlp else 0)
    reads = len(read) or 1
    hidden = hidden_size(model.tensors)
    ends = (
        (d + 1) * hidden + (hidden + 1) * config.d_vocab_out
        if config.pooled
        else (d + 1) * config.d_vocab_out
    )
    linear = new * layers * (d + 1) * 3 * inner + ended * blocks + reads * ends + 2 * width * pairs
    adds = 2 * pairs + d * (new + 2 * ended) + (n * d if config.pooled else 0)
    smooth_work, norm_work = 14 * smooth, 10 * scaled
    return (
        2 * linear + adds + 6 * pairs + units + smooth_work + norm_work + reads * config.d_vocab_out
    )
