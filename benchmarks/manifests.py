"""What the shipped certificates were made by, and whether that still proves the same.

    python -m benchmarks --manifests         check them and rewrite certificates/*/manifest.json
    python -m benchmarks --reproduce NAME    prove those of one folder again, and compare verdicts

A manifest has for each certificate of its folder the words of the ``certify`` command that made it
(``argv``, run in that folder), the hash of its file, and the verdict of the checker; and a note
where the command proves something else today.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

from certify import families
from certify.certificate.client import VERIFIED, cores, run_checker
from certify.certificate.job import EFFORT
from certify.certificate.show import Summary, read_certificate
from certify.files import write_bytes
from certify.model.file import load_model
from certify.question.domain import PARTS, read_domain
from certify.question.float32 import NAME as FLOAT32

REPOSITORY = Path(__file__).parent.parent
CERTIFICATES = REPOSITORY / "certificates"
MANIFEST = "manifest.json"
MODEL = "model.safetensors"
EFFORTS = {
    ("cascade", "max-of-4"): 10.0,
    ("cascade", "max-of-10"): 0.3,
    ("cascade", "max-of-20"): 0.3,
}
"""The effort with which a certificate was made, where it is not 1, by strategy and model."""
EARLIER = "made with earlier estimates; the same command gives"
NOTES = {
    ("max-of-5-seed-0", "cascade"): f"{EARLIER} correct_lower=1073294105 today, not 1073293299",
    ("max-of-20-seed-0", "cascade"): (
        f"{EARLIER} an accuracy of at least 0.9985034 today, not 0.9985424"
    ),
}
"""What is to be said of a certificate that its command does not give any more."""


def order(folder: Path) -> list[str | int]:
    """Return a key that sorts numbers in a name as numbers."""
    return [
        int(part) if i % 2 else part for i, part in enumerate(re.split(r"([0-9]+)", folder.name))
    ]


def folders() -> list[Path]:
    """Return the folders of shipped models, in order."""
    return sorted((path for path in CERTIFICATES.iterdir() if path.is_dir()), key=order)


def certificates_in(folder: Path) -> list[Path]:
    """Return the certificates of one model, in order."""
    return [file for file in sorted(folder.glob("*.json")) if file.name != MANIFEST]


def certificates() -> Iterator[tuple[str, Path, Path]]:
    """Yield the name, the model and the certificate of all that is shipped."""
    for folder in folders():
        for file in certificates_in(folder):
            yield folder.name, folder / MODEL, file


def effort_of(folder: str, shipped: Summary) -> float:
    """Return the effort with which a certificate was made."""
    return EFFORTS.get((shipped.strategy, folder.split("-seed", maxsplit=1)[0]), 1.0)


def argv_of(folder: str, shipped: Summary) -> list[str]:
    """Return the words after ``certify`` that make a certificate in its folder."""
    words = ["prove", MODEL, "--task", shipped.task]
    config = load_model(shipped.path.with_name(MODEL)).config
    texts = shipped.domain.texts
    # What the other parts usually are depends on the first.
    usual = read_domain(config, texts["domain"]).texts | {
        "domain": read_domain(config).texts["domain"]
    }
    words += [f"--{part}={texts[part]}" for part in PARTS if texts[part] != usual[part]]
    words += ["--strategy", shipped.strategy]
    effort = effort_of(folder, shipped)
    strategy = families.of_proof(shipped.proof).strategies[shipped.strategy]
    if EFFORT in strategy.takes and effort != 1.0:
        words += ["--effort", f"{effort:g}"]
    if shipped.statement["semantics"] == FLOAT32:
        words += ["--semantics", FLOAT32]
    return [*words, "--out", shipped.path.name]


def write_manifests() -> None:
    """Check every shipped certificate and rewrite the manifests."""
    for folder in folders():
        files = {file.name: _entry(folder, file) for file in certificates_in(folder)}
        text = json.dumps(files, indent=1, sort_keys=True) + "\n"
        write_bytes(folder / MANIFEST, text.encode())
        click.echo(f"{folder.name}: {len(files)} certificates")


def _entry(folder: Path, file: Path) -> dict[str, Any]:
    ended = run_checker([str(folder / MODEL), str(file), f"--jobs={cores()}"])
    if ended.returncode != VERIFIED:
        raise SystemExit(f"{file}: {ended.stdout.strip()}")
    entry = {
        "argv": argv_of(folder.name, read_certificate(file)),
        "sha256": hashlib.sha256(file.read_bytes()).hexdigest(),
        "verdict": ended.stdout.splitlines()[-1],
    }
    note = NOTES.get((folder.name, file.stem))
    return entry if note is None else {**entry, "note": note}


def reproduce(name: str) -> bool:
    """Prove the certificates of one folder again, say what came of each, and return whether all
    verdicts are those of the manifest; one with a note may differ.
    """
    folder = CERTIFICATES / name
    if not (folder / MANIFEST).is_file():
        known = ", ".join(path.name for path in folders())
        raise click.BadParameter(f"{name!r} is none of {known}.", param_hint="'--reproduce'")
    same = True
    for file, entry in json.loads((folder / MANIFEST).read_bytes()).items():
        with tempfile.TemporaryDirectory(prefix="certify-reproduce-") as scratch:
            shutil.copy(folder / MODEL, scratch)
            said, good = _again(entry, Path(scratch) / file)
        click.echo(f"{name}/{file}: {said}")
        same = same and (good or "note" in entry)
        if not good and "note" in entry:
            click.echo(f"  as noted: {entry['note']}")
    return same


def _again(entry: dict[str, Any], out: Path) -> tuple[str, bool]:
    """Return what comes of a command, and whether it is the verdict of the manifest."""
    ended = subprocess.run(
        [sys.executable, "-c", _RUN, str(REPOSITORY), *entry["argv"]],
        cwd=out.parent,
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    if ended.returncode != VERIFIED:
        return f"not proved, exit code {ended.returncode}", False
    line = ended.stdout.splitlines()[-1]
    if without_hash(line) != without_hash(entry["verdict"]):
        return f"another verdict: {line}", False
    bytes_same = hashlib.sha256(out.read_bytes()).hexdigest() == entry["sha256"]
    return f"the same verdict, {'the same' if bytes_same else 'other'} bytes", True


_RUN = """
import sys
sys.path.insert(0, sys.argv.pop(1))
from certify.command import main
main(prog_name="certify")
"""
"""Runs the ``certify`` of this repository, wherever it stands."""


def without_hash(verdict: str) -> str:
    """Return a verdict without the hash of its certificate."""
    return re.sub(r" certificate=sha256:[0-9a-f]{64}$", "", verdict)
