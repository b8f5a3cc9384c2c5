"""The exact path matrices of models with one layer, one head and attention only.  (SPEC 4.4)"""

from dataclasses import dataclass

from checker.cells.enclosed import Enclosed, PathHint, enclose
from checker.ground.errors import require_support
from checker.ground.exact import (
    Matrix,
    Row,
    add_row,
    bits,
    multiply,
    product,
    rescale,
    transposed,
)
from checker.ground.ledger import Ledger
from checker.statement.model import Model

# What the path decomposition of 4.4 needs; a field that may be absent must be.
_PLAIN = {
    "n_layers": 1,
    "n_heads": 1,
    "attn_only": True,
    "normalization_type": None,
    "attention_mix": None,
    "readout": None,
}


@dataclass(frozen=True, slots=True)
class Paths:
    """The path matrices: scores over ``2^-score_scale``, logits over ``2^-value_scale``.

    ``eqke_low[q][t]``, ``eqkp[q][i]``, ``evou_low[t][j]``, ``pvou[i][j]``, ``eu_low[q][j]``.
    ``low`` and ``high`` enclose up to a constant of each row (a token, for EVOU), so that only
    differences within a
    row mean anything; they are the same object where the path is exact.  ``exact``: all three are.
    """

    eqke_low: tuple[Row, ...]
    eqke_high: tuple[Row, ...]
    eqkp: tuple[Row, ...]
    score_scale: int
    evou_low: tuple[Row, ...]
    evou_high: tuple[Row, ...]
    pvou: tuple[Row, ...]
    eu_low: tuple[Row, ...]
    eu_high: tuple[Row, ...]
    value_scale: int
    d_head: int
    exact: bool


def require_plain(model: Model) -> None:
    """Decline an architecture that the path decomposition does not describe.  (SPEC 4.4)"""
    for name, value in _PLAIN.items():
        require_support(
            model.config.get(name) == value,
            "SPEC-4.4",
            f"config field {name} is not one that cells are proved for",
        )


def _with_bias(
    left: Matrix, right: Matrix, bias: Matrix, ledger: Ledger
) -> tuple[Matrix, Matrix]:
    """Return two factors whose product is ``left right`` with the row ``bias`` added to every row:
    [left|1], [right;bias].
    """
    if not any(bias.rows[0]):
        return left, right
    scale = max(right.scale, bias.scale)
    rows = tuple((*row, 1 << left.scale) for row in left.rows)
    return Matrix(rows, left.scale), Matrix(
        rescale(right, scale, ledger).rows + rescale(bias, scale, ledger).rows, scale
    )


def _over(
    table: Enclosed, scale: int, ledger: Ledger
) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Return the rows of both ends over a finer scale, one object where they are one."""
    low = rescale(table[0], scale, ledger).rows
    return low, low if table[1] is table[0] else rescale(table[1], scale, ledger).rows


def decompose(
    model: Model, hints: dict[str, PathHint], ledger: Ledger, fine: int = 0
) -> Paths:
    """Return the path decomposition of the model: a path without a hint exactly, the others
    enclosed.  (SPEC 4.4, 6.5)

    Ensures: the scales are at least ``fine``.

    Cost: that of the additions of rows, of the chains of both position paths, and of the
          enclosures.
    """
    w = {name.rpartition(".")[2]: weight for name, weight in model.weights.items()}
    before = ledger.held
    query = add_row(w["W_E"], Matrix(w["W_pos"].rows[-1:], w["W_pos"].scale), ledger)
    constant = add_row(product(w["b_V"], w["W_O"], ledger), w["b_O"], ledger)
    scoring = [*_with_bias(query, w["W_Q"], w["b_Q"], ledger), transposed(w["W_K"])]
    moving = [w["W_V"], w["W_O"], w["W_U"]]
    eqke = enclose([*scoring, transposed(w["W_E"])], hints.get("qk"), ledger)
    evou = enclose([w["W_E"], *moving], hints.get("ov"), ledger)
    eu = enclose(
        _with_bias(add_row(query, constant, ledger), w["W_U"], w["b_U"], ledger),
        hints.get("direct"),
        ledger,
    )
    eqkp, pvou = (
        multiply([*scoring, transposed(w["W_pos"])], ledger),
        multiply([w["W_pos"], *moving], ledger),
    )
    score, value = (
        max(eqke[0].scale, eqkp.scale, fine),
        max(evou[0].scale, eu[0].scale, pvou.scale, fine),
    )
    evou_rows, eu_rows, pvou_rows = (
        _over(evou, value, ledger),
        _over(eu, value, ledger),
        rescale(pvou, value, ledger).rows,
    )
    scores = (*_over(eqke, score, ledger), rescale(eqkp, score, ledger).rows, score)
    tables = [*scores[:3], *evou_rows, pvou_rows, *eu_rows]
    # What the tables were made of is let go; they are what is held from here on.
    ledger.release(ledger.held - before)
    for table in {id(rows): rows for rows in tables}.values():
        ledger.hold(len(table) * len(table[0]), bits(Matrix(table, 0)))
    return Paths(
        *scores,
        *evou_rows,
        pvou_rows,
        *eu_rows,
        value,
        model.sizes["d_head"],
        not hints,
    )
