"""Estimate the accuracy of a model in float64: over every input, or over a random sample.

Nothing here is a bound: floating point can misjudge an input whose margin is
tiny, and a sample can be unlucky.  The exhaustive mode says how many inputs
have a margin too small to trust; the sampled mode gives a confidence interval.

Max-of-K on one layer of attention has a faster exhaustive mode than the other
tasks and models: it uses the separable form of softmax.  Multiplying the logits
of an input by the softmax denominator, which is positive, leaves ::

    sum_i w_i(x_i) (EU[q] + EVOU[x_i] + PVOU[i]),   w_i(t) = exp(score of token t at position i)

one term for each position, so that the inputs of one query are sums of table
rows and share nearly all of their work.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput, Unsupported
from certify.forward import batch_size
from certify.forward import logits as network_logits
from certify.model import Config, Model, optional_shapes, require_one_layer, required_shapes
from certify.paths import Paths, decompose
from certify.scope import UNIFORM, Scope
from certify.tasks import TASKS, Task

UNCERTAIN_MARGIN = 1e-9
CONFIDENCE = 0.99
MAXIMUM_INPUTS = 1 << 25
MAXIMUM_LOGITS = 1 << 32
MAXIMUM_PRODUCTS = 1 << 41
DEFAULT_SAMPLES = 1_000_000

_TAIL_INPUTS = 4096
_BATCH = 8192
_SAFE_SPREAD = 600.0

Floats: TypeAlias = NDArray[np.float64]
Tokens: TypeAlias = NDArray[np.int64]
Margins: TypeAlias = Callable[[Tokens], Floats]


@dataclass(frozen=True, slots=True)
class Evaluation:
    """An estimate of the accuracy of a model on a task.

    ``total`` is the weight of the domain and ``correct`` that of the inputs
    answered correctly (both exact integers, counts under the uniform scope;
    ``correct`` is absent for a sample).  ``inputs`` were evaluated, ``wrong``
    of them wrongly, ``uncertain`` of them with ``|margin| < 1e-9``.
    ``low`` and ``high`` are the 99 % confidence interval of a sample and equal
    to ``accuracy`` otherwise.  A tie is wrong.
    """

    exhaustive: bool
    total: int
    correct: int | None
    inputs: int
    wrong: int
    uncertain: int
    accuracy: float
    low: float
    high: float
    smallest_margin: float


@dataclass(frozen=True, slots=True)
class _Tally:
    """What a batch of inputs adds to the result."""

    inputs: int
    wrong: int
    uncertain: int
    correct: int
    smallest_margin: float


def evaluate(
    model: Model,
    task: str,
    scope: Scope = UNIFORM,
    samples: int | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Return an estimate of how often the model answers as the task asks.

    Requires: ``task`` is a name in ``TASKS``; ``samples`` forces a sample of that
              size; by default every input is evaluated where that takes at most
              2^25 inputs and 2^41 multiplications, and 10^6 samples are drawn
              elsewhere.  ``progress`` is called with the finished share.
    Ensures:  the same arguments give the same result.
    Errors:   ``Unsupported`` if the task is not about such a model, ``BadInput``
              if the scope does not fit it.
    Cost:     the forward pass of every input; half a minute for 65 536 inputs of
              a two-layer model of width 32.
    """
    config, chosen = model.config, TASKS[task]
    chosen.require_fits(config)
    if task == "max-of-k" and is_one_layer(config):
        return evaluate_max_of_k(model, scope, samples, seed, progress)
    if samples is not None and samples < 1:
        raise BadInput(f"evaluate: samples must be at least 1, not {samples}")
    scope.require_fits(config)

    def margins_of(tokens: Tokens) -> Floats:
        return network_margins(model, chosen, tokens)

    with np.errstate(over="ignore", under="ignore", invalid="ignore", divide="ignore"):
        if samples is None and is_enumerable(config) and _products(config) <= MAXIMUM_PRODUCTS:
            return _every_input(margins_of, batch_size(model), scope, config, progress)
        size = min(_BATCH, batch_size(model))
        return _sampled(margins_of, size, scope, config, samples or DEFAULT_SAMPLES, seed, progress)


