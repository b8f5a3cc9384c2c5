"""The command line: ``main``, with every command added to it."""

from certify.command import audit, importing, lab, ladder, models, prove, report, show, sweep, train
from certify.command.group import main

__all__ = [
    "main",
    "audit",
    "importing",
    "lab",
    "ladder",
    "models",
    "prove",
    "report",
    "show",
    "sweep",
    "train",
]
