"""The heads of a model, each with the path matrices of a model of one head.
(SPEC-16.1, SPEC-16.9, SPEC-16.10)
"""

from dataclasses import replace

from checker.cells.paths import Paths, decompose
from checker.cells.places import Places
from checker.ground import record
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, beside, plus, product
from checker.ground.ledger import Ledger
from checker.statement.model import Model, part
from checker.wide.final import Final, final_of, reading_columns
from checker.wide.mlp import Neurons
from checker.wide.norm import (
    deviation,
    ends_of,
    norm_row,
    normed_heads,
    scaled_rows,
)

MAX_HEADS = 4
"""A box of so many heads has eight vertices.  (SPEC-16.1)"""

_WIDE = {
    "n_layers": 1,
    "attention_mix": None,
    "readout": None,
}
"""What wide cells need; a field that may be absent must be."""

_ATTENTION = "blocks.0.attn."
_OF_A_HEAD = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V")


@record
class Heads:
    """The tables of every head: one for all positions, or one for each where rows are normed before
    attention; then there is a final norm too.
    """

    tables: list[list[Paths]]
    final: Final | None
    neurons: Neurons | None


def require_wide(model: Model) -> None:
    """Decline an architecture that wide cells are not proved for.  (SPEC-16.1)"""
    for name, value in _WIDE.items():
        require_support(
            model.config.get(name) == value,
            "SPEC-16.1",
            f"config field {name} is not one that wide cells are proved for",
        )
    plain = (
        model.config["normalization_type"] is None and model.config["act_fn"] == "relu"
    )
    require_support(
        plain or model.config["attn_only"] is True,
        "SPEC-16.1",
        "wide cells are proved for an MLP with relu and no normalisation only",
    )
    require_support(
        model.sizes["n_heads"] <= MAX_HEADS,
        "SPEC-16.1",
        f"wide cells are proved for at most {MAX_HEADS} heads",
    )


def parts_of(model: Model) -> list[dict[str, Matrix]]:
    """Return the weights of every head by the last parts of their names."""
    heads = range(model.sizes["n_heads"])
    return [{name: part(model, name, head) for name in _OF_A_HEAD} for head in heads]


def _constant(
    heads: list[dict[str, Matrix]],
    start: Matrix,
    ledger: Ledger,
) -> Matrix:
    """Return a row and b_V W_O of these heads.

    Cost: the products, and an addition per entry.
    """
    found = start
    for head in heads:
        moved = product(head["b_V"], head["W_O"], ledger)
        found = plus(found, moved, ledger)
    return found


def heads_of(model: Model, named: Places, ledger: Ledger, fine: int = 0) -> Heads:
    """Return the tables of every head, logits of all over one scale; EU of the first holds the
    constants of all, that of another is not used.  (SPEC-16.1)

    Cost: that of one decomposition for each head; for every head but the first, its b_V W_O and an
          addition per entry.  With a norm SPEC-16.9 and SPEC-16.10.
    """
    heads = parts_of(model)
    if model.config["normalization_type"] is not None:
        return _normed(model, heads, named, ledger)
    own = model.weights[f"{_ATTENTION}b_O"]
    constant = _constant(heads[1:], own, ledger)
    read, neurons = _with_neurons(model, ledger)
    found = []
    for head in heads:
        named_weights = {f"{_ATTENTION}{name}": head[name] for name in head}
        whole = model.weights | read | named_weights | {f"{_ATTENTION}b_O": constant}
        alone = replace(model, weights=whole)
        found.append([decompose(alone, named, {}, ledger, fine)])
    return Heads(found, None, neurons)


def _with_neurons(
    model: Model,
    ledger: Ledger,
) -> tuple[dict[str, Matrix], Neurons | None]:
    """Return W_U and b_U with a column for every neuron, and what neurons do; nothing without an
    MLP.  (SPEC-16.11)

    Cost: the products W_out W_U and b_out W_U, an addition per output.
    """
    if "d_mlp" not in model.sizes:
        return {}, None
    w = model.by_role()
    moved = product(w["b_out"], w["W_U"], ledger)
    bias = plus(w["b_U"], moved, ledger)
    read = {
        "unembed.W_U": beside(w["W_U"], w["W_in"], ledger),
        "unembed.b_U": beside(bias, w["b_in"], ledger),
    }
    effects = product(w["W_out"], w["W_U"], ledger)
    return read, Neurons(effects, model.sizes["d_vocab_out"])


def _normed(
    model: Model,
    heads: list[dict[str, Matrix]],
    named: Places,
    ledger: Ledger,
) -> Heads:
    """Return the tables of a model with layer norm."""
    before = norm_row(model, "blocks.0.ln1.w", 1)
    shift = norm_row(model, "blocks.0.ln1.b", 0)
    folded = []
    for head in heads:
        own = dict(head)
        for letter in "QKV":  # W' = diag(w) W, b' = b W + b_W
            moved = product(shift, head[f"W_{letter}"], ledger)
            own[f"b_{letter}"] = plus(moved, head[f"b_{letter}"], ledger)
            own[f"W_{letter}"] = scaled_rows(head[f"W_{letter}"], before, ledger)
        folded.append(own)
    unembed = model.weights["unembed.W_U"]
    after = norm_row(model, "ln_final.w", 1)
    columns = reading_columns(unembed, after, ledger)
    positions = model.weights["pos_embed.W_pos"]
    last = Matrix(positions.rows[-1:], positions.scale)
    asked = plus(named.rows(model.weights["embed.W_E"]), last, ledger)
    constant = _constant(folded, model.weights[f"{_ATTENTION}b_O"], ledger)
    exact = product(plus(asked, constant, ledger), columns, ledger)
    both = [[(value, value) for value in row] for row in exact.rows]
    direct = ends_of(both, exact.scale)
    tables = normed_heads(model, folded, named, columns, direct, ledger)
    final = final_of(
        deviation(model),
        norm_row(model, "ln_final.b", 0),
        unembed,
        model.weights["unembed.b_U"],
        tables,
        ledger,
    )
    return Heads(tables, final, None)
