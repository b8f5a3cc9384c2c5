"""The tasks: what the right answer to an input is, and the tables that a user may give.
(SPEC-5.2)

A new task is a new row of ``TASKS``, and nothing else in the checker.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from itertools import accumulate

from checker.ground.decode import canonical, fields, integer, listing
from checker.ground.errors import require_form, require_support
from checker.statement.model import Model

TABLE_FORMAT = "certify.table/1"
MAX_ANSWERS = 1 << 20


Answers = tuple[int, ...]
"""The answers of a table to all inputs, in lexicographic order; none for a task by name."""


@dataclass(frozen=True, slots=True)
class Task:
    """A question that has one right answer to every input.  (SPEC-5.2)

    ``fields``:   what the verdict line says of it, by the names of ``statement.told``.
    ``sentence``: what a model that answers right does, in English.
    ``answer``:   the right answer to tokens, given the size of the vocabulary and the answers of
                  a table.
    ``fits``:     whether a model of so many tokens, of a vocabulary and with outputs of these
                  sizes has what the task needs; ``needs`` says what that is.
    """

    name: str
    fields: str
    sentence: str
    answer: Callable[[Sequence[int], int, Answers], int]
    fits: Callable[[int, int, int], bool]
    needs: str


def balanced(tokens: Sequence[int]) -> bool:
    """Return whether the brackets ``(`` = 0 and ``)`` = 1 are balanced."""
    depths = list(accumulate(1 - 2 * token for token in tokens))
    return depths[-1] == 0 and min(depths) >= 0


def looked_up(tokens: Sequence[int], vocab: int, answers: Answers) -> int:
    """Return the answer of a table to these tokens."""
    place = 0
    for token in tokens:
        place = place * vocab + token
    return answers[place]


_ROWS = (
    Task(
        "max-of-k",
        "k vocab",
        "names the largest of {k} tokens (vocabulary {vocab}) correctly",
        answer=lambda tokens, vocab, answers: max(tokens),
        fits=lambda n, vocab, outputs: outputs >= vocab,
        needs="d_vocab_out >= d_vocab",
    ),
    Task(
        "modular-addition",
        "modulus",
        "adds two numbers modulo {modulus} correctly",
        answer=lambda tokens, vocab, answers: sum(tokens) % vocab,
        fits=lambda n, vocab, outputs: n == 2 and outputs >= vocab,
        needs="n_ctx = 2 and d_vocab_out >= d_vocab",
    ),
    Task(
        "balanced-brackets",
        "n",
        "tells correctly whether {n} brackets are balanced",
        answer=lambda tokens, vocab, answers: 1 if balanced(tokens) else 0,
        fits=lambda n, vocab, outputs: vocab == 2 and outputs >= 2,
        needs="d_vocab = 2 and d_vocab_out >= 2",
    ),
    Task(
        "argmax",
        "n vocab largest",
        "names the place of the {largest} largest of {n} tokens (vocabulary {vocab}) correctly",
        answer=lambda tokens, vocab, answers: tokens.index(max(tokens)),
        fits=lambda n, vocab, outputs: outputs >= n,
        needs="d_vocab_out >= n_ctx",
    ),
    Task(
        "table",
        "n vocab table",
        "answers {n} tokens (vocabulary {vocab}) as the table {table} says",
        answer=looked_up,
        fits=lambda n, vocab, outputs: True,
        needs="nothing",
    ),
)
TASKS = {task.name: task for task in _ROWS}


def parse_table(value: object, model: Model) -> tuple[Answers, str]:
    """Return the answers of the table that a certificate holds, and its label.  (SPEC-5.2)

    Raises: Malformed or Declined (SPEC-3.x, SPEC-5.2).
    """
    table = fields(value, "table", "answers format n vocab")
    known = table["format"] == TABLE_FORMAT
    require_support(known, "SPEC-5.2", f"the table's format is not {TABLE_FORMAT}")
    sizes = model.sizes
    for name, size in (("n", sizes["n_ctx"]), ("vocab", sizes["d_vocab"])):
        given = integer(table[name], f"table {name}", 1, 1024)
        require_form(given == size, "SPEC-5.2", f"the table's {name} is not {size}")
    written = listing(table["answers"], "table answers", MAX_ANSWERS)
    whole = len(written) == sizes["d_vocab"] ** sizes["n_ctx"]
    require_form(whole, "SPEC-5.2", "the table does not answer every input once")
    last = sizes["d_vocab_out"] - 1
    answers = tuple(integer(answer, "table answer", 0, last) for answer in written)
    return answers, f"sha256:{sha256(canonical(table)).hexdigest()}"


def require_fit(task: Task, model: Model) -> None:
    """Decline a model that does not have what the task needs.  (SPEC-5.2)"""
    sizes = model.sizes
    fits = task.fits(sizes["n_ctx"], sizes["d_vocab"], sizes["d_vocab_out"])
    require_support(fits, "SPEC-5.2", f"the task {task.name} needs {task.needs}")
    if model.config.get("readout") == "all":
        # The tokens up to a position are a question of their own, which a table does not answer;
        # the position must not see those behind it.
        causal = model.config["attention_dir"] == "causal"
        require_support(
            causal and task.name != "table",
            "SPEC-5.2",
            "readout all needs causal attention and a task other than table",
        )
