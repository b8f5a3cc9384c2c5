"""A family that the package does not know: argmax, every input a leaf of its own.

It is one row.  Its proof is of an existing kind, so the checker knows it too.
"""

from certify.certificate.document import document_of, with_bounds
from certify.certificate.finish import Claim, Draft, Drafting
from certify.certificate.job import EFFORT, Job, Strategy
from certify.errors import Unsupported
from certify.family import Family
from certify.leaves.show import SHOWING
from certify.model import Config
from certify.progress import Progress
from certify.question.question import Question

SMALL = 64


def require(config: Config, question: Question, origin: str) -> None:
    """Refuse a domain of more than a few inputs."""
    if question.domain.inputs > SMALL:
        raise Unsupported(f"{origin}: the toy stops at {SMALL} inputs")


def draft(job: Job, progress: Progress) -> Drafting:
    """Let the checker evaluate every input, and claim what it derived."""
    inputs = job.question.domain.inputs
    leaves = job.strategy.build(inputs)
    progress(inputs, inputs, "")
    drafted = document_of(job, round(96 * job.options.chosen_effort), leaves=leaves)
    answer = yield Draft(drafted)
    yield Claim(with_bounds(drafted, answer.facts()), inputs)


ONE_BY_ONE = Strategy(
    "one-by-one",
    "each input on its own",
    "the forward pass of V^n inputs",
    lambda inputs: [{"inputs": "1", "method": "either"}] * inputs,
    frozenset({EFFORT}),
)

FAMILY = Family(
    kind="leaves",
    tasks=("argmax",),
    strategies={ONE_BY_ONE.name: ONE_BY_ONE},
    usual=ONE_BY_ONE.name,
    usual_for="a toy",
    require=require,
    draft=draft,
    showing=SHOWING,
    title="argmax, input by input",
)
