"""Files as other people publish them: the options that import them, and how often they are right.

The files are not part of the project; without them the tests are skipped.
"""

import itertools
import shlex
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner, Result

from certify.command.group import main
from certify.model.file import Model, load_model
from certify.model.forward import Floats, Tokens, batch_size, logits, margins

CHECKPOINTS = Path(__file__).resolve().parents[3] / "shared" / "data" / "checkpoints"

pytestmark = pytest.mark.skipif(
    not CHECKPOINTS.is_dir(), reason="the published files are not there"
)


def run(*arguments: object) -> Result:
    """Run the command line."""
    return CliRunner().invoke(main, [str(argument) for argument in arguments])


def imported(name: str, options: str, tmp_path: Path) -> Model:
    """Return the model that the command line makes of a file; options that are told are needed."""
    pytest.importorskip("torch")
    out = tmp_path / "model.safetensors"
    ended = run("import", CHECKPOINTS / name, *shlex.split(options), "--out", out)
    assert (ended.exit_code, ended.stderr) == (0, "")
    assert ended.stdout.splitlines()[1].startswith("read as: ")
    return load_model(out)


def evaluated(model: Model, tokens: Tokens) -> Floats:
    """Return the logits, some inputs at a time."""
    size = batch_size(model)
    parts = [logits(model, tokens[start : start + size]) for start in range(0, len(tokens), size)]
    return np.concatenate(parts)


def every(*ranges: range) -> Tokens:
    """Return every input with one token of each range."""
    return np.array(list(itertools.product(*ranges)))


def addition(model: Model) -> tuple[float, float]:
    """Return accuracy and smallest margin of (a + b) mod 113 in the context ``a b =``."""
    tokens = every(range(113), range(113), range(113, 114))
    found = margins(evaluated(model, tokens), (tokens[:, 0] + tokens[:, 1]) % 113)
    return float((found > 0).mean()), float(found.min())


def a5(model: Model, *context: int) -> tuple[float, float]:
    """Return 1 and the smallest margin if the answers are the alternating group of degree 5."""
    tokens = every(range(60), range(60), *(range(token, token + 1) for token in context))
    scores = evaluated(model, tokens)
    table = scores.argmax(axis=1).reshape(60, 60)
    for lines in (table, table.T):
        assert np.array_equal(np.sort(lines, axis=1), np.tile(np.arange(60), (60, 1)))
    assert np.array_equal(table[table], np.array([row[table] for row in table]))
    (unit,) = np.flatnonzero((table == np.arange(60)).all(axis=1))
    orders = []
    for element in range(60):
        power, order = element, 1
        while power != unit:
            power, order = table[power, element], order + 1
        orders.append(order)
    assert {order: orders.count(order) for order in set(orders)} == {1: 1, 2: 15, 3: 20, 5: 24}
    ranked = np.sort(scores, axis=1)
    return 1.0, float((ranked[:, -1] - ranked[:, -2]).min())


def a5_with_equals_sign(model: Model) -> tuple[float, float]:
    """As ``a5``, in the context ``x y =``."""
    return a5(model, 60)


def signs(model: Model) -> tuple[float, float]:
    """Return how often the sign of the sum so far is right at every position, and the smallest
    margin, for random inputs.
    """
    tokens = np.random.default_rng(0).integers(0, 11, (2000, model.config.n_ctx))
    values = np.where(tokens <= 5, tokens, tokens - 11)
    everywhere = range(model.config.n_ctx)
    scores = logits(model, tokens, everywhere)
    found = margins(scores, np.sign(values.cumsum(axis=1)) + 1)
    return float((found > 0).all(axis=1).mean()), float(found.min())


def palindromes(model: Model) -> tuple[float, float]:
    """Return accuracy and smallest margin for random halves, each second one mirrored."""
    generator = np.random.default_rng(0)
    half, other = generator.integers(0, 31, (2, 2000, 10))
    other[::2] = half[::2]
    start, end = np.full((2000, 1), 31), np.full((2000, 1), 32)
    tokens = np.hstack([start, half, other[:, ::-1], end])
    found = margins(evaluated(model, tokens), (half == other).all(axis=1).astype(int))
    return float((found > 0).mean()), float(found.min())


