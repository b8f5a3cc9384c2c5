"""Damaged and monstrous files: never a stronger theorem, never a traceback, never without end.

A mutant of a true certificate may still be accepted, for it may claim less, or the same in another
way.  What is printed
then is derived, so it has to be no stronger than what the undamaged certificate proves: for the
same model the tiny
fixtures are exact, so nothing stronger is true.
"""

from __future__ import annotations

import json
import random
import resource
import subprocess
import sys
import time
from fractions import Fraction
from hashlib import sha256
from pathlib import Path
from typing import Any

import conformance
import forests
import make_vectors
import models
import mutators
import oracle
import pytest
from make_vectors import (
    BASE,
    COPIED,
    COUNTED,
    NOISY,
    PAIR,
    SCREENED,
    SPLIT,
    child,
    completed,
    document,
    flat,
    got,
    proved,
    put,
    root,
)

from checker.check import Theorem, check, parse
from checker.ground.errors import Declined, Refusal

EXACT = proved(PAIR, make_vectors.PAIR_CELLS, make_vectors.SCOPE)
FIXTURES = {
    "base": BASE,
    "count": COUNTED,
    "split": SPLIT,
    "scope": EXACT,
    "screen": SCREENED,
    "copies": COPIED,
}
DERIVED = {
    name: make_vectors.theorem_of(PAIR.bytes, mutators.encode(doc)) for name, doc in FIXTURES.items()
}  # fmt: skip
ROUNDS = 400
SECONDS, BYTES = 60, 1 << 30


def verdict(model: bytes, certificate: bytes, most: int = 10**7) -> Theorem | None:
    """Return what is proved, or nothing if it is refused; anything but a refusal is a failure of
    the test.
    """

    def watch(done: int, declared: int) -> None:
        if done > most:
            raise Declined("SPEC-9.4", "the test has waited long enough")

    try:
        return check(parse(model, certificate), watch)
    except Refusal as refusal:
        if not (
            refusal.rule.startswith("SPEC-") and refusal.why.isprintable() and refusal.why.isascii()
        ):
            raise AssertionError(refusal) from refusal
        return None


def assert_no_stronger(found: Theorem | None, original: Theorem, model: models.Model) -> None:
    """Assert that an accepted mutant is about the same model, and true of it."""
    if found is None:
        return
    said = found.parsed.statement
    assert said.model_sha256 == sha256(model.bytes).hexdigest()
    assert (said.task, said.semantics) == ("max-of-k", "real")
    weights = [[int(w) for w in row] for row in said.scope.weights]
    truth = oracle.truth(model.tensors, model.config, weights)
    assert found.correct_lower <= truth.correct <= found.correct_upper
    if said.scope.label == original.parsed.statement.scope.label:
        assert (
            truth.correct == original.correct_lower
            or original.correct_lower < original.correct_upper
        )


@pytest.mark.parametrize("name", FIXTURES)
def test_json_mutants_of_tiny_certificates(name: str) -> None:
    rng = mutators.generator(sum(name.encode()), f"test_hostile {name}")
    data, accepted = mutators.encode(FIXTURES[name]), 0
    for what, mutant in mutators.sample_json_mutants(data, ROUNDS, rng):
        found = verdict(PAIR.bytes, mutant)
        try:
            assert_no_stronger(found, DERIVED[name], PAIR)
        except AssertionError as error:
            raise AssertionError(what) from error
        accepted += found is not None
        assert found is None or mutant == mutators.encode(json.loads(mutant)), what  # one spelling
    assert 0 < accepted < ROUNDS // 4


@pytest.mark.parametrize("name", FIXTURES)
def test_byte_mutants_of_tiny_certificates(name: str) -> None:
    rng = mutators.generator(7, f"test_hostile {name}")
    for _, mutant in mutators.byte_mutants(mutators.encode(FIXTURES[name]), rng, per_kind=25):
        assert_no_stronger(verdict(PAIR.bytes, mutant), DERIVED[name], PAIR)


def test_mutants_of_a_model_are_refused_for_themselves() -> None:
    # The certificate names the hash of each mutant.  A model that is accepted is another model: its
    # truth is its own.
    rng = mutators.generator(3, "test_hostile")
    data = mutators.encode(BASE)
    some = [
        *mutators.sample(mutators.safetensors_mutants(PAIR.bytes), 250, rng),
        *mutators.byte_mutants(PAIR.bytes, rng, per_kind=15),
    ]
    accepted = 0
    for what, mutant in [*some, *mutators.sample(mutators.config_mutants(PAIR.bytes), 120, rng)]:
        assert verdict(mutant, data) is None, what
        found = verdict(mutant, mutators.retarget(data, PAIR.bytes, mutant))
        accepted += found is not None
        if found is not None:
            assert found.parsed.statement.model_sha256 == sha256(mutant).hexdigest()
            header, payload = mutators.split_safetensors(mutant)
            tensors = decoded(header, payload)
            truth = oracle.truth(tensors, json.loads(header["__metadata__"]["config"]))
            assert found.correct_lower <= truth.correct <= found.correct_upper, what
    assert accepted < len(some) // 4