def network_margins(model: Model, task: Task, tokens: Tokens) -> Floats:
    """Return the margin of each input: logit of the right answer less the best other logit.

    Requires: ``task.require_fits`` accepts the model; ``tokens`` [batch, n_ctx].
    Ensures:  infinity where there is no other output.
    """
    return _less_best_other(network_logits(model, tokens), task.answer(tokens, model.config))


def _less_best_other(logits: Floats, answers: Tokens) -> Floats:
    """Return the logit of each answer less the largest of the others; ``logits`` is overwritten."""
    rows = np.arange(len(answers))
    right = logits[rows, answers]
    logits[rows, answers] = -np.inf
    result: Floats = right - logits.max(axis=1)
    return result


def is_one_layer(config: Config) -> bool:
    """Return whether the path decomposition covers the model."""
    try:
        require_one_layer(config, "")
    except Unsupported:
        return False
    return True


def _products(config: Config) -> int:
    """Return about how many multiplications all inputs take: every weight, at every position, for
    every input.
    """
    shapes = required_shapes(config, config.d_model) | optional_shapes(config, config.d_model)
    weights = sum(
        math.prod(shape)
        for name, shape in shapes.items()
        if not name.startswith(("embed", "pos_embed"))
    )
    inputs: int = config.d_vocab**config.n_ctx
    return inputs * config.n_ctx * weights


def evaluate_max_of_k(
    model: Model,
    scope: Scope = UNIFORM,
    samples: int | None = None,
    seed: int = 0,
    progress: Callable[[float], None] | None = None,
) -> Evaluation:
    """Return an estimate of how often the model answers with the maximum of its tokens.

    Requires: ``samples`` forces a sample of that size; by default every input
              is evaluated where there are at most 2^25, and 10^6 samples are
              drawn elsewhere.  ``progress`` is called with the finished share.
    Ensures:  the same arguments give the same result.
    Errors:   ``Unsupported`` if the model has fewer outputs than tokens or is not
              one layer of attention with one head, ``BadInput`` if the scope
              does not fit the model.
    Cost:     about two seconds for 64^4 inputs.
    """
    config = model.config
    TASKS["max-of-k"].require_fits(config)
    if samples is not None and samples < 1:
        raise BadInput(f"evaluate: samples must be at least 1, not {samples}")
    scope.require_fits(config)
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        paths = decompose(model)
        if samples is None and is_enumerable(config):
            return _exhaustive(paths, scope, config, progress)
        sampled = samples or DEFAULT_SAMPLES
        return _sampled(
            lambda tokens: margins(paths, tokens), _BATCH, scope, config, sampled, seed, progress
        )


def is_enumerable(config: Config) -> bool:
    """Return whether evaluating every input is cheap enough to be the default."""
    inputs: int = config.d_vocab**config.n_ctx
    return inputs <= MAXIMUM_INPUTS and inputs * config.d_vocab_out <= MAXIMUM_LOGITS


def margins(paths: Paths, tokens: Tokens) -> Floats:
    """Return the margin of each input: logit of the maximum token less the best other logit.

    Requires: ``tokens`` [batch, n_ctx], each in 0 .. d_vocab - 1.
    Cost:     d_vocab * d_vocab_out multiplications for each input, as one
              matrix product.

    The attention of equal tokens is added up first, so that the OV circuit is
    one product of [batch, d_vocab] with EVOU.
    """
    batch = len(tokens)
    d_vocab = len(paths.EVOU)
    query = tokens[:, -1]
    scores = (paths.EQKE[query[:, None], tokens] + paths.EQKP[query]) / math.sqrt(paths.d_head)
    pattern = np.exp(scores - scores.max(axis=1, keepdims=True))
    pattern /= pattern.sum(axis=1, keepdims=True)
    cells = (np.arange(batch)[:, None] * d_vocab + tokens).ravel()
    by_token = np.bincount(cells, weights=pattern.ravel(), minlength=batch * d_vocab).reshape(
        batch, d_vocab
    )
    logits = paths.EU[query] + by_token @ paths.EVOU + pattern @ paths.PVOU
    return _less_best_other(logits, tokens.max(axis=1))


