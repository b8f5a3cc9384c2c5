"""The family of proofs of leaves: any question about any supported model, input by input."""

from __future__ import annotations

from certify.certificate.job import Strategy
from certify.errors import Unsupported
from certify.family import Family
from certify.leaves.draft import draft
from certify.leaves.portrait import PORTRAIT
from certify.leaves.show import SHOWING
from certify.model.config import Config
from certify.question.question import Question

EXHAUSTIVE = Strategy(
    "exhaustive",
    "evaluate every input: any supported model, any task",
    "the forward pass of V^k inputs, prefixes shared",
    None,
)


def require(config: Config, question: Question, origin: str) -> None:
    """Refuse a model that cannot be wrong.

    Errors: ``Unsupported``.
    """
    if config.d_vocab_out < 2:
        raise Unsupported(
            "a model with a single output cannot be wrong: d_vocab_out must be at least 2"
        )


FAMILY = Family(
    kind="leaves",
    tasks=None,
    strategies={EXHAUSTIVE.name: EXHAUSTIVE},
    usual=EXHAUSTIVE.name,
    usual_for="any other model",
    require=require,
    draft=draft,
    conditional=True,
    showing=SHOWING,
    portrait=PORTRAIT,
)
