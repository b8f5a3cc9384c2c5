"""What can be chosen about a network that is trained."""

from __future__ import annotations

import math
from dataclasses import dataclass

from certify.errors import BadInput
from certify.model.config import (
    MAXIMUM_HEADS,
    MAXIMUM_LAYERS,
    MLP_ACTIVATIONS,
    POOLED_READOUTS,
    Config,
)
from certify.training.pytorch import require_sizes
from certify.training.recipe import setting

EPS = 1e-5


@dataclass(frozen=True, slots=True)
class Architecture:
    """What can be chosen about a network besides what its task fixes."""

    readout: str = setting(
        "Read the last position, or a head on the sum or mean over the positions.",
        "last",
        choices=("last", *POOLED_READOUTS),
    )
    layers: int = setting("Layers.", 2, least=1, most=MAXIMUM_LAYERS)
    heads: int = setting("Heads.", 2, least=1, most=MAXIMUM_HEADS)
    d_model: int = setting("Width of the model.", 32, least=1, most=1024)
    d_mlp: int = setting("Width of the MLP.", 64, least=1, most=4096)
    act: str = setting("Activation of the MLP.", "relu", choices=MLP_ACTIVATIONS)
    normalization: str | None = setting("Layer norm.", None, choices=("none", "LN", "LNPre"))

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