def clopper_pearson(
    successes: int, trials: int, confidence: float = CONFIDENCE
) -> tuple[float, float]:
    """Return the Clopper-Pearson confidence interval of a binomial probability.

    Requires: 0 <= successes <= trials, trials >= 1.
    Ensures:  an interval that covers the true probability at least
              ``confidence`` of the time (up to rounding).
    """
    tail = (1.0 - confidence) / 2.0
    failures = trials - successes
    low = 0.0 if successes == 0 else 1.0 - _tail_root(failures, trials, tail)
    high = 1.0 if failures == 0 else _tail_root(successes, trials, tail)
    return low, high


def _tail_root(count: int, trials: int, tail: float) -> float:
    """Return the p in [0, 1] with P(Binomial(trials, p) <= count) = tail, for count < trials."""
    below = np.arange(count, dtype=np.float64)
    log_choose = np.concatenate([[0.0], np.cumsum(np.log((trials - below) / (below + 1.0)))])
    successes = np.arange(count + 1, dtype=np.float64)
    low, high = 0.0, 1.0
    for _ in range(80):
        middle = (low + high) / 2.0
        if middle in (low, high):
            break
        terms = (
            log_choose + successes * math.log(middle) + (trials - successes) * math.log1p(-middle)
        )
        top = float(terms.max())
        if top + math.log(float(np.exp(terms - top).sum())) > math.log(tail):
            low = middle
        else:
            high = middle
    return (low + high) / 2.0


def _sampled(
    margins_of: Margins,
    size: int,
    scope: Scope,
    config: Config,
    samples: int,
    seed: int,
    progress: Callable[[float], None] | None,
) -> Evaluation:
    """Return an estimate from inputs drawn independently from the scope's distribution, ``size`` at
    a time.
    """
    generator = np.random.default_rng(seed)
    wrong = uncertain = 0
    smallest = math.inf
    for start in range(0, samples, size):
        tokens = _draw(generator, scope, config, min(size, samples - start))
        batch = margins_of(tokens)
        wrong += int(np.count_nonzero(~(batch > 0)))
        uncertain += _uncertain(batch)
        smallest = min(smallest, _smallest(batch))
        if progress is not None:
            progress((start + len(tokens)) / samples)
    low, high = clopper_pearson(samples - wrong, samples)
    return Evaluation(
        exhaustive=False,
        total=scope.total(config),
        correct=None,
        inputs=samples,
        wrong=wrong,
        uncertain=uncertain,
        accuracy=(samples - wrong) / samples,
        low=low,
        high=high,
        smallest_margin=smallest,
    )


def _draw(generator: np.random.Generator, scope: Scope, config: Config, count: int) -> Tokens:
    """Return ``count`` random inputs, [count, n_ctx]."""
    if scope.weights is None:
        return generator.integers(0, config.d_vocab, size=(count, config.n_ctx))
    columns: list[Tokens] = []
    for weights in scope.weights:
        total = sum(weights)
        shares = np.array([weight / total for weight in weights])
        columns.append(generator.choice(config.d_vocab, size=count, p=shares / shares.sum()))
    return np.stack(columns, axis=1)


