"""Hints for enclosing a path instead of multiplying it out, by name, and what they give, in
float64.  (SPEC-6.5 to SPEC-6.8)

A path is a chain of factors, as the checker forms them (Q = W_E + W_pos[n-1]; a bias that is not
zero widens the chain
by a column of ones)::

    qk      Q W_Q W_K^T W_E^T        row: query, column: key token
    ov      W_E W_V W_O W_U          row: token, column: answer
    direct  (Q + const) W_U          row: query, column: answer

A hint is the JSON that goes into a certificate: which factors are formed, which low-rank parts are
taken off, and how the rest is bounded.  ``estimate`` evaluates one by the checker's formulas
without rounding. Nothing here proves anything: a hint that was badly chosen makes an enclosure
wide, never false.

Source: the names are those of the released code of arXiv 2406.11779 (``attention_error_handling``,
        ``EUPU_handling``);
``rank-R`` is weighted Cauchy-Schwarz.  Unlike there, the cross terms of a rank-one split are part
of the approximation,
and the direction of ``svd_query+max_diff`` is scaled like a mean.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from certify.cells.published import (
    DIRECT_EXACT,
    DIRECT_QUADRATIC,
    QK_EXACT,
    QK_LOW_RANK,
    QK_QUADRATIC,
)
from certify.certificate.document import matrix
from certify.errors import BadInput
from certify.model.config import Config
from certify.model.file import Model

Array: TypeAlias = NDArray[np.float64]
Hint: TypeAlias = dict[str, Any]

EXACT = "exact"
PUBLISHED_QK = (*QK_EXACT, *QK_LOW_RANK, *QK_QUADRATIC)
PUBLISHED_DIRECT = (*DIRECT_EXACT, *DIRECT_QUADRATIC)
RANK = re.compile(r"rank-([1-9][0-9]{0,3})")
SQUARINGS = 4
MOST_HIDDEN = 32
"""The most directions of a middle factor that no row or column sees and that are peeled off."""
RANGE: Hint = {"rule": "range"}


def names() -> dict[str, tuple[str, ...]]:
    """Return the names of every path's enclosures; ``rank-R`` stands for any R from 1."""
    return {
        "qk": (EXACT, *PUBLISHED_QK, "rank-R"),
        "ov": (EXACT, "rank-R"),
        "direct": (EXACT, *PUBLISHED_DIRECT, "rank-R"),
    }


def is_name(path: str, name: str) -> bool:
    """Return whether this path has an enclosure of this name."""
    return (name in names()[path] and name != "rank-R") or RANK.fullmatch(name) is not None


def unexplained_dimension(config: Config, strategy: str, chosen: Mapping[str, str]) -> int:
    """Return how many numbers of the model a proof looks at one by one, with these enclosures of
    its paths.

    Brute force looks at every answer for every input, V^(k+1).  For the others an exact path counts
    its entries, rank R the entries of two factors and of two norms, a published enclosure what it
    counts there; the scores and values of positions count theirs, but for published sub-cubic
    configurations (a name for the QK circuit and for the direct path), which keep one row of
    position values.
    Source: the released code of arXiv 2406.11779, extended to what it does not have.
    """
    vocab, outputs, width = config.d_vocab, config.d_vocab_out, config.d_model
    if strategy == "brute-force":
        return int(vocab ** (config.n_ctx + 1))
    sizes = {"qk": (vocab, vocab), "ov": (vocab, outputs), "direct": (vocab, outputs)}
    total = 0
    for path, (rows, columns) in sizes.items():
        name = chosen.get(path, EXACT)
        rank = RANK.fullmatch(name)
        numbers = {
            "qk": {
                name: vocab * (3 if name.startswith("mean") else 2) + 2 * width
                for name in PUBLISHED_QK[3:]
            }
            | {QK_EXACT[0]: rows * columns, QK_EXACT[1]: 4 * vocab, QK_LOW_RANK[0]: 2 * vocab},
            "direct": dict.fromkeys(DIRECT_QUADRATIC, vocab + vocab * width + 2)
            | {
                DIRECT_EXACT[0]: 2 * vocab,
                DIRECT_EXACT[1]: 2,
                DIRECT_QUADRATIC[0]: vocab * width + 2,
            },
        }.get(path, {})
        total += (
            (int(rank[1]) + 1) * (rows + columns) if rank else numbers.get(name, rows * columns)
        )
    published = (
        chosen.get("qk", EXACT) in PUBLISHED_QK and chosen.get("direct", EXACT) in PUBLISHED_DIRECT
    )
    return total + (vocab if published else config.n_ctx * (vocab + outputs))


