"""Limits of SPEC-3.5 whose vectors would be too large to keep: each at its edge, in this process
and at once.
"""

from __future__ import annotations

import json
import random
from collections.abc import Callable
from fractions import Fraction
from hashlib import sha256
from itertools import accumulate
from math import prod
from types import SimpleNamespace
from typing import Any

import make_vectors
import models
import mutators
import pytest
from make_vectors import BASE, NOISY, PAIR, completed, document, flat, put, root
from usual import usual_places

from checker import __main__, check
from checker.cells import counting, enumeration, ties
from checker.cells import derive as cells
from checker.cells import parse as proof
from checker.cells.paths import decompose
from checker.cells.tables import Extremes
from checker.check import parse
from checker.ground import decode, exact, ledger, norms
from checker.ground.errors import (
    Declined,
    Malformed,
    Refusal,
    Rejected,
    require,
    require_form,
    require_support,
)
from checker.ground.ledger import CEILING, Ledger
from checker.statement import container, model
from checker.statement import scope as scopes
from checker.statement.outcome import MAX_CELLS, Outcome, alone
from checker.sums import fold
from checker.wide import norm


def refusal(model_bytes: bytes, certificate: bytes) -> tuple[type[Refusal], str]:
    """Return the kind and the clause of a refusal."""
    with pytest.raises(Refusal) as found:
        make_vectors.theorem_of(model_bytes, certificate)
    return type(found.value), found.value.rule


def test_the_limits_are_those_of_the_specification() -> None:
    assert check.MAX_CERTIFICATE_BYTES == 16 << 20
    assert model.MAX_MODEL_BYTES == 34 << 20
    assert model.MAX_TENSOR_BITS == 1 << 31
    assert (ledger.NUMBER_BITS, ledger.PLACE_BITS) == (384, 64)
    assert (ledger.MAX_HELD_BITS, ledger.MAX_STEPS) == (5 << 30, 1 << 28)
    assert container.MAX_HEADER == 1 << 20
    assert (decode.MAX_DEPTH, decode.MAX_ITEMS) == (16, 4096)
    assert exact.MAX_TABLE_BITS == 1 << 28
    assert (MAX_CELLS, proof.MAX_SPLIT_DEPTH, proof.MAX_BINS) == (10**6, 32, 4096)
    assert (enumeration.MAX_TUPLE_BITS, enumeration.BITS_OF_TUPLE) == (1 << 30, 2048)
    assert ties.MAX_PRECISION == 4096
    assert enumeration.MAX_SUFFIXES == 1 << 16
    assert (cells.ROW_BITS, cells.TERM_BITS) == (2048, 1024)
    assert counting.MAX_POLYNOMIAL_BITS == 1 << 22
    assert CEILING == 10**11
    assert fold.ENTRY_BITS == 128
    sizes = {"d_head": 1024, "d_model": 1024, "d_vocab": 1024, "d_vocab_out": 1024, "n_ctx": 64}
    assert sizes | {"n_heads": 16, "n_layers": 16} == model._SIZES
    assert model._MLP_WIDTH == 4096


def test_files_of_16_and_34_mib() -> None:
    text = mutators.encode(BASE)
    padded = text[:-1] + b" " * ((16 << 20) - len(text)) + b"\n"
    assert len(padded) == 16 << 20
    assert refusal(PAIR.bytes, padded) == (Malformed, "SPEC-3.2")
    assert refusal(PAIR.bytes, padded + b"\n") == (Declined, "SPEC-3.5")
    # A field of zeros costs no memory until it is read.
    doc = mutators.encode(put(BASE, "proof/precision", 64))
    assert refusal(bytes((34 << 20) + 1), doc) == (Declined, "SPEC-3.5")
    assert refusal(bytes(34 << 20), doc) == (Malformed, "SPEC-4.1")


def test_too_many_cells_are_declined_before_the_model_is_read() -> None:
    text = mutators.encode(put(BASE, "proof/cells", "CELLS")).replace(
        b'"CELLS"', b"[" + b"0," * 10**6 + b"0]"
    )
    assert refusal(b"", text) == (Declined, "SPEC-3.5")


def test_a_model_of_four_million_numbers() -> None:
    assert model.MAX_NUMBERS == 1 << 22
    config = PAIR.config | {"d_vocab": 2, "d_vocab_out": 2, "n_ctx": 1, "d_head": 1023}
    for width, expected in ((1022, (Rejected, "SPEC-7.1")), (1024, (Declined, "SPEC-3.5"))):
        sizes = config | {"d_model": width}
        needed = {
            name: axes.split()
            for name, axes in model._tensors(sizes, sizes).items()
            if ".b_" not in name
        }
        shapes = {name: [sizes.get(axis, 1) for axis in axes] for name, axes in needed.items()}
        assert (sum(map(prod, shapes.values())) > model.MAX_NUMBERS) == (expected[0] is Declined)
        header: dict[str, object] = {
            "__metadata__": {"config": models.canonical(sizes), "format": models.FORMAT}
        }
        end = 0
        for name, shape in shapes.items():
            header[name] = {
                "data_offsets": [end, end + 2 * prod(shape)],
                "dtype": "F16",
                "shape": shape,
            }
            end += 2 * prod(shape)
        text = models.canonical(header).encode()
        data = len(text).to_bytes(8, "little") + text + bytes(end)
        doc = put(put(BASE, "proof/cells", []), "statement/scope", "uniform")
        doc["statement"] |= {
            "architecture": sizes,
            "domain": models.domain_of(sizes),
            "model": f"sha256:{sha256(data).hexdigest()}",
            "total": "2",
        }
        assert refusal(data, mutators.encode(doc)) == expected