def _exhaustive(
    paths: Paths, scope: Scope, config: Config, progress: Callable[[float], None] | None
) -> Evaluation:
    """Return the accuracy over every input that the scope does not exclude."""
    tail = _Tail.build(scope, config)
    tallies: list[_Tally] = []
    for query in tail.allowed[-1]:
        tallies.extend(_query_tallies(paths, tail, query))
        if progress is not None:
            progress((query + 1) / config.d_vocab)
    return _all_inputs(tallies, scope.total(config))


def _every_input(
    margins_of: Margins,
    size: int,
    scope: Scope,
    config: Config,
    progress: Callable[[float], None] | None,
) -> Evaluation:
    """Return the accuracy over every input that the scope does not exclude, ``size`` inputs at a
    time.
    """
    weights = scope.weights or ((1,) * config.d_vocab,) * config.n_ctx
    allowed = [
        np.array([t for t, weight in enumerate(row) if weight > 0], dtype=np.int64)
        for row in weights
    ]
    lengths = tuple(len(tokens) for tokens in allowed)
    inputs = math.prod(lengths)
    tallies: list[_Tally] = []
    for start in range(0, inputs, size):
        places = np.unravel_index(np.arange(start, min(start + size, inputs)), lengths)
        tokens = np.stack([allowed[i][place] for i, place in enumerate(places)], axis=1)
        batch = margins_of(tokens)
        right = batch > 0
        exact = int(np.count_nonzero(right))
        if scope.weights is not None:
            exact = sum(
                math.prod(weights[i][t] for i, t in enumerate(row))
                for row in tokens[right].tolist()
            )
        tallies.append(
            _Tally(
                len(batch),
                int(np.count_nonzero(~right)),
                _uncertain(batch),
                exact,
                _smallest(batch),
            )
        )
        if progress is not None:
            progress((start + len(batch)) / inputs)
    return _all_inputs(tallies, scope.total(config))


def _all_inputs(tallies: Sequence[_Tally], total: int) -> Evaluation:
    """Return the result that tallies of all inputs add up to."""
    correct = sum(tally.correct for tally in tallies)
    accuracy = correct / total
    return Evaluation(
        exhaustive=True,
        total=total,
        correct=correct,
        inputs=sum(tally.inputs for tally in tallies),
        wrong=sum(tally.wrong for tally in tallies),
        uncertain=sum(tally.uncertain for tally in tallies),
        accuracy=accuracy,
        low=accuracy,
        high=accuracy,
        smallest_margin=min(tally.smallest_margin for tally in tallies),
    )


@dataclass(frozen=True, slots=True)
class _Tail:
    """The inputs of one query, split into ``head`` tokens, looped over, and a table of the others.

    ``allowed`` are the tokens of positive weight of each position, ``head`` the
    number of looped positions, ``grid`` [T, n_ctx - 1 - head] every combination
    of tokens at the others, ``grid_weights`` [T] their exact weights.
    """

    allowed: tuple[tuple[int, ...], ...]
    weights: tuple[tuple[int, ...], ...]
    head: int
    grid: Tokens
    grid_weights: NDArray[np.int64] | NDArray[np.object_]

    @classmethod
    def build(cls, scope: Scope, config: Config) -> _Tail:
        """Return the split with the longest table of at most 4096 rows, one position at least."""
        weights = scope.weights or ((1,) * config.d_vocab,) * config.n_ctx
        allowed = tuple(tuple(t for t, weight in enumerate(row) if weight > 0) for row in weights)
        free = config.n_ctx - 1
        head = max(0, free - 1)
        while head > 0 and math.prod(map(len, allowed[head - 1 : free])) <= _TAIL_INPUTS:
            head -= 1
        rows = list(itertools.product(*allowed[head:free]))
        exact = np.int64 if scope.total(config) < 1 << 62 else object
        grid_weights = [
            math.prod(weights[head + i][token] for i, token in enumerate(row)) for row in rows
        ]
        return cls(
            allowed=allowed,
            weights=weights,
            head=head,
            grid=np.array(rows, dtype=np.int64).reshape(len(rows), free - head),
            grid_weights=np.array(grid_weights, dtype=exact),
        )


