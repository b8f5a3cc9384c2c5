"""Networks with one hidden layer on two one-hot inputs, written as a transformer, exactly.

Such a network has two tables of embeddings and two matrices::

    logits(x, y) = act([E_x[x], E_y[y]] W + b) U + c          the halves beside each other
    logits(x, y) = act(E_x[x] + E_y[y] + b) U + c             the sum

With W_x and W_y the upper and the lower rows of W (for the sum both are the unit matrix), both are
``act(E_x[x] W_x + E_y[y] W_y + b) U + c``.  A transformer for two tokens x, y whose pattern is 1 on
both positions (``attention_mix`` 0) computes the same, from the numbers of the file, their
negatives, 0 and 1 alone.  The stream has a block for x, a block for y and a block for what the MLP
writes, and starts with

    W_E[t] = [ -E_x[t] | E_y[t] | 0 ],     W_pos = 0.

One head adds to the last position the sum of E_x over both tokens, in the first block.  There

    -E_x[y] + (E_x[x] + E_x[y]) = E_x[x],

and the second block still holds E_y[y]: the first token passes through the head only, and the
second token cancels where it passes through both.  The MLP reads the two blocks by ``W_in = [W_x;
W_y; 0]`` and ``b_in = b`` and writes the third block, which alone is unembedded, so the direct path
from the tokens to the logits is exactly zero, and ``W_out W_U = U``: one of the two is U and the
other selects the block, whichever is smaller.

The head has two forms, and the one with fewer numbers is taken.  Either it copies the first block:
``W_V = [1; 0; 0]``, ``W_O = [-1 | 0 | 0]``, with as many columns as E_x.  Or the stream begins with
a block that holds the token as a one-hot vector, and the head looks it up: ``W_V = [1; 0; 0; 0]``,
``W_O = [0 | E_x | 0 | 0]``, with as many columns as there are tokens.

Nothing is rounded.  In floating point the cancellation rounds; a proof about the reals does not.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

from certify.errors import BadInput, Unsupported
from certify.model.config import Config, config_from_dict
from certify.model.contents import Array
from certify.model.tensors import Tensor

NAME = "one-hidden-layer"
TITLE = "one hidden layer on two one-hot inputs"

WIDEST_STREAM = 1024
"""The largest d_model that is supported."""

_ROLES = (
    ("E_x", r"W_x|W_E_a|(?:embedding_?1|embedding_left|lembed)\.weight"),
    ("E_y", r"W_y|W_E_b|(?:embedding_?2|embedding_right|rembed)\.weight"),
    ("W", r"W|(?:linear_?1?|fc_?1|hidden)\.weight"),
    ("b", r"b|(?:linear_?1?|fc_?1|hidden)\.bias"),
    ("U", r"W_U|(?:unembed(?:ding)?|umbedding|linear_?2|fc_?2|output|out)\.weight"),
    ("c", r"b_U|(?:unembed(?:ding)?|umbedding|linear_?2|fc_?2|output|out)\.bias"),
)


@dataclass(frozen=True, slots=True)
class Network:
    """A network of the module docstring; W and b None where there is none.

    E_x, E_y ``[d_vocab, width]``; W ``[2 width, neurons]``; U ``[neurons, answers]``.
    """

    E_x: Tensor
    E_y: Tensor
    W: Tensor | None
    b: Tensor | None
    U: Tensor
    c: Tensor | None


def roles_of(names: Mapping[str, object]) -> dict[str, str]:
    """Return the roles of those names that stand for a part of such a network, none if they are not
    two tables.
    """
    found = {
        name: role
        for name in names
        for role, pattern in _ROLES
        if re.fullmatch(pattern, name, re.IGNORECASE if "." in name else 0)
    }
    return found if {"E_x", "E_y"} <= set(found.values()) else {}


def network_of(roles: Mapping[str, str], tensors: Mapping[str, Array], origin: str) -> Network:
    """Return the network that tensors form; matrices of ``nn.Linear`` are transposed.

    Requires: ``roles`` as ``roles_of`` returns them.
    Errors:   ``BadInput`` if shapes do not fit together; ``Unsupported`` for other networks.
    """
    found: dict[str, Array] = {}
    for name, role in roles.items():
        if role in found:
            raise BadInput(f"{origin}: two tensors stand for {role}, one of them {name}")
        wanted = 1 if role in "bc" else 2
        shape = tensors[name].shape
        if len(shape) != wanted or 0 in shape:
            raise BadInput(
                f"{origin}: tensor {name} has shape {list(shape)}, expected {wanted} axes, none"
                " empty"
            )
        linear = role in ("W", "U") and name.endswith(".weight")
        found[role] = tensors[name].T if linear else tensors[name]
    if "W" not in found and {"W_E_a", "W_E_b"} & set(roles):
        raise Unsupported(
            f"{origin}: tables W_E_a and W_E_b without a matrix W belong to a network that"
            " multiplies its embeddings, which is not supported"
        )
    if "U" not in found and "W" in found:
        # The only matrix is the unembedding.
        found["U"] = found.pop("W")
        if "b" in found:
            found["c"] = found.pop("b")
    if "U" not in found:
        raise BadInput(f"{origin}: a network with two tables of embeddings, but no other matrix")
    network = Network(
        found["E_x"], found["E_y"], found.get("W"), found.get("b"), found["U"], found.get("c")
    )
    _require_shapes(network, origin)
    return network


def as_transformer(network: Network, act_fn: str, origin: str) -> tuple[dict[str, Tensor], Config]:
    """Return the tensors and the configuration of the transformer that computes the same.

    Ensures: in exact arithmetic the logits of every pair are those of the network.
    Errors:  ``Unsupported`` if the stream would be too wide.
    """
    vocab, width = network.E_x.shape
    neurons, answers = network.U.shape
    written = min(neurons, answers)
    kind = np.result_type(*_parts(network))
    zero, one = kind.type(0), kind.type(1)
    looks_up = _numbers(vocab, vocab, network) < _numbers(0, width, network)
    token = vocab if looks_up else 0
    first = slice(token, token + width)
    second = slice(first.stop, first.stop + network.E_y.shape[1])
    third = slice(second.stop, second.stop + written)
    d_model = third.stop
    if d_model > WIDEST_STREAM:
        raise Unsupported(
            f"{origin}: written as a transformer, its stream would be {d_model} wide, supported is"
            f" at most {WIDEST_STREAM}"
        )
    d_head = vocab if looks_up else width

    def zeros(*shape: int) -> Tensor:
        return np.full(shape, zero, dtype=kind)

    W_E = zeros(vocab, d_model)
    W_E[:, first] = zero - network.E_x
    W_E[:, second] = network.E_y
    W_V = zeros(1, d_model, d_head)
    W_O = zeros(1, d_head, d_model)
    if looks_up:
        np.fill_diagonal(W_E[:, :token], one)
        np.fill_diagonal(W_V[0, :token], one)
        W_O[0, :, first] = network.E_x
    else:
        np.fill_diagonal(W_V[0, first], one)
        np.fill_diagonal(W_O[0, :, first], zero - one)
    W_in = zeros(d_model, neurons)
    if network.W is None:
        np.fill_diagonal(W_in[first], one)
        np.fill_diagonal(W_in[second], one)
    else:
        W_in[first] = network.W[:width]
        W_in[second] = network.W[width:]
    W_out = zeros(neurons, d_model)
    W_U = zeros(d_model, answers)
    if answers <= neurons:
        W_out[:, third] = network.U
        np.fill_diagonal(W_U[third], one)
    else:
        np.fill_diagonal(W_out[:, third], one)
        W_U[third] = network.U
    tensors: dict[str, Tensor] = {
        "embed.W_E": W_E,
        "pos_embed.W_pos": zeros(2, d_model),
        "blocks.0.attn.W_Q": zeros(1, d_model, d_head),
        "blocks.0.attn.W_K": zeros(1, d_model, d_head),
        "blocks.0.attn.W_V": W_V,
        "blocks.0.attn.W_O": W_O,
        "blocks.0.mlp.W_in": W_in,
        "blocks.0.mlp.W_out": W_out,
        "unembed.W_U": W_U,
    }
    for name, bias in (("blocks.0.mlp.b_in", network.b), ("unembed.b_U", network.c)):
        if bias is not None:
            tensors[name] = bias.astype(kind)
    config = Config(
        d_vocab=vocab,
        d_vocab_out=answers,
        n_ctx=2,
        d_model=d_model,
        d_head=d_head,
        attn_only=False,
        act_fn=act_fn,
        d_mlp=neurons,
        attention_mix=(0.0).hex(),
    )
    return tensors, config_from_dict(config.as_dict(), origin)


def _parts(network: Network) -> list[Tensor]:
    """Return the arrays of a network."""
    parts = (network.E_x, network.E_y, network.W, network.b, network.U, network.c)
    return [part for part in parts if part is not None]


def _numbers(token: int, d_head: int, network: Network) -> int:
    """Return how many numbers the tensors have with a block of ``token`` entries for the token."""
    vocab, width = network.E_x.shape
    neurons, answers = network.U.shape
    d_model = token + width + network.E_y.shape[1] + min(neurons, answers)
    return int(d_model * (vocab + 4 * d_head + 2 * neurons + answers))


def _require_shapes(network: Network, origin: str) -> None:
    """Refuse parts that do not fit together.

    Errors: ``BadInput``, ``Unsupported``.
    """
    (vocab, width), (vocab_y, width_y) = network.E_x.shape, network.E_y.shape
    neurons, answers = network.U.shape
    if vocab != vocab_y:
        raise Unsupported(
            f"{origin}: the two tables have {vocab} and {vocab_y} tokens, supported are as many"
        )
    joined = network.W is not None
    rows, columns = network.W.shape if network.W is not None else (width, width)
    if joined and rows != width + width_y:
        raise Unsupported(
            f"{origin}: the matrix after the embeddings has {rows} rows, supported are"
            f" {width + width_y}, both embeddings beside each other (is there a second hidden"
            " layer?)"
        )
    if not joined and width != width_y:
        raise BadInput(f"{origin}: embeddings of {width} and {width_y} entries cannot be added")
    if columns != neurons:
        raise BadInput(
            f"{origin}: the unembedding reads {neurons} neurons, the hidden layer has {columns}"
        )
    for bias, size in ((network.b, neurons), (network.c, answers)):
        if bias is not None and bias.shape != (size,):
            raise BadInput(f"{origin}: a bias has shape {list(bias.shape)}, expected [{size}]")
