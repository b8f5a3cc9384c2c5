"""Training on the whole training set in every step, and what came of it on the whole domain."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.model.config import Config
from certify.model.file import Model
from certify.model.forward import batch_size, logits, margins
from certify.model.tensors import Tensor
from certify.training.recipe import Report


def fit(
    torch: Any,
    optimiser: Any,
    logits_of_batch: Callable[[], Any],
    answers: Any,
    *,
    steps: int,
    learning_rate_at: Callable[[int], float],
    progress: Report | None,
) -> None:
    """Update the weights that ``optimiser`` holds, ``steps`` times.

    Requires: ``logits_of_batch`` returns [batch, outputs] for all examples, a function of the
              weights; ``answers`` [batch]; ``progress``, if given, is called with the finished
              steps and the loss, some two hundred times.
    The log-softmax is taken in float64: at the end losses are near the rounding of float32.
    """
    every = max(1, steps // 200)
    for step in range(steps):
        for group in optimiser.param_groups:
            group["lr"] = learning_rate_at(step)
        found = logits_of_batch()
        loss = torch.nn.functional.nll_loss(found.to(torch.float64).log_softmax(dim=-1), answers)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        if progress is not None and ((step + 1) % every == 0 or step + 1 == steps):
            progress(step + 1, float(loss.item()))


def falling(rate: float, decay: float, steps: int, step: int) -> float:
    """Return the learning rate of one step: constant, then linear to zero over the last ``decay``
    of the steps.
    """
    return rate if decay == 0.0 else rate * min(1.0, (steps - step) / (decay * steps))


def quality(
    tensors: dict[str, Tensor],
    config: Config,
    tokens: NDArray[np.int64],
    answers: NDArray[np.int64],
) -> tuple[int, float]:
    """Return how many inputs are right, and the smallest margin: float64 estimates.

    Requires: ``tokens`` [inputs, n_ctx]; ``answers`` [inputs], each an output; every other output
              is wrong.
    """
    model = Model(config, tensors, "")
    batch = batch_size(model)
    found = np.concatenate(
        [
            margins(logits(model, tokens[start : start + batch]), answers[start : start + batch])
            for start in range(0, len(tokens), batch)
        ]
    )
    return int(np.count_nonzero(found > 0.0)), float(found.min())
