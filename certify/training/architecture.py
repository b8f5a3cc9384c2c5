"""What can be chosen about a network that is trained."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

from certify.errors import BadInput
from certify.model.config import Config
from certify.training.pytorch import require_sizes

EPS = 1e-5

Progress = Callable[[int, float], None]


@dataclass(frozen=True, slots=True)
class Architecture:
    """What can be chosen about a network besides what its task fixes."""

    layers: int = 2
    heads: int = 2
    d_model: int = 32
    d_mlp: int = 64
    act: str = "relu"
    normalization: str | None = None
    readout: str = "last"

    def config(self, *, d_vocab: int, d_vocab_out: int, n_ctx: int) -> Config:
        """Return the causal configuration for a task; the heads share the width.

        Errors: ``BadInput`` if the width is no multiple of the number of heads.
        """
        sizes = {
            "layers": self.layers,
            "heads": self.heads,
            "d-model": self.d_model,
            "d-mlp": self.d_mlp,
        }
        require_sizes(sizes)
        if self.d_model % self.heads:
            raise BadInput(f"train: d-model {self.d_model} is not a multiple of heads {self.heads}")
        return Config(
            d_vocab=d_vocab,
            d_vocab_out=d_vocab_out,
            n_ctx=n_ctx,
            d_model=self.d_model,
            d_head=self.d_model // self.heads,
            n_heads=self.heads,
            n_layers=self.layers,
            attn_only=False,
            act_fn=self.act,
            normalization_type=self.normalization,
            d_mlp=self.d_mlp,
            eps=None if self.normalization is None else EPS.hex(),
            readout=None if self.readout == "last" else self.readout,
        )


def require_rates(seed: int, learning_rate: float, weight_decay: float) -> None:
    """Refuse what no training can use."""
    if not 0.0 < learning_rate < math.inf or not 0.0 <= weight_decay < math.inf:
        raise BadInput("train: lr must be positive and weight-decay must not be negative")
    if not 0 <= seed < 1 << 63:
        raise BadInput("train: seed must be between 0 and 2^63 - 1")
