"""`certify verify` and `certify prove` run the genuine checker, whatever lies beside it."""

from __future__ import annotations

import subprocess
import sys
import time
from hashlib import sha256
from pathlib import Path

import conformance
import planted
import processor
import pytest

from certify.archive import archive
from certify.certificate import client
from certify.errors import CertifyError

VECTORS = {vector.name: vector for vector in conformance.vectors()}
FALSE = VECTORS["SPEC-5.6/reject-all-correct"]
# The house stands where an installed package does: behind the standard library, before the rest.
CERTIFY = """
import sys
place = next(at for at, folder in enumerate(sys.path) if folder.endswith("-packages"))
sys.path.insert(place, sys.argv.pop(1))
from certify.command import main
main()
"""


def certify(house: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """Return what the certify of that house does."""
    return processor.run(
        [sys.executable, "-P", "-c", CERTIFY, str(house), *arguments],
        120,
        cwd=house,
        capture_output=True,
        text=True,
    )


@pytest.mark.parametrize("plant", planted.PLANTS)
def test_what_is_planted_verifies_nothing(plant: str, tmp_path: Path) -> None:
    house = planted.house(tmp_path / "house")
    planted.PLANTS[plant](house)
    ended = certify(house, "verify", str(FALSE.model), str(FALSE.certificate))
    assert (ended.returncode, ended.stderr) == (10, "")
    assert ended.stdout.startswith("s REJECTED SPEC-5.6: ")


@pytest.mark.parametrize("plant", planted.PLANTS)
def test_what_is_planted_proves_nothing(plant: str, tmp_path: Path) -> None:
    house, out = planted.house(tmp_path / "house"), tmp_path / "out.json"
    planted.PLANTS[plant](house)
    line = ["--task", "max-of-k", "--strategy", "brute-force", "--out", str(out)]
    ended = certify(house, "prove", str(FALSE.model), *line)
    assert ended.returncode == 0
    verdict = ended.stdout.splitlines()[-1]
    assert verdict.startswith("s VERIFIED task=max-of-k ")
    assert verdict.endswith(f"certificate=sha256:{sha256(out.read_bytes()).hexdigest()}")


def test_the_file_is_made_in_no_time() -> None:
    used = time.process_time()
    archive()
    assert time.process_time() - used < 0.1


def test_without_a_checker_there_is_no_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    def none() -> bytes:
        raise FileNotFoundError

    monkeypatch.setattr(client, "archive", none)
    client._checker.cache_clear()
    with pytest.raises(CertifyError, match="not installed"):
        client.run_checker(["--version"])