def test_outcomes_too_large_to_print() -> None:
    """2^20 leaves with sizes of 65 bits would be more than 2^27 bits, 64 for each beside its size;
    looked at before any is written.
    """
    parsed = SimpleNamespace(statement=SimpleNamespace(total=1 << 64))
    theorem = SimpleNamespace(
        ledger=None, outcomes=[SimpleNamespace(margin=None)] * (1 << 20), parsed=parsed
    )
    with pytest.raises(Declined) as found:
        __main__.as_json(theorem, "0.00")  # type: ignore[arg-type]
    assert found.value.rule == "SPEC-3.5"


def test_margins_too_large_to_print() -> None:
    """The same of margins of a thousand bits, whose total is small."""
    parsed = SimpleNamespace(statement=SimpleNamespace(total=1))
    theorem = SimpleNamespace(
        ledger=None, outcomes=[SimpleNamespace(margin=1 << 1023)] * (1 << 18), parsed=parsed
    )
    with pytest.raises(Declined) as found:
        __main__.as_json(theorem, "0.00")  # type: ignore[arg-type]
    assert found.value.rule == "SPEC-3.5"


def test_a_million_cells() -> None:
    for count, expected in ((10**6, (Malformed, "SPEC-3.4")), (10**6 + 1, (Declined, "SPEC-3.5"))):
        text = mutators.encode(put(BASE, "proof/cells", "CELLS")).replace(
            b'"CELLS"', b"[" + b"0," * (count - 1) + b"0]"
        )
        assert refusal(PAIR.bytes, text) == expected


@pytest.mark.parametrize(
    ("field", "most"),
    [
        ("d_vocab_out", 1024),
        ("d_model", 1024),
        ("d_head", 1024),
        ("n_ctx", 64),
        ("n_heads", 16),
        ("n_layers", 16),
    ],
)
def test_sizes_up_to_their_limit_are_no_reason(field: str, most: int) -> None:
    for size, expected in ((most, (Malformed, "SPEC-4.3")), (most + 1, (Declined, "SPEC-3.5"))):
        config = models.canonical(PAIR.config | {field: size})
        data = make_vectors.with_metadata({"format": models.FORMAT, "config": config})
        assert refusal(data, mutators.encode(make_vectors.forged(BASE, data))) == expected


def test_a_header_of_a_mebibyte() -> None:
    header, payload = mutators.split_safetensors(PAIR.bytes)
    text = models.canonical(header).encode()
    for length in (1 << 20, (1 << 20) + 8):
        data = length.to_bytes(8, "little") + text + b" " * (length - len(text)) + payload
        certificate = mutators.encode(make_vectors.forged(BASE, data))
        if length > 1 << 20:
            assert refusal(data, certificate) == (Declined, "SPEC-3.5")
        else:
            assert make_vectors.theorem_of(data, certificate).correct_lower == 3


def test_offsets_and_shapes_have_bounds() -> None:
    for change in ({"data_offsets": [0, (1 << 29) + 1]}, {"shape": [(1 << 24) + 1, 1]}):
        data = make_vectors.with_entry("embed.W_E", change)
        assert refusal(data, mutators.encode(make_vectors.forged(BASE, data))) == (
            Malformed,
            "SPEC-3.3",
        )
    for change in (
        {"data_offsets": [0, 1 << 29]},
        {"shape": [1 << 24, 1]},
        {"shape": [0, 1]},
        {"data_offsets": [8, 8]},
    ):
        data = make_vectors.with_entry("embed.W_E", change)
        assert refusal(data, mutators.encode(make_vectors.forged(BASE, data))) == (
            Malformed,
            "SPEC-4.1",
        )


def test_numbers_have_bounds() -> None:
    for low, high in ((0, 5), (-3, 3)):
        assert decode.integer(low, "it", low, high) == low
        assert decode.integer(high, "it", low, high) == high
        for value in (low - 1, high + 1, True, 1.0, "1", None):
            with pytest.raises(Malformed):
                decode.integer(value, "it", low, high)
    assert decode.parse_json(b"[9999999999,-9999999999,0]", "it") == [9999999999, -9999999999, 0]
    for text in (
        b"10000000000",
        b"-10000000000",
        b"-0",
        b"00",
        b"1.0",
        b"1e1",
        b"NaN",
        b"Infinity",
        b"-Infinity",
        b"+1",
        b"1_0",
    ):
        with pytest.raises(Malformed):
            decode.parse_json(text, "it")
    for bins, expected in (
        (1 << 24, (Declined, "SPEC-3.5")),
        ((1 << 24) + 1, (Malformed, "SPEC-3.3")),
    ):
        doc = put(make_vectors.COUNTED, "proof/cells/2/blocks", [[bins, []]])
        assert refusal(PAIR.bytes, mutators.encode(doc)) == expected
    for answer in (-1, 2):
        doc = put(make_vectors.COUNTED, "proof/cells/2/blocks", [[1, [answer]]])
        assert refusal(PAIR.bytes, mutators.encode(doc)) == (Malformed, "SPEC-3.3")
    for precision, expected in (
        (1 << 24, (Declined, "SPEC-3.5")),
        ((1 << 24) + 1, (Malformed, "SPEC-3.3")),
        (0, (Declined, "SPEC-3.5")),
    ):
        assert (
            refusal(PAIR.bytes, mutators.encode(put(BASE, "proof/precision", precision)))
            == expected
        )


@pytest.mark.parametrize(
    "text",
    ["0x1.0p+0", "0x1.8p-3", "0x1.8p+3", "0x1.fp+60", "0x0.0p+0", "0x1.0c6f7a0b5ed8dp-20"],
)
def test_hexadecimal_numbers_are_those_of_floats(text: str) -> None:
    mantissa, exponent = decode.hexadecimal(text, "it")
    assert exponent <= 0
    assert mantissa * Fraction(2) ** exponent == Fraction(float.fromhex(text))


