"""The tasks that models can be trained on: one row adds one."""

from __future__ import annotations

from certify.training import balanced_brackets, group_composition, max_of_k, modular_addition
from certify.training.recipe import Trainable

TRAINABLE: tuple[Trainable, ...] = (
    max_of_k.TRAINABLE,
    modular_addition.TRAINABLE,
    balanced_brackets.TRAINABLE,
    group_composition.TRAINABLE,
)
