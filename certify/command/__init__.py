"""The command line: ``main``, with every command added to it."""

from certify.command import audit, ladder, models, prove, show, train
from certify.command.group import main

__all__ = ["main", "audit", "ladder", "models", "prove", "show", "train"]
