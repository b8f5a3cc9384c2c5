"""Scopes: strict reading, totals, and what is refused."""

import hashlib
import json
from pathlib import Path

import pytest

from certify.errors import BadInput, CertifyError, Unsupported
from certify.model.config import Config
from certify.question.domain import read_domain
from certify.question.scope import (
    SPELLINGS,
    UNIFORM,
    Scope,
    decode_weights,
    read_scope,
    scope_bytes,
)

GOOD = b'{"format":"certify.scope/1","weights":[["1","2"],["3","0"]]}\n'
CONFIG = Config(d_vocab=2, d_vocab_out=2, n_ctx=2, d_model=1, d_head=1)


def test_uniform_counts_every_input_once() -> None:
    assert read_scope("uniform") == UNIFORM
    many = Config(d_vocab=64, d_vocab_out=64, n_ctx=20, d_model=1, d_head=1)
    assert UNIFORM.total(read_domain(many)) == 64**20
    assert UNIFORM.total(read_domain(many, "/".join(["0-1", "@5"] * 10))) == 2**10
    assert str(UNIFORM) == "uniform"


def test_product_reads_weights_total_and_hash(tmp_path: Path) -> None:
    path = tmp_path / "weights.json"
    path.write_bytes(GOOD)
    scope = read_scope(f"product:{path}")
    assert scope.weights == ((1, 2), (3, 0))
    assert scope.total(read_domain(CONFIG)) == 9
    assert scope.sha256 == hashlib.sha256(GOOD).hexdigest()
    assert str(scope) == f"product:sha256:{scope.sha256}"


def test_written_scopes_read_back_exactly() -> None:
    weights = ((0, 1, 10**37), (7, 7, 0))
    assert decode_weights(scope_bytes(weights), "f") == weights


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"\xff", "f: not JSON: "),
        (b"[1", "f: not JSON: "),
        (b"[" * 100000, "f: not JSON: "),
        (b"[]\n", "f: not a JSON object"),
        (GOOD.replace(b"scope/1", b"scope/2"), "f: field format must be certify.scope/1"),
        (GOOD[:-1], "f: not canonical JSON (sorted keys, no spaces, one newline at the end)"),
        (
            GOOD.replace(b":", b": "),
            "f: not canonical JSON (sorted keys, no spaces, one newline at the end)",
        ),
        (
            GOOD.replace(b'"weights"', b'"weights":[],"weights"'),
            "f: not canonical JSON (sorted keys, no spaces, one newline at the end)",
        ),
        (
            b'{"extra":1,"format":"certify.scope/1","weights":[["1"]]}\n',
            "f: the fields must be format and weights, nothing else",
        ),
        (
            b'{"format":"certify.scope/1","weights":[]}\n',
            "f: field weights must be a list with one list for each position",
        ),
        (
            b'{"format":"certify.scope/1","weights":["1"]}\n',
            "f: field weights[0] must be a list of decimal strings",
        ),
        (
            b'{"format":"certify.scope/1","weights":[["0"]]}\n',
            "f: field weights[0] must have a positive sum",
        ),
        (
            b'{"format":"certify.scope/1","weights":[[]]}\n',
            "f: field weights[0] must have a positive sum",
        ),
    ],
)
def test_bad_files_are_refused_with_the_reason(data: bytes, message: str) -> None:
    with pytest.raises(CertifyError) as refusal:
        decode_weights(data, "f")
    assert str(refusal.value).startswith(message)
    assert refusal.value.exit_code == 20


@pytest.mark.parametrize(
    "weight", [1, 1.0, None, "", "-1", "01", "1_0", " 7", "1e3", "+1", "٧", "9" * 79]
)
def test_a_weight_has_one_spelling(weight: object) -> None:
    data = {"format": "certify.scope/1", "weights": [["1", weight]]}
    text = json.dumps(data, sort_keys=True, separators=(",", ":")) + "\n"
    with pytest.raises(BadInput) as refusal:
        decode_weights(text.encode(), "f")
    assert (
        str(refusal.value) == "f: field weights[0][1] must be a decimal string of at most 39 digits"
    )


def test_the_weights_of_a_position_have_a_limit() -> None:
    largest = (1 << 128) - 1
    assert decode_weights(scope_bytes(((largest, 0),)), "f") == ((largest, 0),)
    with pytest.raises(Unsupported) as refusal:
        decode_weights(scope_bytes(((largest, 1),)), "f")
    assert str(refusal.value) == "f: field weights[0] sums to 2^128 or more"


def test_weights_must_fit_the_model(tmp_path: Path) -> None:
    path = tmp_path / "w.json"
    path.write_bytes(GOOD)
    scope = read_scope(f"product:{path}")
    scope.require_fits(read_domain(CONFIG))
    with pytest.raises(BadInput) as refusal:
        scope.require_fits(
            read_domain(Config(d_vocab=2, d_vocab_out=2, n_ctx=3, d_model=1, d_head=1))
        )
    assert str(refusal.value) == f"{path}: field weights has 2 positions, the model has 3"
    with pytest.raises(BadInput) as refusal:
        scope.require_fits(
            read_domain(Config(d_vocab=3, d_vocab_out=3, n_ctx=2, d_model=1, d_head=1))
        )
    assert str(refusal.value) == f"{path}: field weights[0] has 2 tokens, the domain allows 3"


def test_weights_are_by_place_among_the_allowed_tokens() -> None:
    config = Config(d_vocab=5, d_vocab_out=5, n_ctx=2, d_model=1, d_head=1)
    scope = Scope("product", ((1, 2), (1,)), "0" * 64)
    allowed = read_domain(config, "1,4/@3")
    scope.require_fits(allowed)
    assert scope.total(allowed) == 3
    assert scope.rows(allowed) == ((1, 2), (1,))
    assert UNIFORM.rows(allowed) == ((1, 1), (1,))
    with pytest.raises(BadInput, match=r"field weights\[1\] must be 1, the token is the only one"):
        Scope("product", ((1, 2), (2,)), "0" * 64).require_fits(allowed)


@pytest.mark.parametrize("text", ["", "product", "product:", "restricted:1", "Uniform"])
def test_other_scopes_are_not_supported(text: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        read_scope(text)
    assert str(refusal.value) == f'scope "{text}" is not known: use {SPELLINGS}'


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(BadInput) as refusal:
        read_scope(f"product:{tmp_path}/none.json")
    assert str(refusal.value) == f"{tmp_path}/none.json: no such file"
