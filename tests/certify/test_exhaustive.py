"""`certify prove --strategy exhaustive`, `table` and `show --wrong` as a user runs them, against
200-bit ground truth.
"""

from __future__ import annotations

import copy
import json
import random
from fractions import Fraction
from pathlib import Path
from typing import Any

import models
import networks
import numpy as np
import pytest
from click.testing import CliRunner
from models import Model

from certify.command import main
from certify.errors import BadInput, Unsupported
from certify.leaves import draft
from certify.model.file import load_model
from certify.question.domain import read_domain
from certify.question.table import decode_table
from checker.check import check, parse
from checker.ground.ledger import Ledger
from checker.leaves.network import Network
from checker.statement.model import load_model as checked_model

PAIRS = list(networks.pairs())


def run(*arguments: object) -> tuple[int, list[str], str]:
    """Return exit code, lines of standard output, and standard error."""
    ended = CliRunner().invoke(main, [str(argument) for argument in arguments])
    return ended.exit_code, ended.stdout.splitlines(), ended.stderr


def written(folder: Path, model: Model, name: str = "model") -> Path:
    """Write a model file."""
    path = folder / f"{name}.safetensors"
    path.write_bytes(model.bytes)
    return path


def margins_of(model: Model, task: Any) -> list[Any]:
    """Return the margin of every input."""
    return [networks.margin(model, task, tokens) for tokens in networks.inputs(model)]


def proof(path: Path) -> dict[str, Any]:
    """Return the object `proof` of a certificate."""
    found: dict[str, Any] = json.loads(path.read_bytes())["proof"]
    return found


def proved(model_file: Path, out: Path, task: str, *more: object) -> dict[str, str]:
    """Prove exhaustively and return the verdict's fields; the operations declared are those that
    are done.
    """
    code, lines, errors = run(
        "prove", model_file, "--task", task, "--strategy", "exhaustive", "--out", out, *more
    )
    assert (code, errors) == (0, "")
    theorem = check(parse(model_file.read_bytes(), out.read_bytes()), lambda done, declared: None)
    assert theorem.ledger.total <= int(proof(out)["operations"])
    assert (theorem.correct_lower, theorem.correct_upper) == (
        theorem.parsed.claimed_lower,
        theorem.parsed.claimed_upper,
    )
    return dict(word.partition("=")[::2] for word in lines[-1].split()[2:])


@pytest.mark.parametrize("at", range(0, len(PAIRS), 2))
def test_every_feature_is_proved_exactly(at: int, tmp_path: Path) -> None:
    model = networks.of(random.Random(f"exhaustive {at}"), PAIRS[at])
    out = tmp_path / "out.json"
    scope: tuple[str, ...] = ()
    weights = [[2, 0, 1], [1, 1, 1], [0, 5, 1]]
    if at % 4 == 0:
        (tmp_path / "scope.json").write_bytes(models.scope_bytes(weights))
        scope = ("--scope", f"product:{tmp_path / 'scope.json'}")
    read = ("--read", "all") if model.every else ()
    said = proved(written(tmp_path, model), out, "max-of-k", *scope, *read)
    margins = margins_of(model, "max-of-k")
    shares = [
        weights[0][a] * weights[1][b] * weights[2][c] if scope else 1
        for a, b, c in networks.inputs(model)
    ]
    right = sum(share for share, margin in zip(shares, margins, strict=True) if margin > 0)
    assert (said["correct_lower"], said["correct_upper"]) == (str(right), str(right))
    least = min(
        (margin for share, margin in zip(shares, margins, strict=True) if share and margin > 0),
        default=0,
    )
    assert (
        0
        <= least
        - Fraction(said["margin_lower"]).numerator / Fraction(said["margin_lower"]).denominator
        < 1e-4
    )
    theorem = check(
        parse((tmp_path / "model.safetensors").read_bytes(), out.read_bytes()),
        lambda done, declared: None,
    )
    if all(abs(margin) > 1e-4 for margin in margins):
        assert theorem.ledger.total == int(proof(out)["operations"])


