"""Max-of-K on one layer of attention, by the separable form of softmax."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput
from certify.evaluation.tally import (
    BATCH,
    DEFAULT_SAMPLES,
    Evaluation,
    Floats,
    Tally,
    all_inputs,
    is_enumerable,
    sampled,
    smallest_of,
    uncertain_of,
)
from certify.model.file import Model
from certify.model.forward import margins as network_margins
from certify.model.paths import Paths, decompose
from certify.progress import Progress, silent
from certify.question.domain import Domain
from certify.question.scope import UNIFORM, Scope

Tokens = NDArray[np.int64]

_TAIL_INPUTS = 4096
_SAFE_SPREAD = 600.0


def evaluate_max_of_k(
    model: Model,
    domain: Domain,
    scope: Scope = UNIFORM,
    samples: int | None = None,
    seed: int = 0,
    progress: Progress = silent,
) -> Evaluation:
    """Return an estimate of how often the model answers with the maximum of its tokens.

    Requires: ``domain`` is the usual one of the model, and the scope fits it; it
              has an output for every token.  ``samples`` forces a sample of that
              size; by default every input is evaluated where there are at most
              2^25, and 10^6 samples are drawn elsewhere.  ``progress`` is called as
              inputs are finished.
    Ensures:  the same arguments give the same result.
    Errors:   ``Unsupported`` if the model is not one layer of attention with one
              head, ``BadInput`` for fewer samples than one.
    Cost:     about two seconds for 64^4 inputs.
    """
    if samples is not None and samples < 1:
        raise BadInput(f"evaluate: samples must be at least 1, not {samples}")
    with np.errstate(over="ignore", under="ignore", invalid="ignore"):
        paths = decompose(model)
        if samples is None and is_enumerable(domain, model.config):
            return _exhaustive(paths, scope, domain, progress)
        size = samples or DEFAULT_SAMPLES
        return sampled(
            lambda tokens: margins(paths, tokens), BATCH, scope, domain, size, seed, progress
        )


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
    return network_margins(logits, tokens.max(axis=1))


def _exhaustive(paths: Paths, scope: Scope, domain: Domain, progress: Progress) -> Evaluation:
    """Return the accuracy over every input that the scope does not exclude."""
    tail = _Tail.build(scope, domain)
    tallies: list[Tally] = []
    for query in tail.allowed[-1]:
        tallies.extend(_query_tallies(paths, tail, query, scope, domain))
        progress(query + 1, domain.sizes[-1], "")
    return all_inputs(tallies, scope.total(domain))


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
    def build(cls, scope: Scope, domain: Domain) -> _Tail:
        """Return the split with the longest table of at most 4096 rows, one position at least."""
        weights = scope.rows(domain)
        allowed = tuple(tuple(t for t, weight in enumerate(row) if weight > 0) for row in weights)
        free = len(domain.sizes) - 1
        head = max(0, free - 1)
        while head > 0 and math.prod(map(len, allowed[head - 1 : free])) <= _TAIL_INPUTS:
            head -= 1
        rows = list(itertools.product(*allowed[head:free]))
        exact = np.int64 if scope.total(domain) < 1 << 62 else object
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


def _query_tallies(
    paths: Paths, tail: _Tail, query: int, scope: Scope, domain: Domain
) -> Iterator[Tally]:
    """Yield tallies that together cover every input of the scope with one query token."""
    separable = _SeparableQuery.build(paths, tail, query)
    for head in itertools.product(*tail.allowed[: tail.head]):
        if separable is not None:
            batch = separable.margins(head, query)
        else:
            fixed = np.tile(np.array(head, dtype=np.int64), (len(tail.grid), 1))
            last = np.full((len(tail.grid), 1), query)
            batch = margins(paths, np.concatenate([fixed, tail.grid, last], axis=1))
        weights = tail.grid_weights
        if scope.conditional:
            fixed = np.tile(np.array(head, dtype=np.int64), (len(tail.grid), 1))
            last = np.full((len(tail.grid), 1), query)
            kept = scope.holds(np.concatenate([fixed, tail.grid, last], axis=1), domain)
            batch, weights = batch[kept], weights[kept]
        weight = math.prod(tail.weights[i][token] for i, token in enumerate(head))
        right = batch > 0
        yield Tally(
            inputs=len(batch),
            wrong=len(batch) - int(np.count_nonzero(right)),
            uncertain=uncertain_of(batch),
            correct=weight * tail.weights[-1][query] * int(weights[right].sum()),
            smallest_margin=smallest_of(batch),
        )