@pytest.mark.parametrize(
    "text", ["", "1.0", "0x1", "-0x1.0p+0", "0x1.0p0", "0X1.0p+0", "0x1.Gp+0", " 0x1.0p+0", "nan"]
)
def test_what_is_no_hexadecimal_number_is_refused(text: str) -> None:
    with pytest.raises(Malformed) as refused:
        decode.hexadecimal(text, "it")
    assert refused.value.rule == "SPEC-3.3"


def test_tokens_have_bounds() -> None:
    cell = "proof/cells/2"
    for path, value, expected in (
        (f"{cell}/layout", [[1, 4096]], (Rejected, "SPEC-7.3")),
        (f"{cell}/layout", [[4097, 1]], (Malformed, "SPEC-3.3")),
        (f"{cell}/queries", [[-1, 1]], (Malformed, "SPEC-3.3")),
        (f"{cell}/queries", [[1, 2]], (Malformed, "SPEC-3.3")),
        (f"{cell}/layout", [[1, -1]], (Malformed, "SPEC-3.3")),
        (f"{cell}/layout", [[-1, -1]], (Malformed, "SPEC-3.3")),
        (f"{cell}/maximum", -1, (Malformed, "SPEC-3.3")),
        (f"{cell}/maximum", True, (Malformed, "SPEC-3.3")),
    ):
        assert refusal(PAIR.bytes, mutators.encode(put(BASE, path, value))) == expected
    nothing = put(put(BASE, f"{cell}/maximum", -1), f"{cell}/queries", [])
    assert refusal(PAIR.bytes, mutators.encode(nothing)) == (Malformed, "SPEC-3.3")


def test_fractions_on_the_command_line() -> None:
    assert [decode.ratio(text, "it") for text in ("0", "7", "0/5", "3/4", "10/4")] == [
        (0, 1),
        (7, 1),
        (0, 5),
        (3, 4),
        (10, 4),
    ]
    for text in ("-1", "1/0", "1/-2", "-1/2", "", "/", "1/", "/1", "1/2/3", "01", "0.5"):
        with pytest.raises(Malformed):
            decode.ratio(text, "it")


def test_nesting_is_counted_outside_strings() -> None:
    for text in (
        b'["[[[[[[[[[[[[[[[[[["]',
        b'["\\"[[[[[[[[[[[[[[[[[["]',
        b'["\\\\",[[[[[[[[[[[[[[]]]]]]]]]]]]]]]',
    ):
        assert isinstance(decode.parse_json(text, "it"), list)
    for depth, kind in ((16, None), (17, Declined), (10**5, Declined)):
        for opening, closing in ((b"[", b"]"), (b'{"a":', b"}")):
            data = opening * depth + (b"0" if opening != b"[" else b"") + closing * depth
            if kind is None:
                decode.parse_json(data, "it")
            else:
                with pytest.raises(kind):
                    decode.parse_json(data, "it")
    with pytest.raises(Declined):
        decode.parse_json(b'["\\\\",' + b"[" * 16 + b"]" * 17, "it")
    with pytest.raises(Declined):
        decode.parse_json(b"[]" * 5 + b"[" * 17, "it")


# --- tables -----------------------------------------------------------------------


def wide(d_vocab: int) -> models.Model:
    """Return a model whose entries need 2 098 bits each."""
    config = models.config_of(vocab=d_vocab, k=1, d_model=1, d_head=1)
    ends = iter([Fraction(2) ** 1023, Fraction(1, 2**1074)] * d_vocab)
    fixed = {
        "pos_embed.W_pos": [[0]],
        **{models.ATTENTION + f"W_{m}": [[[1]]] for m in "QKVO"},
        "unembed.W_U": [[1] * d_vocab],
    }
    return models.Model(
        config, {**fixed, "embed.W_E": [[next(ends)] for _ in range(d_vocab)]}, "F64"
    )


def test_a_path_matrix_of_too_many_bits() -> None:
    model_ = wide(360)  # 360^2 entries of 2 * 2 098 bits
    certificate = mutators.encode(
        document(
            model_,
            [
                root(m, [[0, m - 1]] if q else [[m, m]], "skip")
                for m in range(360)
                for q in (0, 1)
                if m or not q
            ],
        )
    )
    assert refusal(model_.bytes, certificate) == (Declined, "SPEC-3.5")


def test_room_for_a_table(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exact, "MAX_TABLE_BITS", 100)
    exact.require_room(10, 10)
    exact.require_room(0, 10**9)
    for entries, bits in ((10, 11), (11, 10), (1, 101)):
        with pytest.raises(Declined) as found:
            exact.require_room(entries, bits)
        assert found.value.rule == "SPEC-3.5"


def test_a_tensor_is_measured_by_its_widest_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    # 2^5 and 2^-3 in one tensor of F32: two entries of 5 + 1 + 3 bits.
    data = models.pair(**{"embed.W_E": [[Fraction(32)], [Fraction(1, 8)]]}).bytes
    _, entries, payload = container.parse_container(data)
    for bits, fits in ((2 * 9, True), (2 * 9 - 1, False)):
        monkeypatch.setattr(exact, "MAX_TABLE_BITS", bits)
        room = ledger.Room(1 << 32)
        if fits:
            found = container.read_matrix("embed.W_E", entries["embed.W_E"], payload, room)
            assert found == exact.Matrix(((256,), (1,)), 3)
        else:
            with pytest.raises(Declined) as refused:
                container.read_matrix("embed.W_E", entries["embed.W_E"], payload, room)
            assert refused.value.rule == "SPEC-3.5"


# --- room -------------------------------------------------------------------------


def book(held: int = 0) -> Ledger:
    return Ledger(lambda done: None, held)


def test_room_is_counted_up_to_its_limit() -> None:
    room = ledger.Room(1000, 100)
    room.hold(1, 16)
    assert room.held == 100 + 384 + 16
    room.take(500)
    room.release(300)
    assert room.held == 700
    room.take(300)
    too_much: list[Callable[[], None]] = [
        lambda: room.take(1),
        lambda: room.hold(1, 0),
    ]
    for more in too_much:
        with pytest.raises(Declined) as refused:
            more()
        assert refused.value.rule == "SPEC-3.5"
    assert Ledger(lambda done: None, 7).held == 7
    assert Ledger(lambda done: None).most == ledger.MAX_HELD_BITS


