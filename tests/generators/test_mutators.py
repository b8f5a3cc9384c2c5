"""The mutators produce what they say: different files, the promised kinds, repeatably."""

from __future__ import annotations

import itertools
import json
import random

import models
import mutators
import pytest

CERTIFICATE = mutators.encode(
    {
        "format": "certify.certificate/1",
        "statement": {"model": "sha256:" + "a" * 64, "total": "64", "lower": "60"},
        "proof": {
            "precision": 64,
            "cells": [{"maximum": 1, "queries": [[0, 0]]}, {"maximum": 2, "queries": [[0, 1]]}],
        },
    }
)
MODEL = models.good_model(random.Random(0), dtype="F32").bytes


def test_every_json_mutant_differs_and_has_its_own_name() -> None:
    mutants = dict(mutators.json_mutants(CERTIFICATE))
    assert len(mutants) > 500
    assert CERTIFICATE not in mutants.values()
    assert len(mutants) == sum(1 for _ in mutators.json_mutants(CERTIFICATE))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("statement/total: plus 1", '"total":"65"'),
        ("statement/total: sign flipped", '"total":"-64"'),
        ("statement/total: spelled '{}_0'", '"total":"64_0"'),
        ("statement/total: spelled '+{}'", '"total":"+64"'),
        ("statement/total: full-width digits", '"total":"\\uff16\\uff14"'),
        ("statement/total: as an integer", '"total":64'),
        ("statement/total: minus zero", '"total":"-0"'),
        ("statement/lower: swapped with total", '"lower":"64"'),
        ("proof/precision: as a string", '"precision":"64"'),
        ("proof/precision: set to true", '"precision":true'),
        ("proof/precision: set to null", '"precision":null'),
        ("text proof/precision: literal '+{}'", '"precision":+64'),
        ("text proof/precision: literal '0{}'", '"precision":064'),
        ("text proof/precision: literal '{}.0'", '"precision":64.0'),
        ("text proof/precision: literal NaN", '"precision":NaN'),
        ("text proof/precision: minus zero", '"precision":-0'),
        ("text proof/precision: key twice, other value", '"precision":64,"precision":0'),
        (
            "proof/cells/0: element doubled",
            '"cells":[{"maximum":1,"queries":[[0,0]]},{"maximum":1,"queries":[[0,0]]},',
        ),
        ("proof/cells/0: swapped with the next", '"cells":[{"maximum":2,'),
        ("statement: key 'extra' added", '"extra":1'),
    ],
)
def test_promised_json_mutants(name: str, text: str) -> None:
    assert text.encode() in dict(mutators.json_mutants(CERTIFICATE))[name]


def test_removal_removes() -> None:
    mutants = dict(mutators.json_mutants(CERTIFICATE))
    assert b'"precision"' not in mutants["proof/precision: key removed"]
    assert len(json.loads(mutants["proof/cells/1: element removed"])["proof"]["cells"]) == 1


def test_only_text_mutants_are_not_canonical() -> None:
    for name, data in mutators.json_mutants(CERTIFICATE):
        if not name.startswith("text"):
            assert mutators.encode(json.loads(data)) == data, name
        else:
            try:
                same = mutators.encode(json.loads(data)) == data
            except (ValueError, RecursionError):
                same = False
            # Some literals happen to be canonical again ("-{}" of a positive number).
            assert not same or "literal" in name or "twice" in name or "(whole)" in name, name


def test_sampling_repeats_and_spreads_over_the_fields() -> None:
    first = mutators.sample_json_mutants(CERTIFICATE, 300, random.Random(1))
    assert first == mutators.sample_json_mutants(CERTIFICATE, 300, random.Random(1))
    assert first != mutators.sample_json_mutants(CERTIFICATE, 300, random.Random(2))
    assert len(first) == 300
    for field in ("format", "statement/total", "proof/precision", "proof/cells/0/maximum"):
        assert sum(field in name for name, _ in first) >= 5
    known = dict(mutators.json_mutants(CERTIFICATE))
    assert all(known[name] == data for name, data in first)


def test_uniform_sample_keeps_the_count() -> None:
    assert sorted(mutators.sample(range(10), 20, random.Random(0))) == list(range(10))
    seen = {x for seed in range(200) for x in mutators.sample(range(10), 2, random.Random(seed))}
    assert seen == set(range(10))


def test_seed_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    mutators.generator(17, "here")
    assert capsys.readouterr().out == "here: seed 17\n"
    one, two = mutators.generator().random(), mutators.generator().random()
    assert one != two


def test_byte_mutants_differ_and_cover_every_kind() -> None:
    mutants = list(mutators.byte_mutants(CERTIFICATE, random.Random(0)))
    assert all(data != CERTIFICATE for _, data in mutants)
    names = " ".join(name for name, _ in mutants)
    for kind in (
        "flipped",
        "truncated",
        "doubled",
        "removed",
        "inserted",
        "appended",
        "byte order mark",
        "utf-16",
        "crlf",
        "digit",
    ):
        assert kind in names
    assert dict(mutants)["crlf"].endswith(b"\r\n")


def test_safetensors_mutants_differ_and_cover_every_kind() -> None:
    mutants = list(mutators.safetensors_mutants(MODEL))
    assert len(mutants) > 400
    assert all(data != MODEL for _, data in mutants)
    names = " ".join(name for name, _ in mutants)
    for kind in (
        "header length",
        "aliases",
        "hole",
        "trailing",
        "dtype 'I64'",
        "signalling NaN",
        "minus infinity",
        "duplicate",
        "missing",
        "extra tensor",
        "shape huge",
        "metadata",
    ):
        assert kind in names


def test_the_splitter_and_remover_keep_a_valid_file() -> None:
    header, payload = mutators.split_safetensors(MODEL)
    assert models.safetensors_bytes(header, payload) == MODEL
    shorter, rest = mutators.remove_tensor(header, payload, "embed.W_E")
    ends = sorted(tuple(e["data_offsets"]) for n, e in shorter.items() if n != "__metadata__")
    assert ends[0][0] == 0
    assert ends[-1][1] == len(rest)
    assert all(a[1] == b[0] for a, b in itertools.pairwise(ends))


def test_config_mutants_change_the_config_alone() -> None:
    _, payload = mutators.split_safetensors(MODEL)
    mutants = list(mutators.sample(mutators.config_mutants(MODEL), 50, random.Random(0)))
    assert len(mutants) == 50
    assert all(data.endswith(payload) for _, data in mutants)


def test_retarget_moves_a_certificate_to_other_bytes() -> None:
    import hashlib

    certificate = CERTIFICATE.replace(b"a" * 64, hashlib.sha256(MODEL).hexdigest().encode())
    moved = mutators.retarget(certificate, MODEL, MODEL + b"x")
    assert hashlib.sha256(MODEL + b"x").hexdigest().encode() in moved
    with pytest.raises(ValueError, match="does not name"):
        mutators.retarget(certificate, b"other", MODEL)
