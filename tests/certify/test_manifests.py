"""Every shipped certificate is in its manifest, which says how it was made."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import click
import pytest

from benchmarks import manifests
from certify.certificate.show import read_certificate
from certify.command.group import main

CERTIFICATES = [(name, file) for name, _, file in manifests.certificates()]


def entry_of(file: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((file.parent / manifests.MANIFEST).read_bytes())[file.name]
    return found


def short(value: object) -> str:
    return f"{value.parent.name}/{value.name}" if isinstance(value, Path) else ""


def test_a_manifest_has_the_certificates_of_its_folder_and_no_other() -> None:
    assert len(CERTIFICATES) > 40
    for folder in manifests.folders():
        found = json.loads((folder / manifests.MANIFEST).read_bytes())
        assert sorted(found) == [file.name for file in manifests.certificates_in(folder)]


@pytest.mark.parametrize(("name", "file"), CERTIFICATES, ids=short)
def test_hash_and_verdict_are_of_the_file(name: str, file: Path) -> None:
    entry = entry_of(file)
    digest = hashlib.sha256(file.read_bytes()).hexdigest()
    assert set(entry) - {"note"} == {"argv", "sha256", "verdict"}
    assert entry["sha256"] == digest
    words = entry["verdict"].split()
    assert words[:2] == ["s", "VERIFIED"]
    model = hashlib.sha256((file.parent / manifests.MODEL).read_bytes()).hexdigest()
    assert words[-2:] == [f"model=sha256:{model}", f"certificate=sha256:{digest}"]
    lower, upper = read_certificate(file).bounds
    shown = dict(word.split("=", 1) for word in words[2:])
    assert int(shown["correct_lower"]) >= lower
    assert int(shown["correct_upper"]) <= upper
    assert entry.get("note") == manifests.NOTES.get((name, file.stem))


@pytest.mark.parametrize(("name", "file"), CERTIFICATES, ids=short)
def test_argv_is_a_command_that_makes_the_file(
    name: str, file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is parsed, not run; the strategy and what is claimed are those of the file."""
    command, *words = entry_of(file)["argv"]
    assert [command, *words] == manifests.argv_of(name, read_certificate(file))
    monkeypatch.chdir(file.parent)
    prove = main.commands[command]
    parsed = prove.make_context("prove", list(words)).params
    shipped = read_certificate(file)
    assert parsed["model_file"] == Path(manifests.MODEL)
    assert parsed["out"] == Path(file.name)
    assert parsed["strategy"] == shipped.strategy
    assert parsed["task"] == shipped.task
    assert parsed["semantics"] == shipped.statement["semantics"]


def test_every_note_is_about_a_certificate() -> None:
    assert set(manifests.NOTES) <= {(name, file.stem) for name, file in CERTIFICATES}


@pytest.fixture
def one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Return a copy of a folder with its cheapest certificate alone."""
    source = manifests.CERTIFICATES / "brackets10-lnpre-silu"
    folder = tmp_path / "one"
    folder.mkdir()
    (folder / manifests.MODEL).write_bytes((source / manifests.MODEL).read_bytes())
    (folder / manifests.MANIFEST).write_bytes((source / manifests.MANIFEST).read_bytes())
    monkeypatch.setattr(manifests, "CERTIFICATES", tmp_path)
    return folder


def test_a_certificate_is_made_again(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert manifests.reproduce("one")
    assert "one/exhaustive.json: the same verdict, " in capsys.readouterr().out


def test_another_verdict_is_told(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = one / manifests.MANIFEST
    written = json.loads(file.read_bytes())
    entry = written["exhaustive.json"]
    entry["verdict"] = entry["verdict"].replace("correct_lower=", "correct_lower=9")
    file.write_text(json.dumps(written), "utf-8")
    assert not manifests.reproduce("one")
    assert "another verdict: s VERIFIED" in capsys.readouterr().out
    entry["note"] = "it was another model"
    file.write_text(json.dumps(written), "utf-8")
    assert manifests.reproduce("one")
    assert "as noted: it was another model" in capsys.readouterr().out


def test_what_cannot_be_proved_is_told(one: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = one / manifests.MANIFEST
    written = json.loads(file.read_bytes())
    written["exhaustive.json"]["argv"].remove("exhaustive")
    file.write_text(json.dumps(written), "utf-8")
    assert not manifests.reproduce("one")
    assert "not proved, exit code 2" in capsys.readouterr().out


def test_an_unknown_folder_is_a_usage_error() -> None:
    with pytest.raises(click.BadParameter, match="max-of-4-seed-0"):
        manifests.reproduce("max-of-4")