def test_all_tensors_of_a_model_are_counted_together(monkeypatch: pytest.MonkeyPatch) -> None:
    loaded = model.load_model(PAIR.bytes)
    header, _ = mutators.split_safetensors(PAIR.bytes)
    due = sum(
        len(loaded.weights[name].rows)
        * len(loaded.weights[name].rows[0])
        * (384 + exact.bits(loaded.weights[name]))
        for name in header
        if name != "__metadata__"
    )
    assert loaded.held == due > 0
    monkeypatch.setattr(model, "MAX_TENSOR_BITS", due)
    assert model.load_model(PAIR.bytes).held == due
    monkeypatch.setattr(model, "MAX_TENSOR_BITS", due - 1)
    with pytest.raises(Declined) as refused:
        model.load_model(PAIR.bytes)
    assert refused.value.rule == "SPEC-3.5"


A, B = exact.Matrix(((7, 1), (0, -7)), 0), exact.Matrix(((15, 1, 1), (1, 1, 1)), 0)
ROW = exact.Matrix(((1, -1),), 0)
FORMED: dict[str, tuple[Callable[[Ledger], object], int]] = {
    "product": (lambda ledger: exact.product(A, B, ledger), 6 * (384 + 3 + 4 + 2)),
    "finer": (lambda ledger: exact.rescale(A, 5, ledger), 4 * (384 + 3 + 5)),
    "as fine": (lambda ledger: exact.rescale(A, 0, ledger), 0),
    "a row": (
        lambda ledger: exact.plus(A, exact.Matrix(((8, 0),), 2), ledger),
        4 * (384 + 3 + 2) + 4 * (384 + 5 + 1),
    ),
    "a difference": (
        lambda ledger: exact.minus(A, exact.Matrix(((8, 0), (0, 0)), 2), ledger),
        4 * (384 + 3 + 2) + 4 * (384 + 5 + 1),
    ),
    "hints": (lambda ledger: norms.low_rank(A, A, A, ledger), 4 * (384 + 3 + 3 + 2)),
    "a centred row": (lambda ledger: norm.centred_rows(A, ledger), 4 * (384 + 3 + 2 + 2)),
    "scaled rows": (lambda ledger: norm.scaled_rows(A, ROW, ledger), 4 * (384 + 3 + 1)),
    # Two packed rows of three slots, for sums below 2^(5 + 4 + 2): words, where two bytes would do.
    "a packed factor": (lambda ledger: fold.factor(B, 5, ledger), 2 * (384 + 64 * 3)),
    "a packed product": (
        lambda ledger: fold.product(A, B, ledger),
        2 * (384 + 64 * 3) + 6 * (384 + 64),
    ),
    "multiplied rows": (lambda ledger: fold._scaled(A, [1, -5], 0, ledger), 4 * (384 + 3 + 3)),
    # The product, 49 and 0; then two ends and their roundings, with reciprocals of 128 bits.
    "values of rows": (
        lambda ledger: norm.values_at(norm.Normed(A, [(1, 2)] * 2), A, ledger),
        4 * (384 + 3 + 3 + 2) + 16 * (384 + 6 + 128),
    ),
    # The products, 50 the largest, and that of a row; then the same with two reciprocals.
    "scores of rows": (
        lambda ledger: norm.scores_at(
            A, ROW, A, norm.Normed(A, [(1, 2)] * 2), norm.Normed(A, [(1, 2)] * 2), ledger
        ),
        4 * (384 + 3 + 3 + 2) + 2 * (384 + 1 + 3 + 2) + 16 * (384 + 6 + 128 + 128),
    ),
}