def test_wrong_inputs_are_listed(tmp_path: Path) -> None:
    model = networks.of(
        random.Random("wrong"), {"mlp": "silu", "biases": True}, vocab=2, n=4, outputs=2
    )
    out = tmp_path / "out.json"
    proved(written(tmp_path, model), out, "balanced-brackets")
    wrong = [
        t
        for t, m in zip(networks.inputs(model), margins_of(model, "balanced-brackets"), strict=True)
        if m <= 0
    ]
    assert 0 < len(wrong) < 16
    code, lines, _ = run("show", out, "--wrong")
    assert (code, lines) == (0, [" ".join(map(str, tokens)) for tokens in wrong])
    code, lines, _ = run("show", out)
    assert code == 0
    assert any("wrong" in line and str(len(wrong)) in line for line in lines)


def test_ties_are_wrong_where_they_can_be_shown(tmp_path: Path) -> None:
    model = networks.of(random.Random("ties"), {}, vocab=2, n=3, outputs=2)
    twins = Model(model.config, {**model.tensors, "unembed.W_U": [[1, 1], [2, 2], [3, 3]]})
    said = proved(written(tmp_path, twins), tmp_path / "out.json", "max-of-k")
    assert (said["correct_lower"], said["correct_upper"]) == ("0", "0")
    assert [leaf["method"] for leaf in proof(tmp_path / "out.json")["leaves"]] == ["wrong"]


def test_what_stays_undecided_is_skipped_and_reported(tmp_path: Path) -> None:
    model = undecided([[1, 0], [2, 1]])  # the logits of an input that ends in 0 are equal
    said = proved(written(tmp_path, model), tmp_path / "out.json", "max-of-k")
    assert (said["correct_lower"], said["correct_upper"]) == ("2", "4")
    code, lines, _ = run("show", tmp_path / "out.json")
    assert code == 0
    assert any("undecided" in line for line in lines)


def undecided(embedding: list[list[int]]) -> Model:
    """Return a model of which float estimates and balls leave inputs open."""
    model = networks.of(random.Random("open"), {}, vocab=2, n=2, outputs=2, d_model=2, d_head=1)
    tensors = copy.deepcopy(model.tensors)
    tensors |= {
        "embed.W_E": embedding,
        "pos_embed.W_pos": [[0, 0]] * 2,
        "blocks.0.attn.W_O": [[[1, 0]]],
    }
    return Model(model.config, {**tensors, "unembed.W_U": [[1, 1], [2, 3]]})


def test_a_model_of_which_all_stays_undecided_is_refused(tmp_path: Path) -> None:
    model = undecided([[1, 0], [2, 0]])
    out = tmp_path / "out.json"
    code, lines, errors = run(
        "prove",
        written(tmp_path, model),
        "--task",
        "max-of-k",
        "--strategy",
        "exhaustive",
        "--out",
        out,
    )
    assert (code, lines, out.exists()) == (11, [], False)
    assert errors == "certify: strategy exhaustive proves nothing of this model\n"


def test_tiny_margins_are_settled_by_precision(tmp_path: Path) -> None:
    model = networks.of(
        random.Random("apart"),
        {"mlp": "relu", "biases": True},
        vocab=2,
        n=3,
        outputs=2,
        dtype="F64",
    )
    near = [[row[0], row[0] + Fraction(1, 2**47)] for row in model.tensors["unembed.W_U"]]
    model = Model(
        model.config, {**model.tensors, "unembed.W_U": near, "unembed.b_U": [0, 0]}, "F64"
    )
    margins = margins_of(model, "max-of-k")
    assert all(0 < abs(margin) < 1e-12 for margin in margins)
    said = proved(written(tmp_path, model), tmp_path / "out.json", "max-of-k")
    right = str(sum(bool(margin > 0) for margin in margins))
    assert (said["correct_lower"], said["correct_upper"]) == (right, right)


