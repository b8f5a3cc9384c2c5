"""Jobs for tests of drafts: a strategy by name, whatever it would build."""

from certify.certificate.job import Job, Strategy
from certify.model import Model
from certify.question.question import read_question
from certify.question.scope import UNIFORM, Scope


def named(model: Model, strategy: str, task: str, scope: Scope = UNIFORM) -> Job:
    """Return a job of a strategy that only has a name."""
    return Job(model, read_question(task, model.config), scope, Strategy(strategy, "", "", None))
