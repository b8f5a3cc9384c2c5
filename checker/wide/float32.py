"""How far a float32 execution may take a model with several heads, or an MLP.
(SPEC-16.12, SPEC-16.13)

The names of SPEC-16.12 stand beside the lines that form them.
"""

from dataclasses import replace
from fractions import Fraction

from checker.float32.cells import Slack, either
from checker.float32.propagation import (
    LARGEST,
    TINY,
    ZERO,
    AffineNorms,
    Computed,
    LogitDrift,
    affine_norms,
    apart,
    ceiling,
    frobenius,
    gamma,
    kappa_of,
    largest_norm,
    logit_norms,
    residual,
    score_errors,
    shortened,
    through_neurons,
)
from checker.ground import record
from checker.ground.errors import require_support
from checker.ground.exact import Matrix, plus, product
from checker.ground.ledger import Ledger
from checker.statement.model import Model
from checker.wide.heads import Heads, parts_of
from checker.wide.mlp import Neurons
from checker.wide.rounded import read_rows, root_above, through_norm


@record
class Moved:
    """What one head may do: theta, and Z and e_z as z, with |W_O|; what is reached on the way."""

    theta: Fraction
    z: Computed
    output: Fraction
    reached: tuple[Fraction, ...]


@record
class Read:
    """What attention reads: ``asked``, the rows of queries where they are exact, with ``last``
    their norm and error; ``x``: those of any row.
    """

    asked: Matrix | None
    last: Computed
    x: Computed


def _head(
    w: dict[str, Matrix],
    read: Read,
    exp: tuple[Fraction, Fraction],
    ledger: Ledger,
) -> Moved:
    """Return what one head may do.

    Cost: as in SPEC-12.3; of rows that are not exact, norms of weights.
    """
    eps_exp, eta_exp = exp
    n = len(w["W_pos"].rows)
    x = read.x
    maps = {
        letter: affine_norms(w[f"W_{letter}"], w[f"b_{letter}"], ledger)
        for letter in "QKV"
    }
    query, key, value = (own.image(x) for own in maps.values())
    if read.asked is not None:
        queries = plus(product(read.asked, w["W_Q"], ledger), w["b_Q"], ledger)
        query = Computed(largest_norm(queries, ledger), maps["Q"].error(read.last))
        key = Computed(either(w, "K", ledger), key.error)
        value = Computed(either(w, "V", ledger), value.error)
    scores = score_errors(query, key, len(w["W_Q"].rows[0]), eps_exp)
    kappa = kappa_of(n)
    alpha = 3 * eta_exp
    # z: a sum of n computed values by computed weights, which sum to at most 1 + kappa,
    # and what normalising these weights moves
    rounded = AffineNorms(n, 1 + kappa, ZERO).error(value)
    e_z = shortened(rounded + (kappa + 2 * n * alpha) * value.norm)
    reached = [own.reach(x.reached) for own in maps.values()]
    z = Computed(value.norm, e_z)
    output = frobenius(w["W_O"], ledger)
    return Moved(scores.theta, z, output, (*reached, *scores.reached, z.reached))


def _stream(
    whole: dict[str, Matrix],
    heads: list[Moved],
    last: Computed,
    width: int,
    ledger: Ledger,
) -> tuple[Computed, list[Fraction]]:
    """Return y and e_y, and what is reached on the way; ``last``: r and u r, ``width``: h.

    Cost: a norm.
    """
    bias = frobenius(whole["b_O"], ledger)
    # e_y: a sum of H h products, b_O and the computed residual
    sums = bias + last.reached
    moved = last.error
    norm = bias + last.norm
    for own in heads:
        sums += own.z.reached * own.output
        moved += own.z.error * own.output
        norm += own.z.norm * own.output
    e_y = shortened(moved + gamma(len(heads) * width + 2) * sums + TINY)
    y = Computed(norm, e_y)
    reached = [value for own in heads for value in own.reached]
    return y, [*reached, sums + e_y, y.reached]


def _to_logits(
    whole: dict[str, Matrix],
    neurons: Neurons | None,
    y: Computed,
    ledger: Ledger,
) -> LogitDrift:
    """Return B, and what is reached on the way, of a model without a final norm.

    Cost: norms, and the centring of W_U.
    """
    if neurons:  # 16.13
        reading = affine_norms(whole["W_in"], whole["b_in"], ledger)
        P = reading.reach(y.norm)
        return through_neurons(whole, reading, y, P, neurons.effects, ledger)
    logits = logit_norms(whole["W_U"], whole["b_U"], ledger)
    # B: what the error of y moves in a difference, and the rounding of two logits
    moved = y.error * apart(whole["W_U"], ledger)
    B = moved + 2 * logits.rounding(y.reached)
    return LogitDrift(B, [logits.reach(y.reached)])


def rounded_heads(
    model: Model,
    exp: tuple[Fraction, Fraction],
    heads: Heads,
    ledger: Ledger,
) -> tuple[Heads, list[Slack]]:
    """Return the heads, S_high as SPEC-16.14 has it, and for each of them how far any allowed
    execution may be from real arithmetic, B the same for all.  (SPEC-16.12)

    Raises: Declined (SPEC-16.12, SPEC-16.14) if a number might overflow.
    Cost:   that of SPEC-12.3 for each head, and 20 operations for each.
    """
    sizes = model.sizes
    width = sizes["d_head"]
    count = len(heads.tables)
    compared = 5 * sizes["d_vocab"] + 3 * sizes["n_ctx"] + 2 * sizes["d_vocab_out"]
    ledger.charge(mul=100, add=100, cmp=compared * count)
    whole = model.by_role()
    place = Matrix(whole["W_pos"].rows[-1:], whole["W_pos"].scale)
    asked = plus(whole["W_E"], place, ledger)
    last = residual(largest_norm(asked, ledger))
    R = largest_norm(whole["W_E"], ledger) + largest_norm(whole["W_pos"], ledger)
    x = residual(R)
    read = Read(asked, last, x)
    if heads.final:
        read = Read(None, last, read_rows(model, R, ledger))
    found = [_head(whole | own, read, exp, ledger) for own in parts_of(model)]
    y, reached = _stream(whole, found, last, width, ledger)
    final = heads.final
    if final:
        ended, final = through_norm(model, y, final, ledger)
    else:
        ended = _to_logits(whole, heads.neurons, y, ledger)
    largest = max(x.reached, read.x.reached, *reached, *ended.reached)
    require_support(
        largest < LARGEST, "SPEC-16.12", "a number might overflow in float32"
    )
    root = root_above(width)
    slacks = []
    for own, (paths, *_) in zip(found, heads.tables, strict=True):
        error = ceiling(2 * own.theta * root, paths.score_scale)
        slacks.append(Slack(error, ceiling(ended.bound, paths.value_scale)))
    return replace(heads, final=final), slacks
