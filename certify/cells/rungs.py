"""The rungs of the ladder: which strategy with which options stands for which row.

A rung is what ``certify prove`` would be given on the command line.
"""

from __future__ import annotations

from certify.cells import enclosures
from certify.cells.published import (
    ATTENTION,
    BRUTE_FORCE,
    CUBIC,
    DIRECT_EXACT,
    DIRECT_QUADRATIC,
    LOW_RANK_BOTH,
    LOW_RANK_DIRECT,
    LOW_RANK_QK,
    QK_EXACT,
    QK_LOW_RANK,
    QK_QUADRATIC,
    QUADRATIC_BOTH,
    QUADRATIC_QK,
    SUBCUBIC,
)
from certify.ladder.rung import Level, Rung
from certify.model.config import Config

EXACT, COUNT, CASCADE, LOW_RANK_CASCADE = "exact", "count", "cascade", "low-rank cascade"
CHAIN = "chain"
OWN_GROUPS = (EXACT, COUNT, CASCADE, LOW_RANK_CASCADE, CHAIN)
"""Rows of ours that have no published counterpart."""

EFFORTS = ("0.03", "0.1", "0.3", "1", "3", "10", "30")


def group_of(qk: str, direct: str) -> str:
    """Return the published row of a sub-cubic configuration.  Source: the figures' grouping of
    arXiv 2406.11779.
    """
    exact_direct = direct in DIRECT_EXACT
    if qk in QK_EXACT:
        return SUBCUBIC if exact_direct else LOW_RANK_DIRECT
    if qk in QK_LOW_RANK:
        return LOW_RANK_QK if exact_direct else LOW_RANK_BOTH
    return QUADRATIC_QK if exact_direct else QUADRATIC_BOTH


def subcubic(qk: str, direct: str) -> Rung:
    """Return the rung of one sub-cubic configuration, by its published names."""
    options = (("qk", qk), ("direct", direct))
    return Rung(f"sub-cubic {qk} / {direct}", "subcubic", options, group_of(qk, direct))


def cascade(effort: str, qk: str = "") -> Rung:
    """Return a rung of the cascade: an effort, and the rank of the QK circuit if it is not
    exact.
    """
    options = (("effort", effort), *((("qk", qk),) if qk else ()))
    name = f"cascade {qk} effort {effort}" if qk else f"cascade effort {effort}"
    return Rung(name, "cascade", options, LOW_RANK_CASCADE if qk else CASCADE)


BRUTE_FORCE_RUNG = Rung("brute force", "brute-force", (), BRUTE_FORCE)
QUICK = (
    Rung("exact", "exact", (), EXACT),
    Rung("count", "count", (), COUNT),
    Rung("cubic", "cubic", (), CUBIC),
    subcubic("exact_EQKE+max_diff_exact", "max_diff_exact"),
    subcubic("max_diff_subproduct", "max_diff_exact"),
    subcubic("exact_EQKE+max_diff_exact", "mean_query+max_diff"),
    subcubic("max_diff_subproduct", "mean_query+max_diff"),
    subcubic("max_diff_subproduct_recursive", "max_diff_exact"),
    subcubic("max_diff_subproduct_recursive", "mean_query+max_diff"),
    cascade("1"),
    Rung("chain", "chain", (), CHAIN),
)
FRONTIER = tuple(cascade(effort) for effort in EFFORTS if effort != "1") + tuple(
    cascade(effort, qk) for qk in ("rank-1", "rank-2") for effort in ("0.3", "1", "10")
)
SUBCUBIC_ALL = tuple(
    subcubic(qk, direct)
    for qk in (*QK_EXACT, *QK_LOW_RANK, *QK_QUADRATIC)
    for direct in (*DIRECT_EXACT, *DIRECT_QUADRATIC)
)
"""All 100 published configurations: 10 of the QK circuit by 5 of the direct path; one sound rule
covers both of the published ways to handle attention, so 50 proofs.
"""


def rungs(level: Level) -> tuple[tuple[Rung, ...], tuple[Rung, ...]]:
    """Return the rungs to run at this level, and those to list as not run."""
    if level == "quick":
        return QUICK, (BRUTE_FORCE_RUNG,)
    if level == "default":
        return QUICK + FRONTIER, (BRUTE_FORCE_RUNG,)
    rest = tuple(rung for rung in SUBCUBIC_ALL if rung not in QUICK)
    return (*QUICK, *FRONTIER, *rest, BRUTE_FORCE_RUNG), ()


def unexplained_dimension(rung: Rung, config: Config) -> int:
    """Return how many numbers of the model the rung's proof looks at one by one; of a chain, those
    of one with two directions.
    """
    if rung.strategy == CHAIN:
        return along_directions(config, 2)
    chosen = {path: name for path, name in rung.options if path in enclosures.names()}
    return enclosures.unexplained_dimension(config, rung.strategy, chosen)


def along_directions(config: Config, directions: int) -> int:
    """Return how many numbers a proof of chains looks at one by one: per token and position those
    of each direction and two for its scores, per answer those of each direction and a constant.
    """
    rows = config.d_vocab + config.n_ctx
    return rows * (directions + 2) + config.d_vocab_out * (directions + 1)


def published_names(rung: Rung) -> tuple[str, ...]:
    """Return the published configurations that a rung stands for: one for each way to handle
    attention.
    """
    if rung.strategy != "subcubic":
        return ()
    qk, direct = rung.option("qk"), rung.option("direct")
    return tuple(f"{direct}/{attention}/{qk}" for attention in ATTENTION)
