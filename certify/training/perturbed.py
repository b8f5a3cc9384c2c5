"""What can be done to a model of Max-of-K while it learns: noise, grids of weights, a penalty on
what it computes with, a loss of bounds, and a layer norm that is taken out.

*Noise* is normal, drawn anew in each step: added to every weight; to the residual stream, after the
embedding and once more before the unembedding; or to queries, keys and values.  What is written is
the model without it.

*Grids.*  With ``weight_bits`` b every tensor is rounded to multiples of a power of two, the least
one with which b bits, one of them the sign, reach its largest entry.  Gradients pass the rounding
as if it were not there; what is written is the rounded tensor.

*The loss of bounds* is cross-entropy on lower bounds of the margins, after the first half of the
steps: fine-tuning on a differentiable form of what a short proof derives.  With the QK circuit a
rank-1 part and A B^T, the queries' direct path its mean D and E - mean, both in natural units,

    eps_q = sum_a |A_qa| rng(B_a)                           the range of a row of what is left
    b_ij  = EVOU[t_i, m] - EVOU[t_i, j] + PVOU[i, m] - PVOU[i, j]
            + D[m] - D[j] - sum_a |E_q - mean|_a |U_am - U_aj|
    margin_j >= sum_i w_i (e^-eps max(b_ij, 0) - max(-b_ij, 0))     where that is positive,

with w the attention of the rank-1 scores.  It says nothing of a model whose bounds are all met
because it is useless: the cross-entropy of the true logits stays in the loss, and who reads a
certified accuracy has to read the accuracy beside it.

*Layer norm.*  With ``norm_removal`` s a model with LNPre is trained for 1 - s of the steps; then
the factor 1 / sd of every vector turns, over half of the steps that are left, into one number, the
mean of that factor when the turn begins.  The rest of the steps train the model without layer norm.
Numbers and centring are multiplied into W_Q, W_K, W_V and W_U, and the file has no layer norm.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from certify.errors import BadInput
from certify.model.config import Config
from certify.model.tensors import Tensor
from certify.training.recipe import setting

Weights = Mapping[str, Any]

W_E, W_POS, W_U = "embed.W_E", "pos_embed.W_pos", "unembed.W_U"
W_Q, W_K, W_V, W_O = (f"blocks.0.attn.W_{letter}" for letter in "QKVO")
PLAIN = frozenset((W_E, W_POS, W_U, W_Q, W_K, W_V, W_O))
"""The tensors of one layer of attention without biases."""

LARGEST_NOISE = 1000.0
_TURN = 0.5
"""Share of the removal of layer norm over which it turns into a number."""
_BOUNDS_FROM = 0.5
_BOUNDS_FULL = 0.75
"""Shares of the steps from which on bounds count, and count in full."""
LNPRE = "LNPre"


@dataclass(frozen=True, slots=True)
class Perturbed:
    """What is done to a model while it learns; by default nothing."""

    weight_noise: float = setting(
        "Standard deviation of what is added to every weight in each step; weights start with"
        " 0.8/sqrt(d-model).",
        0.0,
        least=0,
        most=LARGEST_NOISE,
    )
    stream_noise: float = setting(
        "The same for the residual stream, after embedding and before unembedding.",
        0.0,
        least=0,
        most=LARGEST_NOISE,
    )
    activation_noise: float = setting(
        "The same for queries, keys and values.", 0.0, least=0, most=LARGEST_NOISE
    )
    amplitude_penalty: float = setting(
        "Weight of the mean squares of residual stream, queries, keys and values.",
        0.0,
        least=0,
        most=1000,
    )
    weight_bits: int | None = setting(
        "Weights are on grids of so many bits, in every step and in the file.",
        None,
        least=2,
        most=16,
    )
    bound_weight: float = setting(
        "Weight of the loss of bounds, after the first half of the steps.", 0.0, least=0, most=1000
    )
    norm_removal: float = setting(
        "Share of the steps, at the end, in which layer norm LNPre is taken out.",
        0.0,
        least=0,
        most=1,
    )

    @property
    def inside(self) -> bool:
        """Return whether the forward pass itself has to be another."""
        return (
            max(
                self.stream_noise,
                self.activation_noise,
                self.amplitude_penalty,
                self.bound_weight,
                self.norm_removal,
            )
            > 0
        )

    def require(self, config: Config) -> None:
        """Refuse what does not fit the architecture.

        Errors: ``BadInput``.
        """
        numbers = (
            self.weight_noise,
            self.stream_noise,
            self.activation_noise,
            self.amplitude_penalty,
            self.bound_weight,
            self.norm_removal,
        )
        if not all(0.0 <= number < math.inf for number in numbers) or self.norm_removal > 1.0:
            raise BadInput("train: noise, penalties and weights of losses must not be negative")
        simple = config.n_heads == 1 and config.attn_only
        normed = config.normalization_type
        if self.inside and not (simple and normed in (None, LNPRE)):
            raise BadInput(
                "train: noise inside, penalties on activations, losses of bounds and the removal of"
                " layer norm need one head without an MLP, and no layer norm but LNPre"
            )
        if self.bound_weight and normed is not None:
            raise BadInput("train: bound-weight needs a model without layer norm")
        if self.norm_removal and normed != LNPRE:
            raise BadInput("train: norm-removal needs layer norm LNPre")

    def bounds_at(self, share: float) -> float:
        """Return the weight of the loss of bounds after this share of the steps."""
        grown = (share - _BOUNDS_FROM) / (_BOUNDS_FULL - _BOUNDS_FROM)
        return self.bound_weight * min(1.0, max(0.0, grown))

    def turned(self, share: float) -> float:
        """Return how far layer norm has turned into a number after this share of the steps."""
        if self.norm_removal == 0.0:
            return 0.0
        gone = (share - (1.0 - self.norm_removal)) / (_TURN * self.norm_removal)
        return min(1.0, max(0.0, gone))


def seen(torch: Any, weights: Weights, asked: Perturbed, generator: Any) -> Weights:
    """Return the weights that one step computes with: rounded, and with noise."""
    found = dict(weights)
    if asked.weight_bits is not None:
        found = {
            name: weight + (rounded(torch, weight, asked.weight_bits) - weight).detach()
            for name, weight in found.items()
        }
    if asked.weight_noise:
        found = {
            name: weight + asked.weight_noise * _noise(torch, weight, generator)
            for name, weight in found.items()
        }
    return found


def rounded(torch: Any, weight: Any, bits: int) -> Any:
    """Return a tensor on its grid: multiples of a power of two of at most 2^(bits - 1) - 1."""
    largest = float(weight.detach().abs().max())
    if largest == 0.0 or not math.isfinite(largest):
        return weight.detach()
    step = 2.0 ** math.ceil(math.log2(largest / (2 ** (bits - 1) - 1)))
    return torch.round(weight.detach() / step) * step


def _noise(torch: Any, like: Any, generator: Any) -> Any:
    return torch.randn(like.shape, generator=generator, dtype=like.dtype)


@dataclass(frozen=True, slots=True)
class Norm:
    """How layer norm is applied: not at all, or partly as a number.

    ``turned``: 0 is layer norm, 1 the numbers.  ``attended``, ``final``: the numbers that stand for
    1 / sd before attention and before the unembedding.
    """

    config: Config
    turned: float = 0.0
    attended: float = 1.0
    final: float = 1.0

    def factors(self, torch: Any, centred: Any) -> Any:
        """Return 1 / sd of every vector, [..., 1]."""
        offset = self.config.variance_offset
        return 1.0 / torch.sqrt(centred.pow(2).mean(dim=-1, keepdim=True) + offset)

    def applied(self, torch: Any, rows: Any, number: float) -> Any:
        """Return rows after layer norm, [..., d_model]."""
        if self.config.normalization_type is None:
            return rows
        centred = rows - rows.mean(dim=-1, keepdim=True)
        if self.turned == 1.0:
            return centred * number
        factors = self.factors(torch, centred)
        return centred * ((1.0 - self.turned) * factors + self.turned * number)


@dataclass(frozen=True, slots=True)
class Pass:
    """What a forward pass found: logits [batch, d_vocab_out], and the vectors that it went through:
    residual stream at all positions, query, keys, values, and the stream before the unembedding.
    """

    logits: Any
    stream: Any
    query: Any
    key: Any
    value: Any
    final: Any

    def amplitude(self) -> Any:
        """Return the sum of mean squares of stream, query, keys and values."""
        parts = (self.stream, self.query, self.key, self.value)
        return sum(part.pow(2).mean() for part in parts)


def forward(
    torch: Any, weights: Weights, tokens: Any, norm: Norm, asked: Perturbed, generator: Any
) -> Pass:
    """Return what one head of attention computes at the last position, with what is asked for.

    Requires: one layer, one head, no MLP, no biases.
    """

    def noisy(found: Any, size: float) -> Any:
        return found + size * _noise(torch, found, generator) if size else found

    stream = noisy(weights[W_E][tokens] + weights[W_POS], asked.stream_noise)
    read = norm.applied(torch, stream, norm.attended)
    query = noisy(read[:, -1] @ weights[W_Q][0], asked.activation_noise)
    key = noisy(read @ weights[W_K][0], asked.activation_noise)
    value = noisy(read @ weights[W_V][0], asked.activation_noise)
    scores = (key @ query.unsqueeze(-1)) / math.sqrt(norm.config.d_head)
    attended = (scores.softmax(dim=1) * value).sum(dim=1)
    final = noisy(stream[:, -1] + attended @ weights[W_O][0], asked.stream_noise)
    logits = norm.applied(torch, final, norm.final) @ weights[W_U]
    return Pass(logits, stream, query, key, value, final)


def numbers_of(torch: Any, weights: Weights, tokens: Any, config: Config) -> Norm:
    """Return the numbers that stand for layer norm: means of its factors over a batch."""
    norm = Norm(config)
    with torch.no_grad():
        found = forward(torch, weights, tokens, norm, Perturbed(), None)
        means = []
        for rows in (found.stream, found.final):
            centred = rows - rows.mean(dim=-1, keepdim=True)
            means.append(float(norm.factors(torch, centred).mean()))
    return replace(norm, attended=means[0], final=means[1])


def without_norm(torch: Any, weights: Weights, norm: Norm) -> tuple[dict[str, Any], Config]:
    """Return the model that layer norm has turned into, weights and configuration.

    Ensures: the same logits as ``forward`` with ``norm`` turned to 1, up to rounding.
    """
    config = replace(norm.config, normalization_type=None, eps=None)
    d_model = config.d_model
    with torch.no_grad():
        centring = torch.eye(d_model, dtype=torch.float64) - 1.0 / d_model
        found = {name: weight.detach().clone() for name, weight in weights.items()}
        for name, number in (
            (W_Q, norm.attended),
            (W_K, norm.attended),
            (W_V, norm.attended),
            (W_U, norm.final),
        ):
            found[name] = (number * centring @ found[name].double()).to(found[name].dtype)
    return found, config


def margins_below(torch: Any, weights: Weights, tokens: Any, config: Config) -> Any:
    """Return lower bounds, up to rounding, of the margins of the maximum against every token where
    they are positive, [batch, d_vocab]; zero against the maximum itself.

    The rank-1 part follows the top singular directions of the scores, held fixed for the gradient.
    """
    answers = tokens.max(dim=1).values
    last = weights[W_E] + weights[W_POS][-1]
    scale = math.sqrt(config.d_head)
    reading = last @ weights[W_Q][0] @ weights[W_K][0].T / scale
    keys = weights[W_E]
    asking, telling = _directions(torch, reading, keys)
    # u u^T S is one row, spread by u: what is left of S is reading' keys^T + spread (row's rest).
    row = asking @ reading
    rest = reading - asking.unsqueeze(1) * row
    told = keys @ row
    along = telling * (told @ telling)
    beside = told - along
    eps = rest.abs() @ _ranges(keys) + asking.abs() * (beside.max() - beside.min())
    queries = tokens[:, -1]
    positions = (last @ weights[W_Q][0] @ (weights[W_POS] @ weights[W_K][0]).T / scale)[queries]
    attention = (asking[queries].unsqueeze(1) * along[tokens] + positions).softmax(dim=1)
    out = weights[W_O][0] @ weights[W_U]
    moved = (weights[W_E] @ weights[W_V][0] @ out)[tokens] + weights[W_POS] @ weights[W_V][0] @ out
    mean = last.mean(dim=0)
    direct = mean @ weights[W_U]
    unembed = weights[W_U].T
    away = (last - mean).abs()[queries]
    apart = (unembed[answers].unsqueeze(1) - unembed).abs()
    reach = (apart @ away.unsqueeze(-1)).squeeze(-1)
    least = direct[answers].unsqueeze(1) - direct - reach
    places = answers.view(-1, 1, 1).expand(-1, moved.shape[1], 1)
    brackets = moved.gather(2, places) - moved + least.unsqueeze(1)
    shrunk = torch.exp(-eps[queries]).view(-1, 1, 1)
    weighed = shrunk * brackets.clamp(min=0.0) - (-brackets).clamp(min=0.0)
    found = (attention.unsqueeze(-1) * weighed).sum(dim=1)
    own = torch.nn.functional.one_hot(answers, found.shape[1]).bool()
    return found.masked_fill(own, 0.0)


def _directions(torch: Any, reading: Any, keys: Any) -> tuple[Any, Any]:
    """Return the top singular vectors of reading keys^T, [rows] each, without a gradient."""
    with torch.no_grad():
        q_left, r_left = torch.linalg.qr(reading)
        q_right, r_right = torch.linalg.qr(keys)
        left, _, right = torch.linalg.svd(r_left @ r_right.T)
        return q_left @ left[:, 0], q_right @ right[0]


def _ranges(rows: Any) -> Any:
    """Return the range of every column."""
    return rows.amax(dim=0) - rows.amin(dim=0)


def rounded_array(tensor: Tensor, bits: int) -> Tensor:
    """Return an array on its grid, as ``rounded`` does."""
    largest = float(np.abs(tensor).max())
    if largest == 0.0:
        return tensor
    step = 2.0 ** math.ceil(math.log2(largest / (2 ** (bits - 1) - 1)))
    found: Tensor = (np.round(tensor.astype(np.float64) / step) * step).astype(tensor.dtype)
    return found
