"""The table of experiments: one row adds one."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from certify.lab.ablate import EXPERIMENT as ABLATE
from certify.lab.circles import EXPERIMENT as CIRCLES
from certify.lab.experiment import Experiment
from certify.lab.noise import EXPERIMENT as NOISE
from certify.lab.recover import EXPERIMENT as RECOVER
from certify.lab.scope import EXPERIMENT as SCOPE
from certify.lab.surgery import EXPERIMENT as SURGERY
from certify.lab.train import EXPERIMENT as TRAIN

_ROWS = (
    # One to a line, in the order in which they are listed.
    SCOPE,
    NOISE,
    SURGERY,
    ABLATE,
    RECOVER,
    TRAIN,
    CIRCLES,
)

EXPERIMENTS: Mapping[str, Experiment] = MappingProxyType({row.name: row for row in _ROWS})
"""By name."""
