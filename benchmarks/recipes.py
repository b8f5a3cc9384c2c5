"""Models for the studies, trained when they are first asked for and kept in a folder.

``published`` is the recipe of arXiv 2406.11779: 3 000 steps, batch 128, learning rate 0.001.  ``converged`` trains until
the accuracy of max-of-4 is above 0.9999 (measured: 0.999993 at V = 64, 0.999996 and 0.999988 at 128, 0.999983 and
0.999989 at 256, 0.999991 at 512): larger batches, and a learning rate of 0.002 that falls to zero.  Seconds of training
on one core of one machine, k = 4: 5 for ``published`` at V = 64, 11, 17, 33 and 223 for ``converged``.
"""

from __future__ import annotations

import sys
import time
from pathlib import Path

from certify.model import save_model
from certify.train import Recipe, train_max_of_k

WIDTH = 32
RECIPES = ("published", "converged")
_CONVERGED = {64: (5_000, 512), 128: (8_000, 512), 256: (15_000, 512), 512: (40_000, 1024)}


def recipe_of(name: str, vocab: int, seed: int) -> Recipe:
    """Return a named recipe; a vocabulary between two known ones is trained like the larger."""
    if name == "published":
        return Recipe(seed=seed)
    steps, batch = _CONVERGED[min((size for size in _CONVERGED if size >= vocab), default=512)]
    return Recipe(seed=seed, steps=steps, batch=batch, learning_rate=0.002, decay=1.0)


def trained(folder: Path, name: str, k: int, vocab: int, seed: int) -> Path:
    """Return the file of a model in the folder, which is trained first if it is not there."""
    path = folder / f"max-of-{k}-v{vocab}-{name}-seed-{seed}.safetensors"
    if not path.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        tensors, config = train_max_of_k(k, vocab, WIDTH, recipe_of(name, vocab, seed))
        save_model(path, tensors, config)
        print(f"trained {path.name} in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return path
