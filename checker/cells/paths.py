"""The exact path matrices of models with one layer, one head and attention only.  (SPEC-4.4)"""

from checker.cells.enclosed import Enclosed, PathHint, enclose
from checker.cells.places import Places
from checker.ground import record
from checker.ground.errors import require_support
from checker.ground.exact import (
    Matrix,
    Row,
    below,
    longest,
    multiply,
    plus,
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


Rows = tuple[Row, ...]


@record
class Paths:
    """The path matrices: scores over ``2^-score_scale``, logits over ``2^-value_scale``.

    ``eqke_low[q][t]``, ``eqkp[q][i]``, ``evou_low[t][j]``, ``pvou[i][j]``, ``eu_low[q][j]``.
    ``low`` and ``high`` enclose up to a constant of each row (a token, for EVOU), so that only
    differences within a row mean anything; they are the same object where the path is exact.
    ``exact``: all three are.  ``right``: by token, the right output where it is the maximum.
    """

    eqke_low: Rows
    eqke_high: Rows
    eqkp: Rows
    score_scale: int
    evou_low: Rows
    evou_high: Rows
    pvou: Rows
    eu_low: Rows
    eu_high: Rows
    value_scale: int
    d_head: int
    exact: bool
    right: Row


def require_plain(model: Model) -> None:
    """Decline an architecture that the path decomposition does not describe.  (SPEC-4.4)"""
    for name, value in _PLAIN.items():
        require_support(
            model.config.get(name) == value,
            "SPEC-4.4",
            f"config field {name} is not one that cells are proved for",
        )


def _with_bias(
    left: Matrix, right: Matrix, bias: Matrix, ledger: Ledger
) -> list[Matrix]:
    """Return two factors whose product is ``left right`` with the row ``bias`` added to every row:
    [left|1], [right;bias].
    """
    if not any(bias.rows[0]):
        return [left, right]
    ones = tuple((*row, 1 << left.scale) for row in left.rows)
    return [Matrix(ones, left.scale), below(right, bias, ledger)]


def _over(table: Enclosed, scale: int, ledger: Ledger) -> tuple[Rows, Rows]:
    """Return the rows of both ends over a finer scale, one object where they are one."""
    low, high = table
    rows = rescale(low, scale, ledger).rows
    return rows, rows if high is low else rescale(high, scale, ledger).rows


def _hold(tables: list[Rows], ledger: Ledger) -> None:
    """Count tables as held, each object once."""
    distinct = {id(rows): rows for rows in tables}
    for table in distinct.values():
        ledger.hold(len(table) * len(table[0]), longest(table))


def decompose(
    model: Model,
    named: Places,
    hints: dict[str, PathHint],
    ledger: Ledger,
    fine: int = 0,
) -> Paths:
    """Return the path decomposition of the model, over the tokens that are named: a path without a
    hint exactly, the others enclosed.  (SPEC-4.4, SPEC-6.5, SPEC-7.16)

    Ensures: the scales are at least ``fine``.

    Cost: that of the additions of rows, of the chains of both position paths, and of the
          enclosures.
    """
    before = ledger.held
    w = model.by_role()
    embed = named.rows(w["W_E"])
    places = w["W_pos"]
    query = plus(embed, places.cut(-1), ledger)  # Q
    output = w["W_O"]
    constant = plus(product(w["b_V"], output, ledger), w["b_O"], ledger)
    asking = _with_bias(query, w["W_Q"], w["b_Q"], ledger)
    scoring = [*asking, transposed(w["W_K"])]
    moving = [w["W_V"], output, w["W_U"]]
    eqke = enclose([*scoring, transposed(embed)], hints.get("qk"), ledger)
    evou = enclose([embed, *moving], hints.get("ov"), ledger)
    skipped = plus(query, constant, ledger)
    reading = _with_bias(skipped, w["W_U"], w["b_U"], ledger)
    eu = enclose(reading, hints.get("direct"), ledger)
    eqkp = multiply([*scoring, transposed(places)], ledger)
    pvou = multiply([places, *moving], ledger)
    score = max(eqke[0].scale, eqkp.scale, fine)
    value = max(evou[0].scale, eu[0].scale, pvou.scale, fine)
    scores = (*_over(eqke, score, ledger), rescale(eqkp, score, ledger).rows)
    values = (*_over(evou, value, ledger), rescale(pvou, value, ledger).rows)
    direct = _over(eu, value, ledger)
    # What the tables were made of is let go.
    ledger.release(ledger.held - before)
    _hold([*scores, *values, *direct], ledger)
    return Paths(
        *scores,
        score,
        *values,
        *direct,
        value,
        model.sizes["d_head"],
        not hints,
        named.right,
    )
