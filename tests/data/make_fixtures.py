"""Make the fixtures that no training makes: ties, and what other programs save.  Run from this
folder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from safetensors.numpy import load_file, save_file

from certify.model import load_model, save_model


def ties(source: Path, out: Path) -> None:
    """Give the outputs 40 and 41 identical unembedding columns: whenever either is the answer, the
    other ties with it.
    """
    model = load_model(source)
    tensors = {name: np.array(tensor) for name, tensor in load_file(source).items()}
    tensors["unembed.W_U"][:, 41] = tensors["unembed.W_U"][:, 40]
    save_model(out, tensors, model.config)


def hooked_transformer(safetensors: Path, npz: Path) -> None:
    """Write the state dict of a tiny TransformerLens HookedTransformer: zero biases and buffers
    included.
    """
    rng = np.random.default_rng(0)
    shapes = {
        "embed.W_E": (5, 3),
        "pos_embed.W_pos": (2, 3),
        **{f"blocks.0.attn.W_{letter}": (1, 3, 4) for letter in "QKV"},
        "blocks.0.attn.W_O": (1, 4, 3),
        "unembed.W_U": (3, 5),
    }
    state = {name: rng.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    state |= {f"blocks.0.attn.b_{letter}": np.zeros((1, 4), np.float32) for letter in "QKV"}
    state |= {
        "blocks.0.attn.b_O": np.zeros(3, np.float32),
        "unembed.b_U": rng.normal(size=5).astype(np.float32),
    }
    state |= {
        "blocks.0.attn.mask": np.tril(np.ones((2, 2), bool)),
        "blocks.0.attn.IGNORE": np.array(-np.inf, np.float32),
    }
    save_file(state, safetensors)
    np.savez(npz, **state)


if __name__ == "__main__":
    argparse.ArgumentParser(description=__doc__).parse_args()
    ties(Path("max-of-4-300-steps.safetensors"), Path("max-of-4-ties.safetensors"))
    hooked_transformer(
        Path("hooked-transformer-state.safetensors"), Path("hooked-transformer-state.npz")
    )