# --- chains -----------------------------------------------------------------------


def chains(model: Model) -> dict[str, list[Array]]:
    """Return the factors of the three paths, as the checker forms them."""
    W_E, W_pos, W_U = (
        model.tensor("embed.W_E"),
        model.tensor("pos_embed.W_pos"),
        model.tensor("unembed.W_U"),
    )
    W_Q, W_K, W_V, W_O = (model.tensor(f"blocks.0.attn.W_{letter}")[0] for letter in "QKVO")
    b_Q, b_V = model.bias("blocks.0.attn.b_Q")[0], model.bias("blocks.0.attn.b_V")[0]
    query = W_E + W_pos[-1]
    direct = query + (b_V @ W_O + model.bias("blocks.0.attn.b_O"))
    return {
        "qk": [*_with_bias(query, W_Q, b_Q), W_K.T, W_E.T],
        "ov": [W_E, W_V, W_O, W_U],
        "direct": [*_with_bias(direct, W_U, model.bias("unembed.b_U"))],
    }


def _with_bias(left: Array, right: Array, bias: Array) -> tuple[Array, Array]:
    if not np.any(bias):
        return left, right
    return np.hstack([left, np.ones((len(left), 1))]), np.vstack([right, bias])


def _chain(factors: Sequence[Array]) -> Array:
    """Return a product, cheaply associated."""
    return factors[0] if len(factors) == 1 else np.linalg.multi_dot(factors)


def _formed(chain: Sequence[Array], form: Sequence[int]) -> list[Array]:
    formed, at = [], 0
    for length in form:
        formed.append(_chain(chain[at : at + length]) if length else np.eye(len(chain[at])))
        at += length
    return formed


def length(chain: Sequence[Array]) -> int:
    """Return about how many operations the checker's product of a chain takes.  (SPEC-6.1)

    Looking for zeros is left out.
    """
    left = list(chain)
    for i in range(len(left) - 1):
        kept = np.any(left[i], axis=0) & np.any(left[i + 1], axis=1)
        kept[0] |= not np.any(kept)
        left[i : i + 2] = left[i][:, kept], left[i + 1][kept]
    return 2 * _fewest([*map(len, left), left[-1].shape[1]])


def _fewest(sizes: Sequence[int]) -> int:
    """Return the fewest multiplications for a chain with these rows and columns."""
    divided = (
        _fewest(sizes[: at + 1]) + _fewest(sizes[at:]) + sizes[0] * sizes[at] * sizes[-1]
        for at in range(1, len(sizes) - 1)
    )
    return min(divided, default=0)


# --- hints ------------------------------------------------------------------------


def array(hint: Hint) -> Array:
    """Return what a hinted matrix stands for."""
    found: Array = np.ldexp(np.asarray(hint["rows"], dtype=np.float64), hint["exponent"])
    return found


def hints_for(model: Model, chosen: Mapping[str, str]) -> dict[str, Hint]:
    """Return the ``paths`` of a proof for a name per path; exact paths are left out.

    Errors: ``BadInput`` for a path or a name that there is not.
    Cost:   singular value decompositions of the path matrices and their factors.
    """
    found: dict[str, Hint] = {}
    factors = chains(model)
    for path, name in chosen.items():
        if path not in factors or not is_name(path, name):
            raise BadInput(f"there is no enclosure {name} of the path {path}")
        rank = RANK.fullmatch(name)
        if rank:
            found[path] = _weighted(factors[path], int(rank[1]))
        elif path == "qk" and name not in (EXACT, QK_EXACT[0]):
            found[path] = (
                _quadratic(factors[path], name)
                if "subproduct" in name
                else _rank_one(factors[path], name)
            )
        elif path == "direct" and name != EXACT:
            found[path] = _direct(factors[path], name)
    return found


def _top(values: Array) -> tuple[Array, Array]:
    """Return the first left and right singular vectors."""
    u, _, v = np.linalg.svd(values, full_matrices=False)
    return u[:, :1], v[:1]


def _centred(values: Array) -> Array:
    """Return the matrix without the mean of each row."""
    found: Array = values - values.mean(axis=1, keepdims=True)
    return found


def _less(factors: Sequence[Array], peel: Sequence[Sequence[Hint]]) -> list[Array]:
    return [
        f - array(part[0]) @ array(part[1]) if part else f
        for f, part in zip(factors, peel, strict=True)
    ]


