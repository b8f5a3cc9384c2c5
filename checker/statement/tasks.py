"""The tasks: what the right answer to an input is, and the tables that a user may give.  (SPEC 5.2)"""

from collections.abc import Callable, Sequence
from hashlib import sha256
from itertools import accumulate

from checker.ground.decode import canonical, fields, integer, listing
from checker.ground.errors import require_form, require_support
from checker.statement.model import Model

TABLE_FORMAT = "certify.table/1"
MAX_ANSWERS = 1 << 20


def balanced(tokens: Sequence[int]) -> bool:
    """Return whether the brackets ``(`` = 0 and ``)`` = 1 are balanced."""
    depths = list(accumulate(1 - 2 * token for token in tokens))
    return depths[-1] == 0 and min(depths) >= 0


ANSWERS: dict[str, Callable[[Sequence[int], int], int]] = {
    "max-of-k": lambda tokens, vocab: max(tokens),
    "modular-addition": lambda tokens, vocab: sum(tokens) % vocab,
    "balanced-brackets": lambda tokens, vocab: 1 if balanced(tokens) else 0,
    "argmax": lambda tokens, vocab: tokens.index(max(tokens)),
}
"""Per task: the right answer to tokens, given the size of the vocabulary."""


def parse_table(value: object, model: Model) -> tuple[tuple[int, ...], str]:
    """Return the answers of a table, in lexicographic order of the inputs, and its label.  (SPEC
    5.2)

    Raises: Malformed or Declined (SPEC-3.x, SPEC-5.2).
    """
    table, sizes = fields(value, "table", "answers format n vocab"), model.sizes
    require_support(
        table["format"] == TABLE_FORMAT,
        "SPEC-5.2",
        f"the table's format is not {TABLE_FORMAT}",
    )
    for name, size in (("n", sizes["n_ctx"]), ("vocab", sizes["d_vocab"])):
        require_form(
            integer(table[name], f"table {name}", 1, 1024) == size,
            "SPEC-5.2",
            f"the table's {name} is not {size}",
        )
    written = listing(table["answers"], "table answers", MAX_ANSWERS)
    require_form(
        len(written) == sizes["d_vocab"] ** sizes["n_ctx"],
        "SPEC-5.2",
        "the table does not answer every input once",
    )
    answers = tuple(
        integer(answer, "table answer", 0, sizes["d_vocab_out"] - 1)
        for answer in written
    )
    return answers, f"sha256:{sha256(canonical(table)).hexdigest()}"


def require_fit(task: str, model: Model) -> None:
    """Decline a model that the task is not about.  (SPEC 5.2)"""
    n, vocab, outputs = (
        model.sizes[name] for name in ("n_ctx", "d_vocab", "d_vocab_out")
    )
    require_support(
        task != "modular-addition" or n == 2,
        "SPEC-5.2",
        "modular addition needs n_ctx 2",
    )
    require_support(
        task != "balanced-brackets" or vocab == 2,
        "SPEC-5.2",
        "balanced brackets need d_vocab 2",
    )
    due = {
        "max-of-k": vocab,
        "modular-addition": vocab,
        "balanced-brackets": 2,
        "argmax": n,
    }.get(task, 1)
    require_support(
        outputs >= due,
        "SPEC-5.2",
        f"d_vocab_out is smaller than the {due} answers of the task",
    )
    every = model.config.get("readout") == "all"
    fits = not every or (task != "table" and model.config["attention_dir"] == "causal")
    require_support(
        fits,
        "SPEC-5.2",
        "readout all needs causal attention and a task other than table",
    )
