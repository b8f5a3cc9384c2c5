"""What the published ladder reports: the reference that ours is plotted and tabulated beside.
Nothing here is proved.

The proofs are those of Gross et al., "Compact Proofs of Model Performance via Mechanistic
Interpretability" (arXiv
2406.11779), the numbers those of its released data
(JasonGross/guarantees-based-mechanistic-interpretability-data,
December 2024: commits 0db8fcc for k = 4, 5e0db79 for k = 5, 3e87aa6 for k = 10, ae322dd for k =
20): for each of 151
seeds the best configuration of the group, its bound divided by the accuracy of that seed, then mean
and standard
deviation.  FLOP ranges run over the configurations of a group (k = 4, vocabulary 64); those of
brute force run from an
older count to the final one, which a broadcast inflates about 160-fold.

Those bounds are not rounding-safe, and the derivation of the sub-cubic ones has a sign error; a
configuration of ours with the same name is a sound bound in the same spirit, not the same number.
"""

from __future__ import annotations

from dataclasses import dataclass

from certify.model.config import Config, is_one_layer

SOURCE = "arXiv 2406.11779 and its released data (Dec 2024), mean of 151 seeds"

BRUTE_FORCE, CUBIC, SUBCUBIC = "brute force", "cubic", "sub-cubic"
LOW_RANK_QK, LOW_RANK_DIRECT, LOW_RANK_BOTH = (
    "low-rank QK",
    "low-rank direct",
    "low-rank QK and direct",
)
QUADRATIC_QK, QUADRATIC_BOTH = "quadratic QK", "quadratic QK and direct"

GROUPS = (
    BRUTE_FORCE,
    CUBIC,
    SUBCUBIC,
    LOW_RANK_QK,
    LOW_RANK_DIRECT,
    LOW_RANK_BOTH,
    QUADRATIC_QK,
    QUADRATIC_BOTH,
)
"""The published rows, from the longest proof to the shortest."""

QK_EXACT = ("exact_EQKE+max_diff_exact", "max_diff_exact")
QK_LOW_RANK = (
    "svd",
    "max_diff",
    "mean+max_diff",
    "max_diff_subproduct",
    "mean+max_diff_subproduct",
)
QK_QUADRATIC = (
    "max_diff_subproduct_recursive",
    "mean+max_diff_subproduct_recursive",
    "mean_recursive+max_diff_subproduct_recursive",
)
DIRECT_EXACT = ("max_diff_exact", "global_max_diff_exact")
DIRECT_QUADRATIC = ("max_diff", "mean_query+max_diff", "svd_query+max_diff")
ATTENTION = ("mean_query+diff", "drop_average_query_per_output_logit_reasoning")
"""The published names of the variants: 10 of the QK circuit, 5 of the direct path, 2 ways to handle
attention.
"""


@dataclass(frozen=True, slots=True)
class Reference:
    """One published row: the bound as a share of the true accuracy, that accuracy, and the FLOPs of
    its configurations.
    """

    group: str
    k: int
    vocab: int
    mean: float
    deviation: float
    true_accuracy: float
    flops: tuple[float, float] | None

    @property
    def accuracy(self) -> float:
        """Return the mean bound as an accuracy."""
        return self.mean * self.true_accuracy


_BOUNDS = {
    (4, 64, 0.9992): (
        (CUBIC, 0.9539, 0.0080),
        (SUBCUBIC, 0.700, 0.036),
        (LOW_RANK_QK, 0.675, 0.035),
        (LOW_RANK_DIRECT, 0.633, 0.062),
        (LOW_RANK_BOTH, 0.610, 0.060),
        (QUADRATIC_QK, 0.316, 0.037),
        (QUADRATIC_BOTH, 0.283, 0.037),
    ),
    (5, 64, 0.9990): (
        (CUBIC, 0.942, 0.010),
        (SUBCUBIC, 0.702, 0.033),
        (LOW_RANK_QK, 0.682, 0.033),
        (LOW_RANK_DIRECT, 0.649, 0.055),
        (LOW_RANK_BOTH, 0.629, 0.053),
        (QUADRATIC_QK, 0.354, 0.034),
        (QUADRATIC_BOTH, 0.336, 0.033),
    ),
    (10, 64, 0.9988): (
        (CUBIC, 0.915, 0.021),
        (SUBCUBIC, 0.673, 0.030),
        (LOW_RANK_QK, 0.658, 0.028),
        (LOW_RANK_DIRECT, 0.640, 0.032),
        (LOW_RANK_BOTH, 0.626, 0.031),
        (QUADRATIC_QK, 0.393, 0.030),
        (QUADRATIC_BOTH, 0.391, 0.028),
    ),
    (10, 128, 0.9972): (
        (CUBIC, 0.885, 0.012),
        (SUBCUBIC, 0.613, 0.037),
        (LOW_RANK_QK, 0.595, 0.035),
        (LOW_RANK_DIRECT, 0.609, 0.030),
        (LOW_RANK_BOTH, 0.596, 0.030),
        (QUADRATIC_QK, 0.351, 0.029),
        (QUADRATIC_BOTH, 0.385, 0.025),
    ),
    (20, 64, 0.995): (
        (CUBIC, 0.888, 0.036),
        (SUBCUBIC, 0.563, 0.041),
        (LOW_RANK_QK, 0.549, 0.041),
        (LOW_RANK_DIRECT, 0.540, 0.040),
        (LOW_RANK_BOTH, 0.528, 0.039),
        (QUADRATIC_QK, 0.323, 0.035),
        (QUADRATIC_BOTH, 0.322, 0.034),
    ),
}
_FLOPS = {
    (BRUTE_FORCE, 4, 64): (8.761e11, 1.410e14),
    (CUBIC, 4, 64): (35_181_664.0, 35_181_664.0),
    (SUBCUBIC, 4, 64): (2_500_871.0, 3_778_311.0),
    (LOW_RANK_QK, 4, 64): (2_719_526.0, 4_728_648.0),
    (LOW_RANK_DIRECT, 4, 64): (2_242_727.0, 3_513_960.0),
    (LOW_RANK_BOTH, 4, 64): (2_461_382.0, 4_464_297.0),
    (QUADRATIC_QK, 4, 64): (2_189_222.0, 2_260_482.0),
    (QUADRATIC_BOTH, 4, 64): (1_931_078.0, 1_996_131.0),
    (CUBIC, 10, 64): (193_981_664.0, 193_981_664.0),
}
REFERENCES = tuple(
    Reference(group, k, vocab, mean, deviation, true, _FLOPS.get((group, k, vocab)))
    for (k, vocab, true), rows in _BOUNDS.items()
    for group, mean, deviation in ((BRUTE_FORCE, 1.0, 0.0), *rows)
)


def references(k: int, vocab: int) -> dict[str, Reference]:
    """Return the published rows for these sizes by group; none if they were not published."""
    return {found.group: found for found in REFERENCES if (found.k, found.vocab) == (k, vocab)}


def references_for(config: Config) -> dict[str, Reference]:
    """Return the published rows for a model's sizes; none for an architecture that none is
    about.
    """
    return references(config.n_ctx, config.d_vocab) if is_one_layer(config) else {}