def _split(factors: Sequence[Array], at: int, rest: Hint, *, mean: bool) -> Hint:
    """Return a split, around the mean row if asked for."""
    bound = {"rule": "split", "at": at, "rest": rest}
    return (
        bound | {"shift": matrix(-_chain(factors[:at]).mean(axis=0, keepdims=True))}
        if mean
        else bound
    )


def _rank_one(chain: Sequence[Array], name: str) -> Hint:
    """Return the rank-one split of Q W_Q W_K^T times W_E^T along the first singular vectors of
    their product.
    """
    form = [3, 1]
    front, back = _formed(chain, form)
    u, v = _top(front @ _centred(back))
    peel = [[matrix(u), matrix(u.T @ front)], [matrix(back @ v.T), matrix(v)]]
    rest = _less([front, back], peel)
    bounds = {
        "max_diff_exact": RANGE,
        "svd": {"rule": "spectral", "squarings": SQUARINGS},
        "max_diff": _split(rest, 1, RANGE, mean=False),
        "mean+max_diff": _split(rest, 1, RANGE, mean=True),
    }
    return {"form": form, "peel": peel, "bound": bounds[name]}


def _quadratic(chain: Sequence[Array], name: str) -> Hint:
    """Return the peeling of all four factors: rank two off the embeddings, rank one off W_Q and
    W_K.
    """
    form = [1, 1, 1, 1]
    query, W_Q, keys, tokens = chain
    u, v = _top(query @ W_Q @ keys @ _centred(tokens))
    u_2, _ = _top(query - u @ (u.T @ query))
    _, v_2 = _top(tokens - (tokens @ v.T) @ v)
    a, _ = _top(W_Q)
    _, b = _top(keys)
    both, across = np.hstack([u, u_2]), np.vstack([v, v_2])
    peel = [
        [matrix(both), matrix(both.T @ query)],
        [matrix(a), matrix(a.T @ W_Q)],
        [matrix(keys @ b.T), matrix(b)],
        [matrix(tokens @ across.T), matrix(across)],
    ]
    rest = _less(chain, peel)
    if not name.endswith("recursive"):
        parts = [_split(rest, at, RANGE, mean=name.startswith("mean+")) for at in (1, 2, 3)]
        return {"form": form, "peel": peel, "bound": {"rule": "least", "of": parts}}
    bound = RANGE
    for level in (2, 1, 0):
        mean = name.startswith("mean_recursive+") or (name.startswith("mean+") and level == 0)
        bound = _split(rest[level:], 1, bound, mean=mean)
    return {"form": form, "peel": peel, "bound": bound}


def _direct(chain: Sequence[Array], name: str) -> Hint:
    """Return the published treatments of the direct path."""
    query, answers = chain
    peel: list[list[Hint]] = [[], []]
    ones = np.ones((len(query), 1))
    if name == "mean_query+max_diff":
        peel[0] = [matrix(ones), matrix(query.mean(axis=0, keepdims=True))]
    if name == "svd_query+max_diff":
        u, _ = _top(query @ answers)
        peel[0] = [matrix(ones), matrix(float(u.mean()) * (u.T @ query))]
    split = _split(chain, 1, RANGE, mean=False)
    bound = {
        "max_diff_exact": RANGE,
        "global_max_diff_exact": {"rule": "largest", "of": [RANGE]},
    }.get(name, split)
    return {"form": [1, 1], "peel": peel, "bound": bound}


