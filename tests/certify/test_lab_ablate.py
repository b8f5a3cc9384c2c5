"""Ablations: readers with their own coordinates, replacements, shares of variance, claims."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from certify.errors import BadInput, Unsupported
from certify.lab.frequencies import at, residual
from certify.lab.hypotheses import OPEN, REFUTED, SHIPPED, SUPPORTED, judged, read_hypotheses
from certify.lab.readers import Readers, Seen, logits_of, model_of, passed, readers_of
from certify.lab.replacing import (
    Path as ModelPath,
)
from certify.lab.replacing import (
    at_most_maximum,
    below_maximum,
    drawn,
    edited,
    methods_of,
    part_of,
    paths_of,
    permuted,
    same_sum,
)
from certify.lab.shares import epsilon_squared, eta_squared, share_of
from certify.model.config import Config
from certify.model.file import Model, encode_model, load_model
from certify.model.forward import logits

VOCAB, N_CTX, WIDTH = 5, 3, 4


def model(
    tmp_path: Path, seed: int = 0, *, heads: int = 1, d_mlp: int = 0, vocab: int = VOCAB, n: int = 3
) -> Model:
    """Return a random model with every bias."""
    generator = np.random.default_rng(seed)
    d_head = WIDTH // heads
    config = Config(
        d_vocab=vocab,
        d_vocab_out=vocab,
        n_ctx=n,
        d_model=WIDTH,
        d_head=d_head,
        n_heads=heads,
        attn_only=d_mlp == 0,
        act_fn="relu" if d_mlp else None,
        d_mlp=d_mlp or None,
    )
    shapes = {
        "embed.W_E": (vocab, WIDTH),
        "pos_embed.W_pos": (n, WIDTH),
        "unembed.W_U": (WIDTH, vocab),
        "unembed.b_U": (vocab,),
        "blocks.0.attn.W_O": (heads, d_head, WIDTH),
        "blocks.0.attn.b_O": (WIDTH,),
        **{f"blocks.0.attn.W_{letter}": (heads, WIDTH, d_head) for letter in "QKV"},
        **{f"blocks.0.attn.b_{letter}": (heads, d_head) for letter in "QKV"},
    }
    if d_mlp:
        shapes |= {
            "blocks.0.mlp.W_in": (WIDTH, d_mlp),
            "blocks.0.mlp.b_in": (d_mlp,),
            "blocks.0.mlp.W_out": (d_mlp, WIDTH),
            "blocks.0.mlp.b_out": (WIDTH,),
        }
    tensors = {
        name: generator.normal(size=shape).astype(np.float32) for name, shape in shapes.items()
    }
    file = tmp_path / f"model-{seed}-{heads}-{d_mlp}.safetensors"
    file.write_bytes(encode_model(tensors, config))
    return load_model(file)


def inputs(vocab: int = VOCAB, n: int = N_CTX) -> np.ndarray:
    """Return every input."""
    return np.stack(np.meshgrid(*[np.arange(vocab)] * n, indexing="ij"), axis=-1).reshape(-1, n)


SHAPES = ((1, 0), (2, 0), (1, 6), (2, 6))


@pytest.mark.parametrize(("heads", "d_mlp"), SHAPES)
def test_readers_are_the_model(tmp_path: Path, heads: int, d_mlp: int) -> None:
    original = model(tmp_path, heads=heads, d_mlp=d_mlp)
    found = logits_of(readers_of(original), inputs())
    assert np.allclose(found, logits(original, inputs()), atol=1e-9)


@pytest.mark.parametrize(("heads", "d_mlp"), SHAPES)
@pytest.mark.parametrize("compact", [False, True])
def test_readers_are_written_as_the_same_function(
    tmp_path: Path, heads: int, d_mlp: int, compact: bool
) -> None:
    original = model(tmp_path, heads=heads, d_mlp=d_mlp)
    written = stored(tmp_path, readers_of(original), original, compact=compact)
    assert written.config.d_model == (WIDTH if compact else 4 * WIDTH)
    assert np.allclose(logits(written, inputs()), logits(original, inputs()), atol=1e-9)


def stored(tmp_path: Path, readers: Readers, original: Model, *, compact: bool = False) -> Model:
    """Return readers, written as a model and read again."""
    tensors, config = model_of(readers, original.config, np.float64, compact=compact)
    file = tmp_path / "written.safetensors"
    file.write_bytes(encode_model(tensors, config))
    return load_model(file)


def exact(matrix: np.ndarray) -> list[list[Fraction]]:
    """Return a matrix in rationals."""
    return [[Fraction(float(entry)) for entry in row] for row in matrix]


def product(*factors: list[list[Fraction]]) -> list[list[Fraction]]:
    """Return a product in rationals."""
    found = factors[0]
    for factor in factors[1:]:
        columns = list(zip(*factor, strict=True))
        found = [
            [
                sum((a * b for a, b in zip(row, column, strict=True)), Fraction(0))
                for column in columns
            ]
            for row in found
        ]
    return found


def test_nothing_is_rounded_when_readers_are_written(tmp_path: Path) -> None:
    """The direct path, OV, and QK are the same rationals in the wide layout."""
    original = model(tmp_path)
    tensors, _config = model_of(readers_of(original), original.config)
    wide = {name: exact(np.atleast_2d(t if t.ndim < 3 else t[0])) for name, t in tensors.items()}
    slim = {
        name: exact(np.atleast_2d(t if t.ndim < 3 else t[0]))
        for name, t in original.tensors.items()
    }
    for names in (
        ("embed.W_E", "unembed.W_U"),
        ("pos_embed.W_pos", "unembed.W_U"),
    ):
        wide_product = product(*(wide[name] for name in names))
        slim_product = product(*(slim[name] for name in names))
        rows = -1 if names[0].startswith("pos") else slice(None)
        assert wide_product[rows] == slim_product[rows]
    for first in ("embed.W_E", "pos_embed.W_pos"):
        chain = [first, *(f"blocks.0.attn.W_{letter}" for letter in "VO"), "unembed.W_U"]
        assert product(*(wide[name] for name in chain)) == product(*(slim[name] for name in chain))
        keys = [first, "blocks.0.attn.W_K"]
        assert product(*(wide[name] for name in keys)) == product(*(slim[name] for name in keys))
    query = [(entry, "blocks.0.attn.W_Q") for entry in ("embed.W_E", "pos_embed.W_pos")]
    for entry, matrix in query:
        rows = -1 if entry.startswith("pos") else slice(None)
        assert product(wide[entry], wide[matrix])[rows] == product(slim[entry], slim[matrix])[rows]


@pytest.mark.parametrize(("heads", "d_mlp"), SHAPES)
def test_an_edit_is_the_same_in_the_model_and_leaves_other_paths_alone(
    tmp_path: Path, heads: int, d_mlp: int
) -> None:
    original = model(tmp_path, heads=heads, d_mlp=d_mlp)
    readers = readers_of(original)
    tokens = inputs()
    true = passed(readers, tokens)
    for path in paths_of(readers):
        for method in set(methods_of(path)) & {"zero", "mean"}:
            changed = edited(readers, path, method, tokens)
            written = stored(tmp_path, changed, original)
            assert np.allclose(logits(written, tokens), logits_of(changed, tokens), atol=1e-9)
            found = passed(changed, tokens)
            if path.sort in ("direct", "mlp", "ov"):
                assert np.allclose(found.patterns, true.patterns)
            if path.sort == "direct":
                assert np.allclose(found.mlp, true.mlp)
            for head in range(heads):
                if path.sort in ("direct", "mlp") or (
                    path.sort in ("qk", "ov") and path.number != head
                ):
                    assert np.allclose(found.heads[head], true.heads[head])


def test_what_mean_means(tmp_path: Path) -> None:
    """The mean of what is carried over the whole domain, path by path, by its definition."""
    readers = readers_of(model(tmp_path, d_mlp=6))
    tokens = inputs()
    true = passed(readers, tokens)
    mlp = passed(edited(readers, ModelPath("mlp", "mlp"), "mean", tokens), tokens).mlp
    assert np.allclose(mlp, true.mlp.mean(axis=0))
    # a value is averaged over tokens and positions alike, which uniform attention does too
    uniform = edited(readers, ModelPath("qk", "qk"), "zero", tokens)
    assert np.allclose(passed(uniform, tokens).patterns, 1 / N_CTX)
    value = passed(edited(readers, ModelPath("ov", "ov"), "mean", tokens), tokens).heads
    assert np.allclose(value, passed(uniform, tokens).heads.mean(axis=1, keepdims=True))


@pytest.mark.parametrize(("heads", "d_mlp"), SHAPES)
def test_who_sees_the_true_input_says_the_truth(tmp_path: Path, heads: int, d_mlp: int) -> None:
    readers = readers_of(model(tmp_path, heads=heads, d_mlp=d_mlp))
    tokens = inputs()
    same = Seen(
        queries=dict.fromkeys(range(heads), tokens[:, -1]),
        keys=dict.fromkeys(range(heads), tokens),
        values=dict.fromkeys(range(heads), tokens),
        direct=tokens[:, -1],
        order=np.tile(np.arange(N_CTX), (len(tokens), 1)),
        mlp=tokens,
        part=(readers.seen / 3, tokens),
    )
    assert np.allclose(logits_of(readers, tokens, same), logits_of(readers, tokens))


def test_who_sees_another_input_says_what_that_one_gives(tmp_path: Path) -> None:
    """If all see the other input, so is the answer; a path alone moves only its own part."""
    readers = readers_of(model(tmp_path, d_mlp=6))
    tokens = inputs()
    others = tokens[np.random.default_rng(1).permutation(len(tokens))]
    every = Seen(
        queries={0: others[:, -1]}, keys={0: others}, values={0: others}, direct=others[:, -1]
    )
    found, there = passed(readers, tokens, every), passed(readers, others)
    assert np.allclose(found.patterns, there.patterns)
    assert np.allclose(found.heads, there.heads)
    direct = logits_of(readers, tokens, Seen(direct=others[:, -1])) - logits_of(readers, tokens)
    move = (readers.direct[others[:, -1]] - readers.direct[tokens[:, -1]]) @ readers.W_U
    assert np.allclose(direct, move)


# --- classes -----------------------------------------------------------------------


@settings(max_examples=50, deadline=None)
@given(st.integers(0, 1000), st.integers(1, 9), st.integers(1, 6))
def test_what_is_drawn_stays_in_its_class(seed: int, vocab: int, n: int) -> None:
    generator = np.random.default_rng(seed)
    tokens = generator.integers(0, vocab, size=(20, n))
    maximum = tokens.max(axis=1)
    below = below_maximum(generator, tokens)
    assert np.array_equal(below == maximum[:, None], tokens == maximum[:, None])
    assert below.min() >= 0
    assert np.all(below <= maximum[:, None])
    most = at_most_maximum(generator, tokens)
    assert np.all((most >= 0) & (most <= maximum))
    order = permuted(generator, tokens)
    assert np.array_equal(np.sort(order, axis=1), np.tile(np.arange(n), (20, 1)))


def test_pairs_keep_their_sum_and_all_of_them_are_drawn() -> None:
    tokens = np.tile([[3, 4]], (500, 1))
    found = same_sum(np.random.default_rng(0), tokens, 5)
    assert np.all(found.sum(axis=1) % 5 == 2)
    assert len(np.unique(found, axis=0)) == 5


def test_frequencies_are_a_decomposition() -> None:
    table = np.random.default_rng(0).normal(size=(13, 4))
    parts = [at(table, k) for k in range(1, 7)]
    assert np.allclose(sum(parts) + table.mean(axis=0), table)
    assert np.allclose(parts[0], np.roll(np.roll(parts[0], 1, axis=0), -1, axis=0))
    transform = np.abs(np.fft.fft(table, axis=0)) ** 2
    for k, part in enumerate(parts, start=1):
        assert np.square(part).sum() == pytest.approx(2 * transform[k].sum() / 13)
    assert np.allclose(residual(table, [1, 2, 3, 4, 5, 6]), 0.0)


def test_a_frequency_is_replaced_alone(tmp_path: Path) -> None:
    angles = 2 * np.pi * np.arange(7) / 7
    circles = np.stack([np.cos(angles), np.sin(angles), np.cos(2 * angles), np.sin(2 * angles)], 1)
    readers = readers_of(model(tmp_path, vocab=7, n=2, d_mlp=6))
    table = circles + np.array([1.0, 2.0, 3.0, 4.0])
    readers = replace(readers, stand=table, seen=table, direct=table)
    assert [one.name for one in paths_of(readers, [1])][:2] == ["frequency 1", "residual"]
    rest = part_of(readers, ModelPath("residual", "residual", keys=(1,)))
    assert np.allclose(rest, np.pad(circles[:, 2:], ((0, 0), (2, 0))))
    path = ModelPath("frequency 1", "frequency", 1)
    assert np.allclose(part_of(readers, path)[:, :2], circles[:, :2])
    less = edited(readers, path, "zero", inputs(7, 2))
    assert np.allclose(less.seen[:, :2], [1.0, 2.0])
    assert np.allclose(less.seen[:, 2:], table[:, 2:])
    generator = np.random.default_rng(0)
    seen = drawn(generator, readers, path, "scrub", inputs(7, 2), addition=True)
    assert seen.part is not None
    assert np.array_equal(seen.part[1].sum(axis=1) % 7, inputs(7, 2).sum(axis=1) % 7)


# --- shares --------------------------------------------------------------------------


def by_definition(values: Sequence[float], labels: Sequence[int]) -> Fraction:
    """Return eta squared in rationals."""
    numbers = [Fraction(value) for value in values]
    mean = sum(numbers, Fraction(0)) / len(numbers)
    total = sum(((number - mean) ** 2 for number in numbers), Fraction(0))
    between = Fraction(0)
    for group in set(labels):
        own = [one for one, label in zip(numbers, labels, strict=True) if label == group]
        between += len(own) * (sum(own, Fraction(0)) / len(own) - mean) ** 2
    return between / total


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-50, 50), st.integers(0, 4)), min_size=3, max_size=30).filter(
        lambda pairs: len({value for value, _ in pairs}) > 1
    )
)
def test_eta_squared_is_its_definition(pairs: list[tuple[int, int]]) -> None:
    values, labels = [value for value, _ in pairs], [label for _, label in pairs]
    found = eta_squared(np.array(values, dtype=np.float64), np.array(labels))
    assert found == pytest.approx(float(by_definition(values, labels)), abs=1e-9)


def test_the_correction_takes_chance_off() -> None:
    generator = np.random.default_rng(0)
    found = [
        (eta_squared(values, labels), epsilon_squared(values, labels))
        for values, labels in (
            (generator.normal(size=200), generator.integers(0, 20, size=200)) for _ in range(300)
        )
    ]
    assert np.mean([eta for eta, _ in found]) == pytest.approx(19 / 199, abs=0.01)
    assert np.mean([epsilon for _, epsilon in found]) == pytest.approx(0.0, abs=0.01)


def test_shares_at_their_ends() -> None:
    labels = np.repeat(np.arange(4), 50)
    assert share_of(labels.astype(np.float64), labels, whole=True).share == pytest.approx(1.0)
    assert share_of(np.ones(200), labels, whole=False).share is None
    flat = np.tile(np.arange(50.0), 4)
    assert share_of(flat, labels, whole=True).share == pytest.approx(0.0)


# --- claims ----------------------------------------------------------------------------


def test_claims_are_judged_by_their_interval() -> None:
    assert judged({"least": 0.5}, 0.5, 0.6) == SUPPORTED
    assert judged({"least": 0.5}, 0.4, 0.5) == OPEN
    assert judged({"least": 0.5}, 0.3, 0.4) == REFUTED
    assert judged({"most": 0.5}, 0.4, 0.5) == SUPPORTED
    assert judged({"most": 0.5}, 0.6, 0.7) == REFUTED
    assert judged({"most": 0.5}, None, None) == OPEN


def test_the_shipped_file_is_read_and_every_claim_is_about_something() -> None:
    found = read_hypotheses(SHIPPED)
    assert len(found["sha256"]) == 64
    for claim in found["claims"]:
        bounds = [bound["path"] for bound in found["pessimal"][claim["task"]]]
        paths = [*found["classes"][claim["task"]], "none", *bounds]
        assert claim["path"] in paths


@pytest.mark.parametrize(
    "text",
    [
        "not toml",
        '[[claim]]\ntext = "x"\n',
        '[[claim]]\ntext = ""\ntask = ""\npath = ""\nmethod = ""\nmeasure = "accuracy"\n',
        '[[claim]]\ntext = ""\ntask = ""\npath = ""\nmethod = ""\nmeasure = "share"\nmost = 1\n',
        '[[pessimal.max-of-k]]\npath = "direct"\n',
    ],
)
def test_another_file_is_refused(tmp_path: Path, text: str) -> None:
    file = tmp_path / "claims.toml"
    file.write_text(text)
    with pytest.raises(BadInput, match=r"claims\.toml"):
        read_hypotheses(str(file))


def test_layer_norm_is_declined(tmp_path: Path) -> None:
    original = model(tmp_path)
    normal = replace(original.config, normalization_type="LNPre", eps=(1e-5).hex())
    with pytest.raises(Unsupported, match="layer norm"):
        readers_of(replace(original, config=normal))


# --- the command -----------------------------------------------------------------------


def lab(out: Path, *more: str) -> list[str]:
    """Return the command line of a smoke run."""
    return [sys.executable, "-m", "certify", "lab", "ablate", "--smoke", "--out", str(out), *more]


def copies(tmp_path: Path, vocab: int = 8, n: int = 3) -> Path:
    """Return the file of a small model that attends to large tokens and copies them."""
    d_model = vocab + 1
    W_E = np.hstack([np.eye(vocab), np.ones((vocab, 1))])
    W_Q, W_K, W_V = (np.zeros((1, d_model, vocab)) for _ in range(3))
    W_Q[0, -1, 0] = 8.0
    W_K[0, :vocab, 0] = np.arange(vocab)
    W_V[0, :vocab] = np.eye(vocab)
    W_O = np.hstack([8.0 * np.eye(vocab), np.zeros((vocab, 1))])[None]
    tensors = {
        "embed.W_E": W_E,
        "pos_embed.W_pos": np.zeros((n, d_model)),
        "blocks.0.attn.W_Q": W_Q,
        "blocks.0.attn.W_K": W_K,
        "blocks.0.attn.W_V": W_V,
        "blocks.0.attn.W_O": W_O,
        "unembed.W_U": np.vstack([np.eye(vocab), np.zeros((1, vocab))]),
    }
    config = Config(d_vocab=vocab, d_vocab_out=vocab, n_ctx=n, d_model=d_model, d_head=vocab)
    file = tmp_path / "copies.safetensors"
    file.write_bytes(
        encode_model({name: one.astype(np.float32) for name, one in tensors.items()}, config)
    )
    return file


@pytest.mark.slow
def test_a_run_that_was_killed_goes_on(tmp_path: Path) -> None:
    """Kill a run once a proof is there; the rest gives the bytes of a run with two jobs."""
    pytest.importorskip("matplotlib")
    given_model = ("--models", str(copies(tmp_path)))
    killed = subprocess.Popen(lab(tmp_path / "a", *given_model), stderr=subprocess.DEVNULL)
    folder = tmp_path / "a" / "certificates"
    while killed.poll() is None and not (folder.exists() and any(folder.iterdir())):
        time.sleep(0.05)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    subprocess.run(lab(tmp_path / "a", *given_model), check=True, capture_output=True)
    subprocess.run(
        lab(tmp_path / "b", "--jobs", "2", *given_model), check=True, capture_output=True
    )
    for name in ("results.json", "results.csv"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_the_smallest_run_is_verified(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    given_model = ("--models", str(copies(tmp_path)))
    subprocess.run(
        lab(tmp_path / "a", "--jobs", "2", *given_model), check=True, capture_output=True
    )
    results = json.loads((tmp_path / "a/results.json").read_text())
    assert results["complete"]
    assert {claim["text"] for claim in results["summary"]["claims"]} == {
        claim["text"] for claim in read_hypotheses(SHIPPED)["claims"] if claim["task"] == "max-of-k"
    }
    for name in ("paths", "shares", "claims"):
        assert (tmp_path / f"a/ablate-{name}.png").stat().st_size > 10_000
    rows = [row for unit in results["units"] for row in unit["rows"]]
    for row in rows:
        if row["certified"] is not None and row["certified"]["lower"] is not None:
            assert row["certified"]["line"].startswith("s VERIFIED")
    proved = {
        (row["path"], row["method"]): int(row["certified"]["lower"])
        for row in rows
        if row["certified"] is not None
    }
    assert 0 < proved["none", "true"] == proved["direct", "mean"] <= 8**3
    assert proved["positions", "pessimal"] <= 8**3