@dataclass(frozen=True, slots=True)
class _SeparableQuery:
    """The terms of one query: attention weights and weighted logits, and their sums over the table.

    ``attention`` [n, V] is w_i(t); ``terms`` [n - 1, V, V_out] are the summands
    of the free positions, ``last`` [V_out] that of the query itself; ``table``
    [V_out, T] and ``table_attention`` [T] are summed over the table's positions.
    """

    attention: Floats
    terms: Floats
    last: Floats
    table: Floats
    table_attention: Floats
    table_answers: Tokens

    @classmethod
    def build(cls, paths: Paths, tail: _Tail, query: int) -> _SeparableQuery | None:
        """Return the terms, or None if the attention weights could underflow."""
        scores = (paths.EQKE[query] + paths.EQKP[query][:, None]) / math.sqrt(paths.d_head)
        if not scores.max() - scores.min() <= _SAFE_SPREAD:
            return None
        attention = np.exp(scores - scores.max())
        values = paths.EU[query] + paths.EVOU + paths.PVOU[:-1, None, :]
        terms = attention[:-1, :, None] * values
        columns = [terms[tail.head + i, tail.grid[:, i]] for i in range(tail.grid.shape[1])]
        shares = [attention[tail.head + i, tail.grid[:, i]] for i in range(tail.grid.shape[1])]
        rows = len(tail.grid)
        return cls(
            attention=attention,
            terms=terms,
            last=attention[-1, query] * (paths.EU[query] + paths.EVOU[query] + paths.PVOU[-1]),
            table=np.ascontiguousarray(sum(columns, np.zeros((rows, paths.EU.shape[1]))).T),
            table_attention=sum(shares, np.zeros(rows)),
            table_answers=tail.grid.max(axis=1, initial=query),
        )

    def margins(self, head: Sequence[int], query: int) -> Floats:
        """Return the margins of the inputs with these head tokens, in the order of the table."""
        column = self.last + sum(self.terms[i, token] for i, token in enumerate(head))
        attention = self.attention[-1, query] + sum(
            self.attention[i, token] for i, token in enumerate(head)
        )
        sums = self.table + column[:, None]
        answers = np.maximum(self.table_answers, max(head, default=0))
        rows = np.arange(len(answers))
        right = sums[answers, rows]
        sums[answers, rows] = -np.inf
        result: Floats = (right - sums.max(axis=0)) / (self.table_attention + attention)
        return result


def _query_tallies(paths: Paths, tail: _Tail, query: int) -> Iterator[_Tally]:
    """Yield tallies that together cover every input with one query token."""
    separable = _SeparableQuery.build(paths, tail, query)
    for head in itertools.product(*tail.allowed[: tail.head]):
        if separable is not None:
            batch = separable.margins(head, query)
        else:
            fixed = np.tile(np.array(head, dtype=np.int64), (len(tail.grid), 1))
            last = np.full((len(tail.grid), 1), query)
            batch = margins(paths, np.concatenate([fixed, tail.grid, last], axis=1))
        weight = math.prod(tail.weights[i][token] for i, token in enumerate(head))
        right = batch > 0
        yield _Tally(
            inputs=len(batch),
            wrong=len(batch) - int(np.count_nonzero(right)),
            uncertain=_uncertain(batch),
            correct=weight * tail.weights[-1][query] * int(tail.grid_weights[right].sum()),
            smallest_margin=_smallest(batch),
        )


def _uncertain(batch: Floats) -> int:
    """Return how many margins are too small to trust; a NaN is."""
    return int(np.count_nonzero(~(np.abs(batch) >= UNCERTAIN_MARGIN)))


def _smallest(batch: Floats) -> float:
    """Return the smallest margin that is not NaN, or infinity."""
    return float(np.min(batch, initial=math.inf, where=~np.isnan(batch)))
