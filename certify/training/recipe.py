"""What a training depends on, as dataclasses whose fields say how they are asked for.

A row of ``TRAINABLE`` (``certify.training.tasks``) names such dataclasses; the command line makes
its options from their fields.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.model.config import Config
from certify.model.tensors import Tensor

KEY = "setting"
LARGEST_RATE = 1000.0
"""The largest rate that can be asked for: far larger ones leave float32 within a step."""

Report = Callable[[int, float], None]
"""Called with the finished steps and what was measured: a loss, or a smallest margin."""

Trained = tuple[dict[str, Tensor], Config]

Domain = tuple[NDArray[np.int64], NDArray[np.int64]]
"""Inputs, [inputs, n_ctx], and their answers, [inputs]."""


@dataclass(frozen=True, slots=True)
class Setting:
    """How one field is asked for: help, limits (``above`` is not included), the texts that may be
    chosen, its name where it is not that of the field, and what reads it where it is a text of its
    own ``form``: it returns the value, or raises ``BadInput``.
    """

    help: str
    least: float | None = None
    most: float | None = None
    above: float | None = None
    choices: tuple[str, ...] = ()
    name: str = ""
    read: Callable[[str], Any] | None = None
    form: str = ""


def setting(help: str, default: Any = dataclasses.MISSING, **limits: Any) -> Any:  # noqa: A002
    """Return a field of a dataclass that can be asked for (``Setting``)."""
    return dataclasses.field(default=default, metadata={KEY: Setting(help, **limits)})


def flag(help: str) -> Any:  # noqa: A002
    """Return the field of what is asked for by its name alone."""
    return setting(help, default=False)


def seed(what: str) -> Any:
    """Return the field of a seed."""
    return setting(f"Fixes weights and {what}.", 0, least=0)


def learning_rate(default: float = 0.001, optimiser: str = "AdamW") -> Any:
    """Return the field of a learning rate."""
    return setting(f"Learning rate of {optimiser}.", default, above=0, most=LARGEST_RATE, name="lr")


def weight_decay(default: float, optimiser: str = "AdamW") -> Any:
    """Return the field of a weight decay."""
    return setting(f"Weight decay of {optimiser}.", default, least=0, most=LARGEST_RATE)


def decay(default: float = 0.0) -> Any:
    """Return the field of a falling learning rate."""
    text = "Share of the steps, at the end, over which the learning rate falls to zero."
    return setting(text, default, least=0, most=1, name="lr-decay")


@dataclass(frozen=True, slots=True)
class Part:
    """Values that a training needs, as an instance with the defaults or as a class where something
    has none, and those of its fields that are asked for, all that can be if none is named.
    """

    values: Any
    fields: tuple[str, ...] = ()

    @property
    def _is_class(self) -> bool:
        return isinstance(self.values, type)

    def settings(self) -> list[tuple[str, Any, Setting]]:
        """Return name, default and setting of each field that is asked for."""
        found = []
        for field in dataclasses.fields(self.values):
            if KEY in field.metadata and (not self.fields or field.name in self.fields):
                usual = field.default if self._is_class else getattr(self.values, field.name)
                found.append((field.name, usual, field.metadata[KEY]))
        return found

    def made(self, given: dict[str, Any]) -> Any:
        """Return the values with those that were given."""
        if self._is_class:
            return self.values(**given)
        return dataclasses.replace(self.values, **given)


@dataclass(frozen=True, slots=True)
class Named:
    """Sets of option values that are asked for together, by a name.

    ``values``: called with a name and the object of the first part; what it leaves out has its
    default.
    """

    help: str
    names: tuple[str, ...]
    usual: str
    values: Callable[[str, Any], dict[str, Any]]


@dataclass(frozen=True, slots=True)
class Trainable:
    """A task that models can be trained on.

    ``about``: its help.  ``train``: called with one object for each of ``parts`` and a report.
    ``measured``: what a report measures, for a reader.  ``told``: what to say of the result, one
    text for each line, from the same objects, the steps taken and what was measured last.
    ``domain``: all inputs with their answers, from the same objects, where the finished model is to
    be tried on all of them.  ``named``: values of the options that can be asked for by one name.
    ``names_maximum``: the finished model is to be measured as one that names the maximum.
    """

    task: str
    about: str
    parts: tuple[Part, ...]
    steps: Callable[..., int]
    train: Callable[..., Trained]
    measured: Callable[[float], str]
    told: Callable[..., list[str]]
    domain: Callable[..., Domain] | None = None
    named: Named | None = None
    names_maximum: bool = False