@pytest.mark.parametrize("seed", range(3))
def test_few_bits_are_taken_where_margins_leave_room(
    seed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The margin of the verdict is that of many bits, or a unit less."""
    monkeypatch.setattr(draft, "LEAST_INPUTS", 128)
    monkeypatch.setattr(draft, "MOST_TWICE", 1 / 4)
    chosen = {
        "mlp": ("relu", "gelu_new", None)[seed],
        "normalization_type": (None, "LN", None)[seed],
        "readout": (None, "last", "sum-pool-mlp")[seed],
        "n_layers": 2,
    }
    model = networks.of(random.Random(f"few {seed}"), chosen, vocab=2, n=7, outputs=2, spread=16)
    out = tmp_path / "out.json"
    said = proved(written(tmp_path, model), out, "balanced-brackets")
    assert proof(out)["precision"] < 64
    document = networks.document(model, "balanced-brackets", precision=256)
    fine = check(
        parse(
            model.bytes,
            json.dumps(document, sort_keys=True, separators=(",", ":")).encode() + b"\n",
        ),
        lambda done, declared: None,
    )
    assert int(said["correct_lower"]) == fine.correct_lower
    assert fine.margin is not None
    assert 0 <= fine.margin - round(float(said["margin_lower"]) * 2**20) <= 1
    theorem = check(parse(model.bytes, out.read_bytes()), lambda done, declared: None)
    assert int(proof(out)["operations"]) < 1.3 * theorem.ledger.total


def test_where_too_few_bits_were_taken_more_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A claim that takes more operations than are declared is made again, with more bits."""
    monkeypatch.setattr(draft, "LEAST_INPUTS", 128)
    monkeypatch.setattr(draft, "MOST_TWICE", 1 / 4)
    surplus, asked = draft._surplus, list[int]()

    def short(facts: Any, job: Any, some: Any, precision: int) -> int:
        asked.append(precision)
        return surplus(facts, job, some, precision) - (10**5 if precision < 48 else 0)

    monkeypatch.setattr(draft, "_surplus", short)
    model = networks.of(random.Random("few 0"), {"mlp": "relu"}, vocab=2, n=7, outputs=2)
    out = tmp_path / "out.json"
    proved(written(tmp_path, model), out, "balanced-brackets")
    assert (asked, proof(out)["precision"]) == ([64, 32, 64, 48], 48)


def test_large_activations_take_64_bits(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """With fewer the checker declines them (SPEC-14.3)."""
    monkeypatch.setattr(draft, "LEAST_INPUTS", 8)
    monkeypatch.setattr(draft, "SAMPLE", 8)
    model = networks.of(random.Random("few 0"), {"mlp": "relu"}, vocab=2, n=3, outputs=2)
    scaled = {"blocks.0.mlp.W_in": 2**20, "blocks.0.mlp.W_out": Fraction(1, 2**20)}
    tensors = {
        name: [[v * scaled.get(name, 1) for v in row] for row in value] if name in scaled else value
        for name, value in model.tensors.items()
    }
    model = Model(model.config, tensors)
    out = tmp_path / "out.json"
    proved(written(tmp_path, model), out, "balanced-brackets")
    assert proof(out)["precision"] >= 64


def test_two_models_agree(tmp_path: Path) -> None:
    rng = random.Random("two")
    one = networks.of(rng, {"mlp": "relu"}, vocab=2, n=4, outputs=2)
    other = networks.of(rng, {"readout": "sum-pool-mlp", "biases": True}, vocab=2, n=4, outputs=2)
    files = [written(tmp_path, one, "one"), written(tmp_path, other, "other")]
    table, out = tmp_path / "table.json", tmp_path / "out.json"
    assert run("table", files[0], "--out", table)[0] == 0
    rows = [networks.logits(one, tokens)[0] for tokens in networks.inputs(one)]
    answers = [int(second > first) for first, second in rows]
    assert json.loads(table.read_bytes()) == {
        "answers": answers,
        "format": "certify.table/2",
        "tokens": [[[0, 1]]] * 4,
    }
    assert proved(files[0], out, f"table:{table}")["correct_lower"] == "16"
    said = proved(files[1], out, f"table:{table}")
    agreed = sum(bool(margin > 0) for margin in margins_of(other, networks.table(other, answers)))
    assert (said["task"], said["correct_lower"], said["correct_upper"]) == (
        "table",
        str(agreed),
        str(agreed),
    )
    assert run("verify", "--task", f"table:{table}", files[1], out)[0] == 0
    assert run("show", out)[0] == 0
    changed = json.loads(table.read_bytes())
    changed["answers"][0] ^= 1
    table.write_text(json.dumps(changed, sort_keys=True, separators=(",", ":")) + "\n")
    code, lines, _ = run("verify", "--task", f"table:{table}", files[1], out)
    assert (code, lines[-1][:23]) == (10, "s REJECTED SPEC-9.3: th")


GOOD_TABLE: dict[str, Any] = {
    "answers": [0, 1, 1, 0],
    "format": "certify.table/2",
    "tokens": [[[0, 1]], [[3, 3], [5, 5]]],
}


def table_bytes(value: dict[str, Any]) -> bytes:
    """Return a table as a file holds it."""
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode() + b"\n"


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"format": "certify.table/1"}, "format"),
        ({"answers": [0]}, "answers"),
        ({"answers": [0, 1, 2, 2**31]}, "answers"),
        ({"answers": [0, 1, True, 1]}, "answers"),
        ({"answers": [0, 1, [1], 1]}, "answers"),
        ({"answers": [[0], [1], [1, 2], [1]]}, "answers"),
        ({"answers": [[0], [1], [[1]], [1]]}, "answers"),
        ({"answers": {}}, "answers"),
        ({"tokens": []}, "field tokens"),
        ({"tokens": "2"}, "field tokens"),
        ({"tokens": [[[0, 1]], []]}, r"field tokens\[1\]"),
        ({"tokens": [[[0, 1]], [[0, 0], [1, 1]]]}, r"field tokens\[1\]: ranges must ascend"),
        ({"tokens": [[[0, 1]], [[1, 0]]]}, r"field tokens\[1\]"),
        ({"tokens": [[[0, 1]], [[0, 1024]]]}, r"field tokens\[1\]"),
        ({"tokens": [[[0, True]], [[0, 1]]]}, r"field tokens\[0\]"),
        ({"more": 1}, "fields"),
    ],
)
def test_bad_tables_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises((BadInput, Unsupported), match=message):
        decode_table(table_bytes({**GOOD_TABLE, **change}), "t.json")