@pytest.mark.parametrize("what", FORMED)
def test_every_table_is_counted_before_it_is_formed(
    what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    form, due = FORMED[what]
    counted = book()
    form(counted)
    assert counted.held == due
    monkeypatch.setattr(ledger, "MAX_HELD_BITS", due + 5)
    form(book(5))
    if due:
        with pytest.raises(Declined) as refused:
            form(book(6))
        assert refused.value.rule == "SPEC-3.5"


def taken(monkeypatch: pytest.MonkeyPatch, data: bytes, certificate: bytes) -> list[int]:
    """Return what is taken by a check, in order; what is given back is negative."""
    seen: list[int] = []
    take, release = ledger.Room.take, ledger.Room.release

    def taking(room: ledger.Room, n: int) -> None:
        seen.append(n)
        take(room, n)

    def releasing(room: ledger.Room, n: int) -> None:
        seen.append(-n)
        release(room, n)

    with monkeypatch.context() as patch:
        patch.setattr(ledger.Room, "take", taking)
        patch.setattr(ledger.Room, "release", releasing)
        make_vectors.theorem_of(data, certificate)
    return seen


def peak(monkeypatch: pytest.MonkeyPatch, data: bytes, certificate: bytes) -> int:
    """Return the most room that is ever taken by a check, after the model is read."""
    held = make_vectors.theorem_of(data, certificate).parsed.model.held
    seen = taken(monkeypatch, data, certificate)
    loaded = next(i for i, total in enumerate(accumulate(seen)) if total == held)
    return held + max(accumulate(seen[loaded + 1 :]))


def test_the_room_of_tables_goes_on_from_that_of_the_model(monkeypatch: pytest.MonkeyPatch) -> None:
    text = mutators.encode(BASE)
    theorem, most = make_vectors.theorem_of(PAIR.bytes, text), peak(monkeypatch, PAIR.bytes, text)
    assert most > theorem.ledger.held > theorem.parsed.model.held > 0
    monkeypatch.setattr(ledger, "MAX_HELD_BITS", most)
    assert make_vectors.theorem_of(PAIR.bytes, text).ledger.held == theorem.ledger.held
    monkeypatch.setattr(ledger, "MAX_HELD_BITS", most - 1)
    assert refusal(PAIR.bytes, text) == (Declined, "SPEC-3.5")


@pytest.mark.parametrize("held", [0, 1, 12345])
def test_what_path_tables_were_made_of_is_given_back(held: int) -> None:
    # What was held before, the tensors of the model, is held afterwards.
    loaded, counted = model.load_model(NOISY.bytes), book(held)
    paths = decompose(loaded, usual_places(loaded.sizes), {}, counted)
    tables = (paths.eqke_low, paths.eqkp, paths.evou_low, paths.pvou, paths.eu_low)
    due = [len(rows) * len(rows[0]) * (384 + exact.bits(exact.Matrix(rows, 0))) for rows in tables]
    assert counted.held == held + sum(due)


def test_windows_are_places() -> None:
    counted = book()
    Extremes([[(1, 2), (3, 4), (5, 6)]], max, counted).windows(0, 1)
    assert counted.held == 2 * 2 * 64


def test_outcomes_are_counted() -> None:
    # Every leaf keeps three numbers, the widest of them its size or its margin.
    one, two = (
        make_vectors.theorem_of(PAIR.bytes, mutators.encode(document(PAIR, cells_))).ledger.held
        for cells_ in (
            completed(2, [root(1, [[0, 0]], "skip")], "skip"),
            completed(
                2,
                [
                    {**root(1, [[0, 0]], "split", layout=[[1, 1]], children=1)},
                    make_vectors.child([[0, 0]], "skip"),
                ],
                "skip",
            ),
        )
    )
    assert one == two
    skipped = make_vectors.theorem_of(PAIR.bytes, mutators.encode(make_vectors.MINI))
    sizes = [outcome.size.bit_length() for outcome in skipped.outcomes]
    wide = [[2**100] * 2] * 2
    doc = document(PAIR, completed(2, [], "skip"), wide)
    heavy = make_vectors.theorem_of(PAIR.bytes, mutators.encode(doc))
    more = [outcome.size.bit_length() for outcome in heavy.outcomes]
    assert heavy.ledger.held - skipped.ledger.held == 3 * (sum(more) - sum(sizes)) > 0


def test_hints_are_measured_before_their_product_is_formed() -> None:
    column, row = exact.Matrix(((1,),) * 4, 0), exact.Matrix(((1,) * 4,), 0)
    square = exact.Matrix(((1,) * 4,) * 4, 0)
    assert norms.low_rank(column, row, square, book()) == square
    for whole in (A, exact.Matrix(((1,) * 3,) * 4, 0), exact.Matrix(((1,) * 4,) * 3, 0)):
        counted = book()
        with pytest.raises(Malformed) as refused:
            norms.low_rank(column, row, whole, counted)
        assert refused.value.rule == "SPEC-6.6"
        assert counted.held == counted.total == 0


# --- steps ------------------------------------------------------------------------


def test_steps_are_counted_beside_operations(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[int] = []
    counted = Ledger(seen.append, 0, 10)
    monkeypatch.setattr(ledger, "MAX_STEPS", 15)
    counted.spend(5)
    assert (counted.spent, counted.total, seen) == (15, 0, [0])
    with pytest.raises(Declined) as refused:
        counted.spend(1)
    assert refused.value.rule == "SPEC-3.5"


def test_a_step_for_every_byte_cell_and_range_of_queries() -> None:
    text = mutators.encode(make_vectors.MINI)
    theorem = make_vectors.theorem_of(PAIR.bytes, text)
    cells_ = make_vectors.MINI["proof"]["cells"]
    walked = sum(1 + len(cell["queries"]) for cell in cells_)
    assert theorem.ledger.spent == len(PAIR.bytes) + len(text) + walked
    # Other roots are handed the wrong answers, one each here.
    text = mutators.encode(BASE)
    theorem = make_vectors.theorem_of(PAIR.bytes, text)
    walked = sum(2 + len(cell["queries"]) for cell in BASE["proof"]["cells"])
    assert theorem.ledger.spent == len(PAIR.bytes) + len(text) + walked


def test_a_polynomial_of_too_many_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    frame: Any = SimpleNamespace(
        scope=scopes.Scope("uniform", "inputs", ()),
        multiplicities=[[1, 1]],
        blocks=[(0, 0), (1, 1)],
        forced=False,
        ledger=book(),
    )
    # Slots of three bits, for two inputs; degrees 0 to 4.
    monkeypatch.setattr(counting, "MAX_POLYNOMIAL_BITS", 15)
    assert counting._within(frame, [{0: 0, 1: 4}], 4) == 2
    monkeypatch.setattr(counting, "MAX_POLYNOMIAL_BITS", 14)
    with pytest.raises(Declined) as refused:
        counting._within(frame, [{0: 0, 1: 4}], 4)
    assert refused.value.rule == "SPEC-3.5"


def test_the_answers_left_in_the_cells_above_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    # One answer, two positions, masks of two tokens; each split holds as much for its children.
    link = make_vectors.child([[0, 0]], "split", layout=[[1, 1]], children=1)
    leaf = make_vectors.child([[0, 0]], "count", layout=[[1, 1]], blocks=[[0, []]])
    found = []
    for depth in (1, 2, 4):
        links = [{"maximum": 1, "mu": ["0", "0"], **link}, *[link] * (depth - 1), leaf]
        text = mutators.encode(document(PAIR, completed(2, links, "skip")))
        found.append(peak(monkeypatch, PAIR.bytes, text))
    masks = 2 * (384 + 2)
    assert (found[1] - found[0], found[2] - found[1]) == (masks, 2 * masks)


def test_an_enumeration_is_measured_before_it_is_made(monkeypatch: pytest.MonkeyPatch) -> None:
    terms, book = [{0: -7, 1: 1}, {0: 0, 1: 4}, {1: 0}], Ledger(lambda done: None)
    frame: Any = SimpleNamespace(
        scope=scopes.Scope("uniform", "inputs", ()),
        multiplicities=[[1, 1], [1, 1], [0, 1]],
        blocks=[(0, 0), (1, 1)],
        forced=False,
        ledger=book,
    )
    # Two prefixes and two suffixes: 2 bits of a mask, 3 of a term, and 2 048 more for each of them.
    for limit, allowed in ((4 * (2 + 3 + 2048), True), (4 * (2 + 3 + 2048) - 1, False)):
        monkeypatch.setattr(enumeration, "MAX_TUPLE_BITS", limit)
        if allowed:
            assert enumeration.Enumeration(frame, [terms]).masks([terms]) == {3: 3}
        else:
            with pytest.raises(Declined):
                enumeration.Enumeration(frame, [terms]).masks([terms])


def test_what_no_answer_can_win_needs_no_room(monkeypatch: pytest.MonkeyPatch) -> None:
    # One tuple is left of 10^8, so that all positions go into the prefix.
    tokens = [(t, t) for t in range(100)]
    terms = [{0: 1}, {99: 1}, {1: 1}, {0: 1}, {7: 0}]
    frame: Any = SimpleNamespace(
        scope=scopes.Scope("uniform", "inputs", ()),
        multiplicities=[[1] * 100] * 5,
        blocks=tokens,
        forced=False,
        ledger=Ledger(lambda done: None),
    )
    monkeypatch.setattr(enumeration, "MAX_TUPLE_BITS", 2 * (1 + 1 + 2048))
    table = enumeration.Enumeration(frame, [terms])
    assert (table.cut, table.suffixes) == (4, 1)
    assert table.masks([terms]) == {7_00_99_01_00: 1}
    # Another answer would find one prefix there already.
    with pytest.raises(Declined):
        table.masks([terms, terms])


def test_the_terms_of_a_cell_are_measured_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def text(method: str, **keys: Any) -> bytes:
        cell = root(1, [[1, 1]], method, **keys)
        return mutators.encode(document(PAIR, completed(2, [cell], "skip")))

    # One answer, two blocks at two positions; 64 bits of precision, 1 024 more, 2 of the largest
    # bracket, 201 of mu.
    terms = 2 * (2048 + 2 * (64 + 1024 + 2 + 201))
    ended = make_vectors.theorem_of(PAIR.bytes, text("skip")).ledger.held
    for method, keys in (("enumerate", {"layout": [[1, 1]]}), ("brute-force", {})):
        wide = text(method, mu=["1", "200"], **keys)
        assert terms in taken(monkeypatch, PAIR.bytes, wide)
        # All of it is given back.
        assert make_vectors.theorem_of(PAIR.bytes, wide).ledger.held == ended


def test_ranges_that_share_only_their_ends() -> None:
    three = make_vectors.sharp(4, 2)
    for ranges, expected in (
        ([[0, 1], [1, 2]], (Rejected, "SPEC-7.2")),
        ([[0, 1], [0, 2]], (Rejected, "SPEC-7.2")),
    ):
        doc = document(three, completed(4, [root(3, [[0, 2]], "skip")], "skip"))
        assert (
            refusal(three.bytes, mutators.encode(put(doc, "proof/cells/0/queries", ranges)))
            == expected
        )


@pytest.mark.parametrize("method", ["skip", "brute-force"])
def test_splits_may_be_32_deep(method: str) -> None:
    # Each of them has one child, and the last of them is a leaf.
    split: Any = {"layout": [[1, 1]], "children": 1}

    def chain(splits: int) -> bytes:
        below = [make_vectors.child([[1, 1]], "split", **split)] * (splits - 1)
        leaf = make_vectors.child([[1, 1]], method)
        cells_ = [root(1, [[1, 1]], "split", **split), *below, leaf]
        return mutators.encode(document(PAIR, completed(2, cells_, "skip")))

    found = make_vectors.theorem_of(PAIR.bytes, chain(32))
    assert sum(outcome.size for outcome in found.outcomes) == 4
    assert refusal(PAIR.bytes, chain(33)) == (Declined, "SPEC-3.5")


def test_one_query_three_times_is_not_two_queries() -> None:
    # As bit masks three times {0} add up to {0, 1}; and of the inputs with maximum 1 of the pair
    # three cells hold one each, as many as there are.
    cells_ = [root(1, [[0, 0]], "brute-force")] * 3
    whole = [root(0, [[0, 0]], "brute-force"), *cells_]
    assert refusal(PAIR.bytes, mutators.encode(document(PAIR, whole))) == (Rejected, "SPEC-7.1")


def test_groups_of_copies_have_bounds() -> None:
    # The pair has one free position; below the maximum none is left for a copy.
    here = "proof/cells/2/groups"
    for group, expected in (
        ([0, [[0, 4095]]], (Rejected, "SPEC-7.14")),
        ([0, [[0, 4096]]], (Malformed, "SPEC-3.3")),
        ([0, [[-1, 0]]], (Malformed, "SPEC-3.3")),
        ([2, []], (Malformed, "SPEC-3.3")),
        ([-1, []], (Malformed, "SPEC-3.3")),
        ([0, [[0, 0], [1, 1]]], (Rejected, "SPEC-7.14")),
        ([0, [[0, 0], [0, 0]]], (Rejected, "SPEC-7.14")),
        ([True, []], (Malformed, "SPEC-3.3")),
    ):
        assert (
            refusal(PAIR.bytes, mutators.encode(put(make_vectors.COPIED, here, [group])))
            == expected
        )
    for copies, accepted in ((0, True), (1, False)):
        cells_ = [root(1, [[0, 0]], "copies", layout=[[1, 1]], groups=[[copies, []]])]
        doc = mutators.encode(document(PAIR, completed(2, cells_, "skip")))
        if accepted:
            assert make_vectors.theorem_of(PAIR.bytes, doc).correct_lower == 0
        else:
            assert refusal(PAIR.bytes, doc) == (Malformed, "SPEC-3.3")


def test_a_layout_of_4096_blocks_or_tokens() -> None:
    # No cell has so many, so only the clause tells the two apart.
    for run, expected in (
        ([1, 4096], (Rejected, "SPEC-7.3")),
        ([4096, 1], (Rejected, "SPEC-7.3")),
        ([1, 4097], (Malformed, "SPEC-3.3")),
    ):
        assert (
            refusal(PAIR.bytes, mutators.encode(put(BASE, "proof/cells/2/layout", [run])))
            == expected
        )


# --- the doors --------------------------------------------------------------------


@pytest.mark.parametrize(
    ("door", "kind"), [(require, Rejected), (require_form, Malformed), (require_support, Declined)]
)
def test_the_doors_open_for_true_alone(door: Any, kind: type[Refusal]) -> None:
    door(True, "SPEC-1.1", "why")
    for condition in (False, None, 0, 1, "yes", [1], (True,), object()):
        with pytest.raises(kind) as found:
            door(condition, "SPEC-1.1", "why")
        assert type(found.value) is kind
        assert (found.value.rule, found.value.why) == ("SPEC-1.1", "why")


def test_a_refusal_is_one_line_of_printable_ascii() -> None:
    said = Rejected("SPEC-1.1", "x\ns VERIFIED \x1b[2K é \ud800 " + "y" * 1000).why
    assert said.isascii()
    assert said.isprintable()
    assert len(said) == 300
    assert said.startswith("x\\ns VERIFIED \\x1b[2K \\xe9 \\ud800 y")


def test_totals_of_64_positions_can_be_named() -> None:
    model_ = flat(2, 64)
    most = [[2**128 - 2, 1]] * 64
    doc = document(model_, completed(2, [], "skip"), most)
    theorem = make_vectors.theorem_of(model_.bytes, mutators.encode(doc))
    assert theorem.parsed.statement.total == (2**128 - 1) ** 64
    wrong = put(doc, "statement/total", "1")
    with pytest.raises(Rejected) as found:
        parse(model_.bytes, mutators.encode(wrong))
    assert found.value.rule == "SPEC-5.5"


def test_statement_scopes_are_exactly_what_is_counted() -> None:
    rng = random.Random(0)
    weights = [[str(rng.randrange(5)) for _ in range(3)] + ["1"] for _ in range(2)]
    domain: Any = SimpleNamespace(tokens=((0, 1, 2, 3),) * 2)
    scope = scopes.parse_scope({"product": weights}, domain)
    assert scope.weights == tuple(tuple(map(int, row)) for row in weights)
    assert scope.label == scopes.parse_scope_file(models.scope_bytes(scope.weights))


@pytest.mark.parametrize(
    ("value", "kind", "rule"),
    [
        (1024, None, ""),
        (1025, Declined, "SPEC-3.5"),
        (1 << 24, Declined, "SPEC-3.5"),
        ((1 << 24) + 1, Malformed, "SPEC-3.3"),
        (0, Malformed, "SPEC-3.3"),
    ],
)
def test_sizes_past_the_limit_are_declined_and_absurd_ones_malformed(
    value: int, kind: type[Refusal] | None, rule: str
) -> None:
    config = models.canonical(
        {**models.config_of(vocab=2, k=2, d_model=2, d_head=1), "d_model": value}
    )
    metadata = {"format": model.MODEL_FORMAT, "config": config}
    if kind is None:
        assert model.parse_config(metadata)[1]["d_model"] == value
        return
    with pytest.raises(kind) as found:
        model.parse_config(metadata)
    assert (type(found.value), found.value.rule) == (kind, rule)


@pytest.mark.parametrize(
    ("value", "kind", "rule"),
    [(-1, Malformed, "SPEC-3.3"), (0, Declined, "SPEC-3.5"), (63, Declined, "SPEC-3.5")],
)
def test_a_negative_precision_is_malformed_and_a_low_one_declined(
    value: int, kind: type[Refusal], rule: str
) -> None:
    certificate = document(PAIR, completed(2, []), precision=value)
    assert refusal(PAIR.bytes, models.canonical(certificate).encode() + b"\n") == (kind, rule)


@pytest.mark.parametrize(("width", "kept"), [(0, False), (1, True), (4096, True), (4097, False)])
def test_a_head_has_at_most_4096_hidden_numbers(width: int, kept: bool) -> None:
    entries = {"head.W_1": container.Entry("F32", (2, width), 0, 8 * width)}
    if kept:
        assert model._hidden_width(entries) == width
        return
    with pytest.raises(Declined) as found:
        model._hidden_width(entries)
    assert found.value.rule == "SPEC-3.5"


@pytest.mark.parametrize("shape", [None, (), (7,)])
def test_a_head_that_is_no_matrix_has_no_width_of_its_own(shape: tuple[int, ...] | None) -> None:
    # It is refused later, by its shape, which would be that of one hidden number.
    entry = container.Entry("F32", shape or (), 0, 0)
    assert model._hidden_width({} if shape is None else {"head.W_1": entry}) == 1


def test_an_absent_bias_is_zero_over_one() -> None:
    # 4.2: the least scale that is not negative, which --show prints, and which asks for no room.
    without = {name: rows for name, rows in NOISY.tensors.items() if ".b_" not in name}
    found = model.load_model(models.Model(NOISY.config, without).bytes)
    absent = [matrix for name, matrix in found.weights.items() if ".b_" in name]
    assert len(absent) == 5
    assert {matrix.scale for matrix in absent} == {0}
    assert {x for matrix in absent for row in matrix.rows for x in row} == {0}


@pytest.mark.parametrize(
    ("written", "pair"),
    [
        ("0x0.0p+0", (0, 0)),
        ("0x1.0p+0", (1, 0)),
        ("0x1.8p-1", (3, -2)),
        ("0x1.0000000000000p-3", (1, -3)),
    ],
)
def test_an_attention_mix_is_in_lowest_terms(written: str, pair: tuple[int, int]) -> None:
    mixed: Any = SimpleNamespace(config={"attention_mix": written})
    assert model.mix(mixed) == pair
    assert model.mix(SimpleNamespace(config={})) == (1, 0)  # type: ignore[arg-type]


def test_what_is_proved_of_two_sets_is_added() -> None:
    one, two = Outcome(1, 20, 300, 7), Outcome(4, 50, 600, 9)
    assert one.plus(two) == two.plus(one) == Outcome(5, 70, 900, 7)
    assert one.plus(Outcome(0, 2, 2, None)) == Outcome(1, 22, 302, 7)
    assert Outcome(0, 1, 1, None).plus(Outcome(0, 2, 2, None)) == Outcome(0, 3, 3, None)


@pytest.mark.parametrize(("mix", "tables"), [("0x0.0p+0", 1), ("0x1.0p-1", 4), ("0x1.0p+0", 4)])
def test_heads_have_tables_of_sums_where_they_move_anything(mix: str, tables: int) -> None:
    sizes = {"d_mlp": 5, "d_vocab_out": 2, "n_heads": 3}
    mixed: Any = SimpleNamespace(sizes=sizes, config={"attention_mix": mix})
    assert fold._entries(mixed, 11) == 11 * 7 * tables
    # With the ten entries of M they have room for 2^28 bits, 128 for each at least.
    rows = ((1 << 21) - 10) // (7 * tables)
    assert fold._entries(mixed, rows) == rows * 7 * tables
    with pytest.raises(Declined) as found:
        fold._entries(mixed, rows + 1)
    assert found.value.rule == "SPEC-3.5"


@pytest.mark.parametrize(
    ("key", "value", "expected"),
    [
        ("strategy", "x" * 64, None),
        ("strategy", "x" * 65, (Malformed, "SPEC-7")),
        ("precision", 4096, None),
        ("precision", 4097, (Declined, "SPEC-3.5")),
    ],
)
def test_names_and_precisions_have_bounds(key: str, value: object, expected: Any) -> None:
    text = mutators.encode(put(make_vectors.MINI, f"proof/{key}", value))
    if expected is None:
        assert getattr(parse(PAIR.bytes, text), key, value) == value
    else:
        assert refusal(PAIR.bytes, text) == expected


@pytest.mark.parametrize(("operations", "kept"), [(-1, False), (0, True), (CEILING, True)])
def test_operations_have_bounds_before_anything_is_derived(operations: int, kept: bool) -> None:
    # With --show nothing is charged: what is declared has to be refused where it is read.
    text = mutators.encode(put(make_vectors.MINI, "proof/operations", str(operations)))
    if kept:
        assert parse(PAIR.bytes, text).operations == operations
        return
    with pytest.raises(Declined) as found:
        parse(PAIR.bytes, text)
    assert found.value.rule == "SPEC-8.2"


@pytest.mark.parametrize(
    ("precision", "expected"),
    [
        (31, (Declined, "SPEC-3.5")),
        (32, None),
        (33, (Declined, "SPEC-14.1")),  # it is no multiple of 8
    ],
)
def test_leaves_need_32_bits(precision: int, expected: Any) -> None:
    where = make_vectors.VECTORS / "SPEC-14.1"
    model_bytes = (where / "accept-relu-plain.safetensors").read_bytes()
    certificate = json.loads((where / "accept-relu-plain.json").read_bytes())
    text = mutators.encode(put(certificate, "proof/precision", precision))
    if expected is None:
        assert parse(model_bytes, text).precision == precision
    else:
        assert refusal(model_bytes, text) == expected


def test_one_process_derives_parts_alone() -> None:
    assert check.spreading(book(), 1) is alone
    assert check.spreading(book(), 2) is not alone


def stub(*outcomes: Outcome) -> Any:
    """Return a parsed proof of five inputs that derives these outcomes."""
    return SimpleNamespace(
        operations=1,
        steps=0,
        claimed_lower=0,
        claimed_upper=5,
        model=SimpleNamespace(held=0),
        statement=SimpleNamespace(total=5),
        proof=SimpleNamespace(outcomes=lambda *_: outcomes),
    )


@pytest.mark.parametrize("sizes", [(3, 1), (3, 3), (4,)])
def test_outcomes_are_about_every_input_once(sizes: tuple[int, ...]) -> None:
    whole = stub(Outcome(0, 0, 3, 4), Outcome(1, 2, 2, -7))
    theorem = check.check(whole, lambda *_: None)
    # No margin is less than none.
    assert (theorem.correct_lower, theorem.correct_upper, theorem.margin) == (3, 4, 0)
    with pytest.raises(Rejected) as found:
        check.check(stub(*(Outcome(0, 0, size, None) for size in sizes)), lambda *_: None)
    assert found.value.rule == "SPEC-7.1"


@pytest.mark.parametrize(
    ("entry", "exponent", "kept"),
    [
        (1 << 31, 128, True),
        (-1 << 31, -128, True),
        ((1 << 31) + 1, 0, False),
        ((-1 << 31) - 1, 0, False),
        (1, 129, False),
        (1, -129, False),
    ],
)
def test_hinted_entries_have_bounds(entry: int, exponent: int, kept: bool) -> None:
    written = {"exponent": exponent, "rows": [[entry]]}
    if kept:
        assert norms.parse_matrix(written, "it") == exact.Matrix(((entry,),), -exponent)
        return
    with pytest.raises(Malformed) as found:
        norms.parse_matrix(written, "it")
    assert found.value.rule == "SPEC-3.3"