def _weighted(chain: Sequence[Array], rank: int) -> Hint:
    """Return rank R off the middle of X G Y and, for weighted Cauchy-Schwarz, the rest of G as M N.

    With the singular values s of X G Y (Y centred) and pseudo-inverses, G = sum_i (X^+ u_i) s_i
    (v_i Y^+) where X and Y have full rank; the first R are peeled off, the others are M N.  What X
    or Y do not see of G is peeled off too where that is few directions, and else joins M N.
    """
    form = [1, 2, 1] if len(chain) == 4 else [1, 0, 1]
    first, middle, last = _formed(chain, form)
    last = _centred(last)
    u, s, v = np.linalg.svd(first @ middle @ last, full_matrices=False)
    kept = int(np.sum(s > s[0] * 1e-10)) if len(s) else 0
    rank = min(rank, max(kept, 1))
    # Of rows and columns of G that are zero nothing is read.
    into, back = np.zeros(first.T.shape), np.zeros(last.T.shape)
    reads, writes = np.any(middle, axis=1), np.any(middle, axis=0)
    into[reads], back[:, writes] = np.linalg.pinv(first[:, reads]), np.linalg.pinv(last[writes])
    left = into @ u[:, :kept] * np.sqrt(s[:kept])
    right = np.sqrt(s[:kept])[:, None] * (v[:kept] @ back)
    if not kept:
        left, right = np.zeros((len(middle), 1)), np.zeros((1, middle.shape[1]))
    out, back_in = left[:, :rank], right[:rank]
    M, N = left[:, rank:], right[rank:]
    unseen = middle - left @ right
    u, s, v = np.linalg.svd(unseen, full_matrices=False)
    hidden = int(np.sum(s > 1e-9 * np.linalg.norm(middle)))
    if hidden <= MOST_HIDDEN:
        # The rest of G is taken off as it is: it has few directions.
        root = np.sqrt(s[:hidden])
        out = np.hstack([out, u[:, :hidden] * root])
        back_in = np.vstack([back_in, root[:, None] * v[:hidden]])
    else:
        seen = into @ first
        M = np.hstack([M, seen @ unseen, np.eye(len(middle)) - seen])
        N = np.vstack([N, np.eye(middle.shape[1]) - last @ back, unseen])
    if not M.shape[1]:
        M, N = np.zeros((len(middle), 1)), np.zeros((1, middle.shape[1]))
    peel = [matrix(out, 30), matrix(back_in, 30)]
    bound = {"rule": "schwarz", "left": matrix(M, 30), "right": matrix(N, 30)}
    return {"form": form, "peel": [[], peel, []], "bound": bound}


# --- estimates --------------------------------------------------------------------


def _range(values: Array) -> Array:
    found: Array = np.ptp(values, axis=1)
    return found


def _ranges(factors: Sequence[Array], bound: Hint) -> Array:
    """Return the bound on the range of each row of the product."""
    rule = bound["rule"]
    if rule == "range":
        return _range(_chain(factors))
    if rule == "spectral":
        product = _chain([*factors[:-1], _centred(factors[-1])])
        return np.full(len(product), math.sqrt(2.0) * float(np.linalg.norm(product, 2)))
    if rule == "split":
        front, rest = _chain(factors[: bound["at"]]), list(factors[bound["at"] :])
        inner, shift = (
            _ranges(rest, bound["rest"]),
            array(bound["shift"]) if "shift" in bound else None,
        )
        if shift is None:
            return np.asarray(np.abs(front) @ inner)
        return np.asarray(np.abs(front + shift) @ inner + _range(_chain([shift, *rest]))[0])
    least = np.min([_ranges(factors, part) for part in bound["of"]], axis=0)
    return np.full(len(least), least.max()) if rule == "largest" else np.asarray(least)


def estimates(model: Model, hints: Mapping[str, Hint]) -> dict[str, tuple[Array, Array]]:
    """Return ``estimate`` for every hinted path of a model."""
    factors = chains(model) if hints else {}
    return {path: estimate(factors[path], hint) for path, hint in hints.items()}


def radii(chain: Sequence[Array], hint: Hint) -> Array:
    """Return the estimated radius of every entry of an enclosure."""
    rest = _less(_formed(chain, hint["form"]), hint["peel"])
    bound, shape = hint["bound"], (len(chain[0]), chain[-1].shape[1])
    if bound["rule"] != "schwarz":
        return np.asarray(np.broadcast_to(_ranges(rest, bound)[:, None] / 2, shape))
    first, last = rest[0], _centred(rest[-1])
    left, right = array(bound["left"]), array(bound["right"])
    epsilon = float(np.linalg.norm(_chain(rest[1:-1]) - left @ right))
    rows = np.sqrt(((first @ left) ** 2).sum(axis=1) + epsilon * (first**2).sum(axis=1))
    columns = np.sqrt(((right @ last) ** 2).sum(axis=0) + epsilon * (last**2).sum(axis=0))
    return np.asarray(np.outer(rows, columns))


def estimate(chain: Sequence[Array], hint: Hint | None) -> tuple[Array, Array]:
    """Return estimates (low, high) of a path matrix up to a constant of each row, by the checker's
    formulas.
    """
    if hint is None:
        exact = _chain(chain)
        return exact, exact
    whole, table = _formed(chain, hint["form"]), np.zeros((len(chain[0]), chain[-1].shape[1]))
    rest = _less(whole, hint["peel"])
    for i, part in enumerate(hint["peel"]):
        if part:
            table = table + _chain([*rest[:i], array(part[0])]) @ _chain(
                [array(part[1]), *whole[i + 1 :]]
            )
    radius = radii(chain, hint)
    return table - radius, table + radius