def test_tables_are_canonical() -> None:
    right = table_bytes(GOOD_TABLE)
    found = decode_table(right, "t.json")
    assert (found.value, found.answers) == (GOOD_TABLE, [0, 1, 1, 0])
    assert found.tokens == ((0, 1), (3, 5))
    lists = table_bytes({**GOOD_TABLE, "answers": [[0, -1]] * 4})
    assert decode_table(lists, "t.json").answers == [[0, -1]] * 4
    for bad in (right[:-1], b"[]\n", b"{", b"\xff", right.replace(b",1", b", 1")):
        with pytest.raises(BadInput):
            decode_table(bad, "t.json")


def test_questions_that_do_not_fit(tmp_path: Path) -> None:
    config: dict[str, Any] = {"outputs": 2, "vocab": 2, "n": 3}
    model_file = written(tmp_path, networks.of(random.Random(1), {}, **config))
    table = tmp_path / "table.json"
    table.write_bytes(table_bytes({**GOOD_TABLE, "tokens": [[[0, 1]], [[0, 1]]]}))
    out = tmp_path / "out.json"
    for task, more, why in (
        (f"table:{table}", (), "table.json: field tokens is not the domain that is asked about"),
        ("modular-addition", (), "needs 2 operands, not 3"),
        ("modular-addition", ("--read", "all"), "needs 2 operands, not 1 or 2 or 3"),
        ("argmax", (), "no output stands for the answer 2"),
    ):
        code, _, errors = run("prove", model_file, "--task", task, *more, "--out", out)
        assert code == 20
        assert why in errors
        assert errors.count("\n") == 1
    assert run("prove", model_file, "--task", "sorting", "--out", out)[0] == 2
    assert run("prove", model_file, "--task", "table:", "--out", out)[0] == 2
    assert run("prove", model_file, "--task", "table:absent.json", "--out", out)[0] == 20
    plain = written(tmp_path, networks.of(random.Random(1), {}, **config), "plain")
    assert (
        run("prove", plain, "--task", "balanced-brackets", "--strategy", "exact", "--out", out)[0]
        == 20
    )
    assert (
        run(
            "prove",
            plain,
            "--task",
            "max-of-k",
            "--strategy",
            "exhaustive",
            "--budget",
            10,
            "--out",
            out,
        )[0]
        == 2
    )
    assert not out.exists()


