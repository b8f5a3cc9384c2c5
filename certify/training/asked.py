"""What a training depends on, from names and values as a file or a program spells them."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from certify.errors import BadInput
from certify.training.recipe import Setting, Trainable
from certify.training.tasks import TRAINABLE

NONE = "none"
"""How a choice is spelled that stands for no value."""


def trainable(task: str, origin: str) -> Trainable:
    """Return the row of a task that models can be trained on.

    Errors: ``BadInput``, beginning with ``origin``, if there is none.
    """
    for row in TRAINABLE:
        if row.task == task:
            return row
    known = ", ".join(row.task for row in TRAINABLE)
    raise BadInput(f"{origin} is {task!r}, models can be trained on {known}")


def objects_of(row: Trainable, given: Mapping[str, Any], origin: str) -> list[Any]:
    """Return one object for each part of a training, with the values that were given.

    Requires: ``given`` has names as the command line spells them, without dashes before them.
    Ensures:  what is not given has its usual value.
    Errors:   ``BadInput``, beginning with ``origin``, for a name that is not known or is missing,
              or a value of another type or out of range.
    """
    open_names = dict(given)
    made = []
    for part in row.parts:
        values = {}
        for field, usual, setting in part.settings():
            name = spelled(field, setting)
            if name in open_names:
                values[field] = _value(open_names.pop(name), usual, setting, f"{origin}.{name}")
            elif usual is dataclasses.MISSING:
                raise BadInput(f"{origin}.{name} is missing: {setting.help}")
            else:
                values[field] = usual
        made.append(part.made(values))
    if open_names:
        known = [
            spelled(field, setting) for part in row.parts for field, _, setting in part.settings()
        ]
        raise BadInput(
            f"{origin}.{next(iter(open_names))} is not known, training has {', '.join(known)}"
        )
    return made


def spelled(field: str, setting: Setting) -> str:
    """Return the name of a field as it is asked for."""
    return setting.name or field.replace("_", "-")


def _value(given: Any, usual: Any, setting: Setting, origin: str) -> Any:
    """Return the value of one field."""
    if setting.read is not None or setting.choices:
        if not isinstance(given, str):
            raise BadInput(f"{origin} must be a text")
        if setting.read is not None:
            return setting.read(given)
        if given not in setting.choices:
            raise BadInput(f"{origin} is {given!r}, not one of {', '.join(setting.choices)}")
        return None if given == NONE else given
    if usual is False:
        if not isinstance(given, bool):
            raise BadInput(f"{origin} must be true or false")
        return given
    fits = (int, float) if isinstance(usual, float) else (int,)
    if isinstance(given, bool) or not isinstance(given, fits):
        raise BadInput(f"{origin} must be a {'number' if float in fits else 'whole number'}")
    _require_range(given, setting, origin)
    return float(given) if float in fits else given


def _require_range(given: float, setting: Setting, origin: str) -> None:
    too_small = setting.least is not None and not given >= setting.least
    not_above = setting.above is not None and not given > setting.above
    too_large = setting.most is not None and not given <= setting.most
    if too_small or not_above or too_large:
        raise BadInput(f"{origin} is {given}, which is out of range: {setting.help}")