def decoded(header: dict[str, object], payload: bytes) -> dict[str, object]:
    """Return the tensors of a valid file."""
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        assert isinstance(entry, dict)
        (start, end), size = entry["data_offsets"], models.bytes_per_entry(entry["dtype"])
        words = [
            int.from_bytes(payload[at : at + size], "little") for at in range(start, end, size)
        ]
        leaves = iter([models.fraction_of_bits(word, entry["dtype"]) for word in words])
        tensors[name] = models.filled(entry["shape"], leaves.__next__)
    return tensors


def test_mutants_of_a_shipped_certificate() -> None:
    folder = conformance.ROOT / "certificates" / "max-of-4-seed-2"
    certificate = folder / "exact.json"
    if not certificate.is_file():
        pytest.skip("there are no certificates yet")
    model, data = (folder / "model.safetensors").read_bytes(), certificate.read_bytes()
    statement = json.loads(data)["statement"]
    lower, upper = int(statement["correct_lower"]), int(statement["correct_upper"])
    rng = mutators.generator(11, "test_hostile")
    for what, mutant in mutators.sample_json_mutants(data, 20, rng):
        found = verdict(model, mutant, most=3 * 10**5)
        if found is not None:
            assert lower >= found.correct_lower, what
            assert upper <= found.correct_upper, what
            assert found.parsed.statement.model_sha256 == sha256(model).hexdigest()


# --- bombs ------------------------------------------------------------------------


def bounded() -> None:
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))


def headed(length: int, text: bytes) -> bytes:
    return length.to_bytes(8, "little") + text


def many_cells() -> bytes:
    """Return a certificate of as many cells as fit, all valid but for a last one."""
    return mutators.encode(put(BASE, "proof/cells", "C")).replace(
        b'"C"', b"[" + b"[]," * (5 * 10**6) + b"[]]"
    )


def enumerating(vocab: int, n: int, operations: str = str(10**11)) -> tuple[bytes, bytes]:
    """Return a model of ties and a certificate that enumerates far too much."""
    model = flat(vocab, n)
    cells = [root(vocab - 1, [[0, 0]], "enumerate", layout=[[1, vocab - 1]])]
    doc = put(document(model, completed(vocab, cells, "skip")), "proof/operations", operations)
    return model.bytes, mutators.encode(doc)


def counting() -> tuple[bytes, bytes]:
    """Return a certificate whose polynomials are as large as allowed: 64 positions, slots of 8 000
    bits, 4 096 bins.
    """
    model = make_vectors.sharp(64, 64, **{models.ATTENTION + "W_Q": [[[0, 0], [0, 0]]]})
    shares = [[4096, [j]] for j in range(63)]
    cells = [root(63, [[0, 62]], "count", layout=[[1, 63]], blocks=shares, mu=["1", "20"])]
    weights = [[2**120 + t for t in range(64)] for _ in range(64)]
    return model.bytes, mutators.encode(
        document(model, completed(64, cells, "skip"), weights, 4096)
    )


