"""Damaged and monstrous files: never a stronger theorem, never a traceback, never without end.

A mutant of a true certificate may still be accepted, for it may claim less, or the same in another
way.  What is printed
then is derived, so it has to be no stronger than what the undamaged certificate proves: for the
same model the tiny
fixtures are exact, so nothing stronger is true.
"""

from __future__ import annotations

import json
import os
import random
import resource
import subprocess
import sys
from hashlib import sha256
from pathlib import Path

import conformance
import make_vectors
import models
import mutators
import oracle
import pytest
from hostile_files import BOMBS, SUITE
from make_vectors import (
    BASE,
    COPIED,
    COUNTED,
    PAIR,
    SCREENED,
    SPLIT,
    proved,
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
    name: make_vectors.theorem_of(PAIR.bytes, mutators.encode(doc))
    for name, doc in FIXTURES.items()
}
ROUNDS = 400
SECONDS, BYTES = 60, 1 << 30
HANGS = 1800
"""Only what waits for ever is ended by the clock on the wall; work is measured in seconds of a
processor.
"""


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
    assert (said.name, said.semantics) == ("max-of-k", "real")
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


def checked(
    folder: Path, model: bytes, certificate: bytes, limit: int
) -> subprocess.CompletedProcess[str]:
    """Return how the bare checker ends, which may take so many seconds of a processor and bytes."""
    (folder / "m.safetensors").write_bytes(model)
    (folder / "c.json").write_bytes(certificate)
    return ended(folder / "m.safetensors", folder / "c.json", limit)


def ended(model: Path, certificate: Path, limit: int) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-S", "-m", "checker", str(model), str(certificate)]
    return subprocess.run(
        [*line, "--time-limit", str(limit)],
        capture_output=True,
        text=True,
        cwd=conformance.ROOT,
        timeout=HANGS,
        preexec_fn=bounded,
    )


@pytest.mark.parametrize("bomb", BOMBS)
def test_bombs_end_soon_and_in_little_memory(bomb: str, tmp_path: Path) -> None:
    make, code = BOMBS[bomb]
    done = checked(tmp_path, *make(), 50 if code in (0, 10) else 5)
    assert done.stderr == ""
    lines = done.stdout.splitlines()
    assert lines[-1].startswith(("s DECLINED ", "s REJECTED ", "s VERIFIED "))
    assert done.returncode in {0: (0,), 10: (10,), 20: (10, 20), None: (0, 10, 20)}[code]
    assert done.returncode == conformance.CODES[lines[-1].split(" ")[1]]
    assert "memory" not in lines[-1], "it was declined only because memory ran out"


DECIDED = {
    "hints of 4096 x 1 and 1 x 4096": "s REJECTED SPEC-6.6:",
    "hints of 1024 x 1 and 1 x 1024": "s REJECTED SPEC-6.6:",
    "a network at 4096 bits": "s DECLINED SPEC-3.5:",
}
"""Files that are refused for what they are, long before any time limit."""


@pytest.mark.parametrize("name", DECIDED)
def test_what_is_too_large_is_refused_before_it_is_formed(name: str, tmp_path: Path) -> None:
    done = checked(tmp_path, *SUITE[name](), 600)
    assert (done.stdout[: len(DECIDED[name])], done.stderr) == (DECIDED[name], "")


SLOW = (
    "a model of 32 MB, each table at its limit",
    "6 000 chains of 32 splits",
    "tuples of great weight",
    "text of objects",
)
"""What takes long where nothing is charged: loading, parsing, one enumeration, text."""


@pytest.mark.parametrize("name", SLOW)
def test_the_time_limit_is_noticed_whatever_the_checker_does(name: str, tmp_path: Path) -> None:
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = checked(tmp_path, *SUITE[name](), 1)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.stdout == (
        "s DECLINED SPEC-9.4: the time limit given on the command line has passed\n"
    )
    assert (done.returncode, done.stderr) == (20, "")
    assert after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime < 10


# --- files that are no files ------------------------------------------------------


@pytest.mark.parametrize("which", ["model", "certificate"])
@pytest.mark.parametrize("kind", ["pipe", "device", "folder", "device by a link"])
def test_only_regular_files_are_read(which: str, kind: str, tmp_path: Path) -> None:
    good = {"model": tmp_path / "m.safetensors", "certificate": tmp_path / "c.json"}
    good["model"].write_bytes(PAIR.bytes)
    good["certificate"].write_bytes(mutators.encode(BASE))
    assert ended(good["model"], good["certificate"], 60).returncode == 0
    bad = tmp_path / "bad"
    if kind == "pipe":
        os.mkfifo(bad)
    elif kind == "folder":
        bad.mkdir()
    elif kind == "device":
        bad = Path("/dev/zero")
    else:
        bad.symlink_to("/dev/zero")
    files = good | {which: bad}
    done = ended(files["model"], files["certificate"], 60)
    assert done.stdout.startswith(f"s DECLINED io: {bad} ")
    assert (done.returncode, done.stderr) == (20, "")


def test_a_link_to_a_regular_file_is_read(tmp_path: Path) -> None:
    (tmp_path / "m.safetensors").write_bytes(PAIR.bytes)
    (tmp_path / "c.json").write_bytes(mutators.encode(BASE))
    (tmp_path / "link").symlink_to(tmp_path / "c.json")
    assert ended(tmp_path / "m.safetensors", tmp_path / "link", 60).returncode == 0


def test_the_fixtures_are_exact_so_that_nothing_stronger_is_true() -> None:
    for theorem in DERIVED.values():
        assert theorem.correct_lower == theorem.correct_upper
    assert random.Random(0).random() == random.Random(0).random()