def first_unique(model: Model) -> tuple[float, float]:
    """Return accuracy and smallest margin of the first character that occurs once, in random
    strings after a start token; the start token stands for none.
    """
    tokens = np.random.default_rng(0).integers(0, 10, (1000, 20))
    tokens[:, 0] = 10
    answers = []
    for row in tokens[:, 1:].tolist():
        answers.append(next((one for one in row if row.count(one) == 1), 10))
    found = margins(evaluated(model, tokens), np.array(answers))
    return float((found > 0).mean()), float(found.min())


def largest_digit(model: Model) -> tuple[float, float]:
    """Return accuracy and smallest margin of the largest of five digits, for random ones."""
    digits = np.random.default_rng(0).integers(0, 10, (2000, 5))
    tokens = np.full((2000, 11), 11)
    tokens[:, 0], tokens[:, -1], tokens[:, 1:10:2] = 10, 12, digits
    found = margins(evaluated(model, tokens), digits.max(axis=1))
    return float((found > 0).mean()), float(found.min())


ROWS: list[tuple[str, str, Callable[[Model], tuple[float, float]], float, float | None]] = [
    ("modadd113-equals-sign.pt", "--act relu", addition, 1.0, 1.1275868895),
    ("group-a5-transformer.pt", "--act relu", a5_with_equals_sign, 1.0, 15.4323616284),
    ("group-a5-one-hidden-layer.pt", "--act relu", a5, 1.0, 5.6849477345),
    ("cumulative-sum.pt", "--act relu", signs, 1.0, None),
    ("cumulative-sum.pt", "--act relu --attention-dir causal --positions 5", signs, 1.0, None),
    ("palindromes.pt", "--eps 1e-5 --attention-dir causal", palindromes, 0.99, None),
    ("first-unique-character.pt", "--eps 1e-5 --attention-dir causal", first_unique, 0.96, None),
    ("max-of-five-digits.pt", "--attention-dir causal --positions 11", largest_digit, 1.0, None),
]


@pytest.mark.parametrize(("name", "options", "measure", "least", "margin"), ROWS)
def test_published_models_are_right_after_import(
    tmp_path: Path,
    name: str,
    options: str,
    measure: Callable[[Model], tuple[float, float]],
    least: float,
    margin: float | None,
) -> None:
    accuracy, smallest = measure(imported(name, options, tmp_path))
    assert accuracy >= least
    if margin is not None:
        assert smallest == pytest.approx(margin, abs=1e-9)


@pytest.mark.parametrize("name", sorted({row[0] for row in ROWS}))
def test_the_command_that_inspect_shows_works(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("torch")
    monkeypatch.chdir(tmp_path)
    shown = run("inspect", CHECKPOINTS / name)
    assert (shown.exit_code, shown.stderr) == (0, "")
    label, _, command = shown.stdout.splitlines()[-1].partition(": ")
    assert label == "try"
    ended = run(*shlex.split(command)[1:])
    assert (ended.exit_code, ended.stderr) == (0, "")
    load_model(tmp_path / f"{Path(name).stem}.safetensors")


@pytest.mark.parametrize("name", sorted({row[0] for row in ROWS if row[1]}))
def test_only_facts_are_asked_for(tmp_path: Path, name: str) -> None:
    pytest.importorskip("torch")
    ended = run("import", CHECKPOINTS / name, "--out", tmp_path / "model.safetensors")
    if name == "max-of-five-digits.pt":
        assert ended.exit_code == 0
        return
    assert (ended.exit_code, ended.stdout) == (2, "")
    assert ended.stderr.count("\n") == 1
    assert ended.stderr.startswith(f"certify: {CHECKPOINTS / name}: the file does not say: ")
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("command", ["import", "inspect"])
@pytest.mark.parametrize(
    ("name", "message"),
    [
        (
            "loss-curve.pth",
            "holds no model: a PyTorch file with a list of 3000 (float), without a tensor",
        ),
        (
            "induction-head.pth",
            "holds a pickled Python object (transformer_lens.HookedTransformer.HookedTransformer),"
            " not only weights; it is not loaded, since that would run code: where it was trained,"
            ' run torch.save(model.state_dict(), "state.pt"), and import that',
        ),
    ],
)
def test_what_holds_no_weights_is_refused(
    tmp_path: Path, command: str, name: str, message: str
) -> None:
    pytest.importorskip("torch")
    out = ("--out", tmp_path / "model.safetensors") if command == "import" else ()
    ended = run(command, CHECKPOINTS / name, *out)
    assert (ended.exit_code, ended.stdout) == (20, "")
    assert ended.stderr == f"certify: {CHECKPOINTS / name}: {message}\n"
    assert not list(tmp_path.iterdir())