def wide_numbers() -> tuple[bytes, bytes]:
    """Return a tensor of the smallest and the largest numbers of F64, as large as its file may be."""
    config = models.config_of(vocab=1024, k=1, d_model=1024, d_head=1)
    shapes = models.shapes(config)
    payload, header = (
        b"",
        {"__metadata__": {"format": models.FORMAT, "config": models.canonical(config)}},
    )
    for name in models.WEIGHTS:
        count = (
            shapes[name][0] * shapes[name][-1] * (shapes[name][1] if len(shapes[name]) == 3 else 1)
        )
        chunk = (b"\x01" + bytes(7) + b"\xff" * 6 + b"\xef\x7f") * (count // 2 + 1)
        chunk = chunk[: 8 * count]
        header[name] = {
            "dtype": "F64",
            "shape": shapes[name],
            "data_offsets": [len(payload), len(payload) + len(chunk)],
        }  # type: ignore[assignment]
        payload += chunk
    data = models.safetensors_bytes(header, payload)
    return data, mutators.encode(
        put(make_vectors.forged(BASE, data), "statement/architecture", config)
    )


def precise() -> tuple[bytes, bytes]:
    """Return a certificate at 4 096 bits that pools nothing."""
    doc = proved(NOISY, completed(4, []))
    loose = put(put(doc, "proof/precision", 4096), "proof/operations", str(10**11))
    for index, _ in enumerate(got(loose, "proof/cells")):
        loose = put(loose, f"proof/cells/{index}/failures", ["0", "64"])
    return NOISY.bytes, mutators.encode(
        put(put(loose, "statement/correct_lower", "0"), "statement/correct_upper", "64")
    )


def huge_margin() -> tuple[bytes, bytes]:
    """Return margins as large as they may be written."""
    mu = ["9" * 4000, "4096"]
    cells = [
        root(m, [[q, q]], "enumerate", layout=[[1, m]] if m else [], mu=mu)
        for m in range(4)
        for q in range(m + 1)
    ]
    return NOISY.bytes, mutators.encode(document(NOISY, cells))


def skipping(model: models.Model, *held: Any) -> bytes:
    """Return a certificate with these cells about the largest maximum, whose other cells are
    skipped in few words.
    """
    top = model.config["d_vocab"] - 1
    taken = {
        q for cell in held if "maximum" in cell for a, b in cell["queries"] for q in range(a, b + 1)
    }
    left = [q for q in range(top) if q not in taken]
    cells = [
        *held,
        *([root(top, forests._ranges(left), "skip")] if left else []),
        root(top, [[top, top]], "skip"),
    ]
    cells += [
        root(m, part, "skip")
        for m in range(top)
        for part in ([[0, m - 1]], [[m, m]])
        if part[0][1] >= 0
    ]
    return mutators.encode(document(model, cells))


def window_tables() -> tuple[bytes, bytes]:
    """Return cells whose blocks are of every doubling length: all windows over 1 024 tokens, for
    scores and values.
    """
    config = models.config_of(vocab=1024, k=2, d_model=1, d_head=1)
    tensors = {
        name: models.filled(models.shapes(config)[name], lambda: 1) for name in models.WEIGHTS
    }
    tokens = [[Fraction(t * t % 1021 - 500, 2 ** (t % 60))] for t in range(1024)]
    model = models.Model(
        config, tensors | {"embed.W_E": tokens, "unembed.W_U": [[row[0] for row in tokens]]}, "F64"
    )
    runs = [[1 << level, 1] for level in range(10)]
    return model.bytes, skipping(
        model, *(root(1023, [[q, q]], "enumerate", layout=runs, mu=["1", "90"]) for q in range(2))
    )


def many_copies() -> tuple[bytes, bytes]:
    """Return groups for every number of copies, of no blocks at all, over as many terms as may be
    held.
    """
    model, groups = flat(200, 64), [[count, []] for count in range(63)]
    return model.bytes, skipping(
        model, root(199, [[0, 198]], "copies", layout=[[1, 199]], groups=groups)
    )


def many_screens() -> tuple[bytes, bytes]:
    """Return a screen of single tokens for each of 400 maxima, which removes nothing, and the cells
    below it.
    """
    model, cells = flat(400, 64), []
    for m in range(400):
        below = ([[[0, m - 1]]] if m else []) + [[[m, m]]]
        cells.append(root(m, [[0, m]], "screen", layout=[[1, m]] if m else [], children=len(below)))
        cells += [child(part, "skip") for part in below]
    return model.bytes, mutators.encode(document(model, cells))


def deep_splits() -> tuple[bytes, bytes]:
    """Return splits as deep as allowed, all of whose terms are as many as may be held."""
    model, link = flat(200, 64), child([[0, 198]], "split", layout=[[1, 199]], children=1)
    links = [{"maximum": 199, "mu": ["0", "0"], **link}, *[link] * 31, child([[0, 198]], "skip")]
    return model.bytes, skipping(model, *links)


def few_tuples_left() -> tuple[bytes, bytes]:
    """Return an enumeration of very many tuples, all of which are left."""
    model = flat(1024, 5)
    return model.bytes, skipping(model, root(1023, [[0, 0]], "enumerate", layout=[[1, 1023]]))


PAIR_TEXT = mutators.encode(BASE)
LONG = 10**6
BOMBS = {
    "five million cells": (lambda: (PAIR.bytes, many_cells()), 20),
    "brackets without end": (lambda: (PAIR.bytes, b"[" * (16 << 20)), 20),
    "quotes without end": (lambda: (PAIR.bytes, b'"' + b'\\"' * (8 << 20)), 20),
    "backslashes without end": (lambda: (PAIR.bytes, b'"' + b"\\" * ((16 << 20) - 2)), 20),
    "a number without end": (lambda: (PAIR.bytes, b"9" * (16 << 20)), 20),
    "a file without end": (lambda: (PAIR.bytes, b" " * (17 << 20)), 20),
    "keys without end": (
        lambda: (PAIR.bytes, b"{" + b",".join(b'"%d":0' % i for i in range(LONG)) + b"}\n"),
        20,
    ),
    "a header of 2^64 bytes": (lambda: (headed(2**64 - 1, b"{}"), PAIR_TEXT), 20),
    "a header of a mebibyte of brackets": (
        lambda: (headed(1 << 20, b"{" + b"[" * ((1 << 20) - 1)), PAIR_TEXT),
        20,
    ),
    "a header of a mebibyte of zeros": (lambda: (headed(1 << 20, bytes(1 << 20)), PAIR_TEXT), 20),
    "a mebibyte of axes": (
        lambda: (make_vectors.with_entry("embed.W_E", {"shape": [1] * 400_000}), PAIR_TEXT),
        20,
    ),
    "axes whose product is huge": (
        lambda: (make_vectors.with_entry("embed.W_E", {"shape": [1 << 24] * 1000}), PAIR_TEXT),
        20,
    ),
    "tuples of 2 blocks at 59 positions": (lambda: enumerating(2, 60), 20),
    "tuples of 3 blocks at 39 positions": (lambda: enumerating(3, 40), 20),
    "tuples of 4 blocks at 63 positions": (lambda: enumerating(4, 64), 20),
    "tuples of 64 blocks at 63 positions": (lambda: enumerating(64, 64), 20),
    "numbers of every size": (wide_numbers, 20),
    "polynomials of every size": (counting, 20),
    "windows over a thousand tokens": (window_tables, 0),
    "groups for every number of copies": (many_copies, None),  # ended by the time limit, or in time
    "screens for every maximum": (many_screens, None),  # ended by the time limit, or in time
    "terms of thirty-two splits": (deep_splits, None),  # ended by the time limit, or in time
    "tuples of a thousand blocks at five positions": (few_tuples_left, 20),
    "four thousand bits": (precise, 0),
    "margins of four thousand digits": (huge_margin, 0),
}


def test_the_terms_of_splits_are_let_go(tmp_path: Path) -> None:
    """SPEC 3.5 bounds the terms of one cell; thirty-two of them, one below the other, must not be
    held at once.
    """
    model, certificate = deep_splits()
    (tmp_path / "m.safetensors").write_bytes(model)
    (tmp_path / "c.json").write_bytes(certificate)
    line = [
        sys.executable,
        "-S",
        "-m",
        "checker",
        str(tmp_path / "m.safetensors"),
        str(tmp_path / "c.json"),
        "--time-limit",
        "20",
    ]
    done = subprocess.run(
        line,
        capture_output=True,
        text=True,
        cwd=conformance.ROOT,
        timeout=2 * SECONDS,
        preexec_fn=bounded,
    )
    assert "memory" not in done.stdout


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_end_soon_and_in_little_memory(bomb: str, tmp_path: Path) -> None:
    make, code = BOMBS[bomb]
    model, certificate = make()
    (tmp_path / "m.safetensors").write_bytes(model)
    (tmp_path / "c.json").write_bytes(certificate)
    del model, certificate
    line = [
        sys.executable,
        "-S",
        "-m",
        "checker",
        str(tmp_path / "m.safetensors"),
        str(tmp_path / "c.json"),
        "--time-limit",
        "50" if code == 0 else "5",
    ]
    start = time.monotonic()
    done = subprocess.run(
        line,
        capture_output=True,
        text=True,
        cwd=conformance.ROOT,
        timeout=2 * SECONDS,
        preexec_fn=bounded,
    )
    assert time.monotonic() - start < SECONDS
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1].startswith(("s DECLINED ", "s REJECTED ", "s VERIFIED "))
    assert done.returncode in {0: (0,), 20: (10, 20), None: (0, 10, 20)}[code]
    assert done.returncode == conformance.CODES[lines[-1].split(" ")[1]]
    assert "memory" not in lines[-1], "it was declined only because memory ran out"


def test_the_fixtures_are_exact_so_that_nothing_stronger_is_true() -> None:
    for theorem in DERIVED.values():
        assert theorem.correct_lower == theorem.correct_upper
    assert random.Random(0).random() == random.Random(0).random()
