"""The heads of a model, each with the path matrices of a model of one head.  (SPEC-16.1)"""

from dataclasses import replace

from checker.cells.paths import Paths, decompose
from checker.cells.places import Places
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, add_row, product
from checker.ground.ledger import Ledger
from checker.statement.model import Model, part

MAX_HEADS = 4
"""A box of so many heads has eight vertices.  (SPEC-16.1)"""

_WIDE = {
    "n_layers": 1,
    "attn_only": True,
    "normalization_type": None,
    "attention_mix": None,
    "readout": None,
}
"""What wide cells need; a field that may be absent must be."""

_ATTENTION = "blocks.0.attn."
_OF_A_HEAD = ("W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V")


def require_wide(model: Model) -> None:
    """Decline an architecture that wide cells are not proved for.  (SPEC-16.1)"""
    for name, value in _WIDE.items():
        require_support(
            model.config.get(name) == value,
            "SPEC-16.1",
            f"config field {name} is not one that wide cells are proved for",
        )
    require_support(
        model.sizes["n_heads"] <= MAX_HEADS,
        "SPEC-16.1",
        f"wide cells are proved for at most {MAX_HEADS} heads",
    )


def decompose_heads(
    model: Model,
    named: Places,
    ledger: Ledger,
    fine: int = 0,
) -> list[Paths]:
    """Return the exact path matrices of every head, logits of all over one scale; EU of the first
    holds the constants of all, that of another is not used.  (SPEC-16.1)

    Cost: that of one decomposition for each head; for every head but the first, its b_V W_O and an
          addition per entry.
    """
    heads = range(model.sizes["n_heads"])
    weights = [
        {f"{_ATTENTION}{name}": part(model, name, head) for name in _OF_A_HEAD}
        for head in heads
    ]
    constant: Matrix = model.weights[f"{_ATTENTION}b_O"]
    for own in weights[1:]:
        moved = product(own[f"{_ATTENTION}b_V"], own[f"{_ATTENTION}W_O"], ledger)
        constant = add_row(constant, moved, ledger)
    found = []
    for own in weights:
        whole = model.weights | own | {f"{_ATTENTION}b_O": constant}
        alone = replace(model, weights=whole)
        found.append(decompose(alone, named, {}, ledger, fine))
    return found