def test_the_default_strategy(tmp_path: Path) -> None:
    one_layer = written(tmp_path, networks.of(random.Random(1), {}, vocab=2, n=2, outputs=2))
    deeper = written(
        tmp_path, networks.of(random.Random(1), {"n_layers": 2}, vocab=2, n=2, outputs=2), "deeper"
    )
    for model_file, task, key in (
        (one_layer, "max-of-k", "cells"),
        (one_layer, "argmax", "leaves"),
        (deeper, "max-of-k", "leaves"),
    ):
        assert run("prove", model_file, "--task", task, "--out", tmp_path / "out.json")[0] == 0
        assert key in proof(tmp_path / "out.json")


def test_the_same_run_gives_the_same_bytes(tmp_path: Path) -> None:
    model_file = written(
        tmp_path,
        networks.of(random.Random("same"), {"mlp": "gelu_new", "normalization_type": "LN"}),
    )
    for name in ("a.json", "b.json"):
        proved(model_file, tmp_path / name, "max-of-k")
    assert (tmp_path / "a.json").read_bytes() == (tmp_path / "b.json").read_bytes()


@pytest.mark.parametrize("at", range(1, len(PAIRS), 4))
def test_pytorch_in_float64_lies_in_the_balls(at: int, tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    from certify.training.network import network_logits

    model = networks.of(random.Random(f"torch {at}"), {**PAIRS[at], "biases": True})
    loaded = load_model(written(tmp_path, model))
    weights = {name: torch.tensor(loaded.tensor(name)) for name in loaded.tensors}
    found = network_logits(
        torch, weights, torch.tensor(networks.inputs(model)), loaded.config
    ).numpy()
    reads = () if loaded.config.pooled else (loaded.config.n_ctx - 1,)
    network = Network(checked_model(model.bytes), 128, reads, Ledger(lambda done: None))
    for row, tokens in zip(found.reshape(27, -1, 3), networks.inputs(model), strict=True):
        read = np.array(
            [[middle / 2**128 for middle in ball.middles] for ball in network.read(list(tokens))]
        )
        assert np.allclose(row, read, rtol=1e-6, atol=1e-6)


def test_inputs_are_in_lexicographic_order(tmp_path: Path) -> None:
    model = networks.of(random.Random(1), {}, vocab=3, n=2, outputs=3)
    config = load_model(written(tmp_path, model)).config
    whole = read_domain(config)
    assert whole.places_between(0, 9).tolist() == [
        list(tokens) for tokens in networks.inputs(model)
    ]
    assert np.array_equal(whole.places_between(4, 6), [[1, 1], [1, 2]])
    some = read_domain(config, "0,2/1-2")
    assert some.places_between(0, 4).tolist() == [[0, 0], [0, 1], [1, 0], [1, 1]]
    assert some.tokens_at(some.places_between(1, 3)).tolist() == [[0, 2], [2, 1]]
