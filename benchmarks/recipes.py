"""Models for the studies, trained when they are first asked for and kept in a folder.

``published`` is the recipe of arXiv 2406.11779: 3 000 steps, batch 128, learning rate 0.001.
``converged`` trains until
the accuracy of max-of-4 is above 0.9999 (measured: 0.999993 at V = 64, 0.999996 and 0.999988 at
128, 0.999983 and
0.999989 at 256, 0.999991 at 512): larger batches, and a learning rate of 0.002 that falls to zero.
Seconds of training
on one core of one machine, k = 4: 5 for ``published`` at V = 64, 11, 17, 33 and 223 for
``converged``.

``ADDITIONS``, ``WITH_EQUALS_SIGN``, ``GROUPS`` and ``BRACKETS`` name the models of the other tasks.
Inputs that are right, smallest margin (float64) and seconds of training, on one core that was
shared with other work:

=============================  ================  =======  =======
model                                     right   margin  seconds
=============================  ================  =======  =======
modadd59-constant-seed-0         3 481 of 3 481   15.144      215
modadd59-constant-seed-1         3 481 of 3 481   14.197      156
modadd59-softmax-seed-0          3 481 of 3 481   13.961      525
modadd113-constant-seed-0      12 769 of 12 769   12.493      440
modadd59-constant-poor           2 020 of 3 481  -11.701        3
modadd113-equals-seed-0        12 769 of 12 769   13.042      430
s5-hidden128-seed-0            14 400 of 14 400    4.277       52
brackets16-last                65 536 of 65 536    4.978       12
brackets16-sum-pool            65 536 of 65 536    4.509       16
brackets16-last-margin8        65 536 of 65 536   11.851       12
brackets16-sum-pool-margin8    65 536 of 65 536    9.374       26
brackets-ln-gelu                 4 096 of 4 096    5.873        4
brackets-lnpre-silu              1 024 of 1 024    5.413        3
=============================  ================  =======  =======
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from certify.model.config import Config
from certify.model.file import save_model
from certify.model.tensors import Tensor
from certify.question.groups import read_group
from certify.training.architecture import Architecture
from certify.training.balanced_brackets import BracketsRecipe, train_balanced_brackets
from certify.training.group_composition import GroupRecipe, train_group
from certify.training.max_of_k import recipe_of, train_max_of_k
from certify.training.modular_addition import AdditionRecipe, train_modular_addition

WIDTH = 32

ADDITIONS: dict[str, tuple[int, str, AdditionRecipe]] = {
    "modadd59-constant-seed-0": (59, "constant", AdditionRecipe(seed=0)),
    "modadd59-constant-seed-1": (59, "constant", AdditionRecipe(seed=1)),
    "modadd59-softmax-seed-0": (59, "softmax", AdditionRecipe(seed=0)),
    "modadd113-constant-seed-0": (113, "constant", AdditionRecipe(seed=0, steps=6_000)),
    "modadd59-constant-poor": (59, "constant", AdditionRecipe(seed=0, steps=70)),
}
"""For each model of modular addition: the modulus, the attention and the recipe."""

WITH_EQUALS_SIGN = {
    "modadd113-equals-seed-0": (
        113,
        "softmax",
        AdditionRecipe(seed=0, fraction=0.5, learning_rate=0.002, steps=4_000, decay=0.25),
    ),
}
"""The same for those that read ``a b =``."""

GROUPS = {f"s5-hidden128-seed-{seed}": ("symmetric:5", 128, seed) for seed in range(4)}
"""For each model of a group: its name, the width of the hidden layer and the seed."""

_NARROW = Architecture(d_model=16, d_mlp=32)
BRACKETS = {
    "brackets16-last": (16, Architecture(), BracketsRecipe(margin=4.0)),
    "brackets16-sum-pool": (16, Architecture(readout="sum-pool-mlp"), BracketsRecipe(margin=4.0)),
    "brackets16-last-margin8": (16, Architecture(), BracketsRecipe(margin=8.0)),
    "brackets16-sum-pool-margin8": (
        16,
        Architecture(readout="sum-pool-mlp"),
        BracketsRecipe(margin=8.0),
    ),
    "brackets-ln-gelu": (
        12,
        replace(_NARROW, act="gelu_new", normalization="LN"),
        BracketsRecipe(margin=4.0, every=250),
    ),
    "brackets-lnpre-silu": (
        10,
        replace(_NARROW, act="silu", normalization="LNPre"),
        BracketsRecipe(margin=4.0, every=250),
    ),
}
"""For each model of balanced brackets: the length, the architecture and the recipe."""


def trained(folder: Path, name: str, k: int, vocab: int, seed: int) -> Path:
    """Return the file of a Max-of-K model in the folder, which is trained first if it is not
    there.
    """
    path = folder / f"max-of-{k}-v{vocab}-{name}-seed-{seed}.safetensors"
    return _kept(path, lambda: train_max_of_k(k, vocab, WIDTH, recipe_of(name, vocab, seed)))


def trained_network(folder: Path, name: str) -> Path:
    """Return the file of a model of ``ADDITIONS``, ``WITH_EQUALS_SIGN``, ``GROUPS`` or ``BRACKETS``
    in the folder, which is trained first if it is not there.
    """
    path = folder / f"{name}.safetensors"
    if name in ADDITIONS:
        modulus, attention, recipe = ADDITIONS[name]
        return _kept(path, lambda: train_modular_addition(modulus, attention, recipe))
    if name in WITH_EQUALS_SIGN:
        modulus, attention, recipe = WITH_EQUALS_SIGN[name]
        return _kept(
            path, lambda: train_modular_addition(modulus, attention, recipe, equals_sign=True)
        )
    if name in GROUPS:
        group, width, seed = GROUPS[name]
        return _kept(path, lambda: train_group(read_group(group), width, GroupRecipe(seed=seed)))
    n, architecture, learning = BRACKETS[name]
    return _kept(path, lambda: train_balanced_brackets(n, architecture, learning))


def _kept(path: Path, train: Callable[[], tuple[dict[str, Tensor], Config]]) -> Path:
    if not path.is_file():
        path.parent.mkdir(parents=True, exist_ok=True)
        start = time.monotonic()
        tensors, config = train()
        save_model(path, tensors, config)
        print(f"trained {path.name} in {time.monotonic() - start:.0f} s", file=sys.stderr)
    return path
