"""Every shipped certificate is verified by the bare checker, in a process of its own."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import conformance
import pytest

FOLDERS = sorted(path for path in (conformance.ROOT / "certificates").glob("*") if path.is_dir())
MANIFEST = "manifest.json"
CERTIFICATES = sorted(
    path for folder in FOLDERS for path in folder.glob("*.json") if path.name != MANIFEST
)
QUICK = ("max-of-4", "max-of-5", "modadd59", "brackets10")
TASKS = {
    "max": "max-of-k",
    "modadd59": "modular-addition:59",
    "modadd113": "modular-addition:113",
}


def short(path: Path) -> str:
    return f"{path.parent.name}/{path.name}"


def parameters() -> list[object]:
    """Return the certificates, those that take long marked so."""
    slow = (pytest.mark.slow,)
    return [
        pytest.param(path, id=short(path), marks=() if short(path).startswith(QUICK) else slow)
        for path in CERTIFICATES
    ]


def test_a_folder_holds_a_model_and_its_certificates() -> None:
    assert len(FOLDERS) >= 6
    for folder in FOLDERS:
        names = sorted(path.name for path in folder.iterdir())
        assert "model.safetensors" in names
        assert [
            name for name in names if name != "model.safetensors" and not name.endswith(".json")
        ] == []
        assert len(names) >= 2, f"{folder.name} has no certificate"


@pytest.mark.parametrize("path", parameters())
def test_shipped_certificate_is_verified(path: Path) -> None:
    model = path.parent / "model.safetensors"
    line = [sys.executable, "-S", "-m", "checker"]
    semantics = "float32:any-order" if path.stem.endswith("-float32") else "real"
    task = TASKS.get(path.parent.name.split("-")[0], "balanced-brackets")
    vector = conformance.Vector(
        short(path),
        model,
        path,
        ("--task", task, "--scope", "uniform", "--semantics", semantics),
        {},
    )
    found = conformance.ran(line, vector)
    assert (found.code, found.stderr) == (0, "")
    verdict = found.stdout.split("\n")[-2]
    assert conformance.VERIFIED.fullmatch(verdict)
    statement = json.loads(path.read_bytes())["statement"]
    fields = dict(word.split("=", 1) for word in verdict.split() if "=" in word)
    total, lower, upper = (
        int(fields[key]) - int(statement[key])
        for key in ("total", "correct_lower", "correct_upper")
    )
    # What is shipped claims what it proves, no less; a count may leave 1e-8 of its domain unsaid.
    unsaid = int(fields["total"]) // 10**8 if path.name.startswith("count") else 0
    assert total == 0
    assert 0 <= lower <= unsaid
    assert 0 <= -upper <= unsaid
    assert f" task={task.partition(':')[0]} " in verdict
    if path.name in ("exact.json", "brute-force.json", "exhaustive.json"):
        assert statement["correct_lower"] == statement["correct_upper"]


def test_float32_costs_less_than_a_part_in_20_000() -> None:
    pairs = [
        (path, path.with_name(path.name.replace("-float32", "")))
        for path in CERTIFICATES
        if "-float32" in path.name
    ]
    assert len(pairs) >= 4
    for both in pairs:
        lowers, total = [], 0
        for path in both:
            statement = json.loads(path.read_bytes())["statement"]
            lowers.append(int(statement["correct_lower"]))
            total = int(statement["total"])
        assert 0 <= lowers[1] - lowers[0] <= total // 20_000


def test_a_certificate_is_about_its_own_model() -> None:
    if len(CERTIFICATES) < 2:
        pytest.skip("there are no certificates yet")
    first = CERTIFICATES[0]
    other = next(folder for folder in FOLDERS if folder != first.parent)
    vector = conformance.Vector(
        "swapped",
        other / "model.safetensors",
        first,
        (),
        {"verdict": "REJECTED", "clause": "SPEC-5.1"},
    )
    assert (
        conformance.problems(
            vector, conformance.ran([sys.executable, "-S", "-m", "checker"], vector)
        )
        == []
    )
