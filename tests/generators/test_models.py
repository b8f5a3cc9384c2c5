"""The test suite's own writer and number conversions, against `struct` and numpy."""

from __future__ import annotations

import json
import math
import random
import struct
from fractions import Fraction
from typing import Any

import models
import numpy as np
import oracle
import pytest
from hypothesis import HealthCheck, find, given, settings
from models import Model

CODES = {"F16": ("<e", "<u2"), "F32": ("<f", "<u4"), "F64": ("<d", "<u8")}


@pytest.mark.parametrize("dtype", CODES)
def test_bit_patterns_have_the_value_struct_gives_them(dtype: str) -> None:
    rng = random.Random(dtype)
    size = models.bytes_per_entry(dtype)
    mantissa = models.LAYOUT[dtype][1]
    edges = [0, 1, (1 << mantissa) - 1, 1 << mantissa, (1 << mantissa) + 1, 1 << (8 * size - 1)]
    for bits in edges + [rng.randrange(1 << 8 * size) for _ in range(3000)]:
        (value,) = struct.unpack(CODES[dtype][0], bits.to_bytes(size, "little"))
        if math.isfinite(value):
            assert models.fraction_of_bits(bits, dtype) == Fraction(value)
            if bits != 1 << (8 * size - 1):
                assert models.bits_of_fraction(Fraction(value), dtype) == bits
        else:
            with pytest.raises(ValueError, match="not finite"):
                models.fraction_of_bits(bits, dtype)


def test_bf16_is_the_upper_half_of_f32() -> None:
    for bits in range(0, 1 << 16, 7):
        (value,) = struct.unpack("<f", (bits << 16).to_bytes(4, "little"))
        if math.isfinite(value):
            assert models.fraction_of_bits(bits, "BF16") == Fraction(value)


@pytest.mark.parametrize("dtype", ["F16", "F32"])
def test_rounds_to_nearest_even_like_numpy(dtype: str) -> None:
    rng = random.Random(7)
    kinds: dict[str, Any] = {"F16": np.float16, "F32": np.float32}
    kind = kinds[dtype]
    largest = models.nearest(Fraction(10) ** 400, dtype)
    assert largest == Fraction(float(np.finfo(kind).max))
    for _ in range(3000):
        value = rng.uniform(-2, 2) * 2.0 ** rng.randint(-30, 14)
        assert models.nearest(Fraction(value), dtype) == Fraction(float(kind(value)))


def test_what_is_not_representable_is_not_written() -> None:
    with pytest.raises(ValueError, match="not a F32"):
        models.bits_of_fraction(Fraction(1, 3), "F32")
    with pytest.raises(ValueError, match="not a F16"):
        models.bits_of_fraction(Fraction(65536), "F16")


@pytest.mark.parametrize("dtype", ["F16", "BF16", "F32", "F64"])
def test_file_reads_back_by_hand(dtype: str) -> None:
    model = models.good_model(random.Random(5), dtype=dtype)
    data = model.bytes
    (length,) = struct.unpack("<Q", data[:8])
    assert length % 8 == 0
    header = json.loads(data[8 : 8 + length])
    meta = header.pop("__metadata__")
    assert meta == {"format": "certify.model/1", "config": models.canonical(model.config)}
    payload, position = data[8 + length :], 0
    assert set(header) == set(model.tensors)
    for name in header:
        start, end = header[name]["data_offsets"]
        assert start == position
        position = end
        size = models.bytes_per_entry(dtype)
        patterns = [
            int.from_bytes(payload[i : i + size], "little") for i in range(start, end, size)
        ]
        assert [models.fraction_of_bits(b, dtype) for b in patterns] == models.leaves_of(
            model.tensors[name]
        )
        assert header[name]["shape"] == models.shapes(model.config)[name]
    assert position == len(payload)


def test_minus_zero_and_raw_patterns_are_written() -> None:
    assert models.leaf_bits(-0.0, "F32") == 0x80000000
    assert models.leaf_bits(0.0, "F32") == 0
    assert models.leaf_bits(models.Raw(0x7FC00001), "F32") == 0x7FC00001


def test_same_seed_same_bytes() -> None:
    for make in (models.random_model, models.good_model):
        assert make(random.Random(3)).bytes == make(random.Random(3)).bytes
        assert make(random.Random(3)).bytes != make(random.Random(4)).bytes


@settings(max_examples=100, deadline=None, suppress_health_check=list(HealthCheck))
@given(models.models())
def test_every_generated_model_can_be_written_and_evaluated(model: Model) -> None:
    assert len(model.bytes) > 8
    assert model.config["d_vocab_out"] >= model.config["d_vocab"]


def covers(condition) -> bool:  # type: ignore[no-untyped-def]
    return any(
        condition(make(random.Random(seed)))
        for seed in range(300)
        for make in (models.random_model, models.good_model)
    )


@pytest.mark.parametrize(
    "what", ["tie", "wider", "bias", "bf16", "subnormal", "huge", "head", "minus zero"]
)
def test_generators_reach_the_hard_cases(what: str) -> None:
    def leaves(m: Model) -> list[Fraction]:
        return [x for t in m.tensors.values() for x in models.leaves_of(t)]

    conditions = {
        "tie": lambda m: (
            0
            < len(oracle.truth(m.tensors, m.config).ties)
            < len(oracle.truth(m.tensors, m.config).wrong)
        ),
        "wider": lambda m: m.config["d_vocab_out"] > m.config["d_vocab"],
        "bias": lambda m: "unembed.b_U" in m.tensors,
        "bf16": lambda m: m.dtype == "BF16",
        "subnormal": lambda m: (
            m.dtype == "F64" and any(0 < x < Fraction(1, 2**1030) for x in leaves(m))
        ),
        "huge": lambda m: any(x > 10**29 for x in leaves(m)),
        "head": lambda m: m.config["d_head"] > m.config["d_model"],
        "minus zero": lambda m: any(isinstance(x, float) for x in leaves(m)),
    }
    assert covers(conditions[what])


def test_hypothesis_shrinks_to_a_small_model_with_a_tie() -> None:
    found = find(
        models.random_models(),
        lambda m: bool(oracle.truth(m.tensors, m.config).ties),
        settings=settings(max_examples=2000, deadline=None, database=None),
    )
    assert found.config["d_vocab"] == 2


def test_cancelling_models_have_ties_without_equal_columns() -> None:
    found = 0
    for seed in range(60):
        model = models.cancelling_model(random.Random(seed))
        columns = list(zip(*model.tensors["unembed.W_U"], strict=True))
        if len(set(columns)) == len(columns):
            found += any(
                len(set(tokens)) > 1 for tokens in oracle.truth(model.tensors, model.config).ties
            )
    assert found >= 5


def test_spiky_models_are_right_and_wrong() -> None:
    truths = [
        oracle.truth(m.tensors, m.config)
        for m in (models.spiky_model(random.Random(seed)) for seed in range(60))
    ]
    assert sum(0 < t.correct < t.total for t in truths) >= 40


def test_scope_file_and_total() -> None:
    weights = models.build_token_weights(
        models.Seeded(random.Random(0)), models.config_of(vocab=3, k=2, d_model=1, d_head=1)
    )
    assert len(weights) == 2
    assert all(len(row) == 3 and sum(row) > 0 for row in weights)
    assert json.loads(models.scope_bytes(weights))["weights"] == [
        [str(w) for w in row] for row in weights
    ]
    assert models.scope_bytes([[1, 2]]) == b'{"format":"certify.scope/1","weights":[["1","2"]]}\n'
    assert models.total_weight([[1, 2], [3, 4]]) == 21
