"""`checker.pyz`: the same bytes from every clone, the same checker as the folder, and deaf to what
lies around it.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from hashlib import sha256
from pathlib import Path

import conformance
import planted
import processor
import pytest

from certify.archive import START, archive

ROOT = conformance.ROOT
VECTORS = {vector.name: vector for vector in conformance.vectors()}
TRUE = VECTORS["SPEC-3.2/accept-canonical"]
FALSE = VECTORS["SPEC-5.6/reject-all-correct"]


def ran(line: list[str], cwd: Path) -> subprocess.CompletedProcess[str]:
    done = processor.run([sys.executable, *line], 60, cwd=cwd, capture_output=True, text=True)
    assert done.stderr == ""
    return done


def files(vector: conformance.Vector) -> list[str]:
    return [str(vector.model), str(vector.certificate)]


@pytest.fixture(scope="module")
def pyz(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the checker as one file, in a folder of its own."""
    file = tmp_path_factory.mktemp("released") / "checker.pyz"
    file.write_bytes(archive(ROOT / "checker"))
    return file


# --- the same bytes ---------------------------------------------------------------


@pytest.mark.parametrize(("umask", "time"), [(0o077, 10**9), (0o002, 1_700_000_000)])
def test_two_clones_make_the_same_bytes(umask: int, time: int, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        clone = planted.house(tmp_path / "clone")
        (clone / "checker" / "empty").mkdir()
    finally:
        os.umask(before)
    for path in clone.rglob("*"):
        os.utime(path, (time, time))
    made = tmp_path / "made.pyz"
    done = ran(["-I", "-S", str(clone / "certify" / "archive.py"), str(made)], cwd=tmp_path)
    expected = archive(ROOT / "checker")
    assert made.read_bytes() == expected
    assert done.stdout == f"{sha256(expected).hexdigest()}  {made}\n"


def test_the_makefile_makes_it(tmp_path: Path) -> None:
    clone = planted.house(tmp_path)
    shutil.copy(ROOT / "Makefile", clone)
    line = ["make", "--no-print-directory", "checker.pyz", f"PYTHON={sys.executable}"]
    done = processor.run(line, 60, cwd=clone, capture_output=True, text=True)
    made = (clone / "checker.pyz").read_bytes()
    assert made == archive(ROOT / "checker")
    assert done.stdout.splitlines()[-1] == f"{sha256(made).hexdigest()}  checker.pyz"


def test_it_holds_the_sources_and_nothing_else(pyz: Path) -> None:
    texts = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in (ROOT / "checker").rglob("*.py")
    }
    with zipfile.ZipFile(pyz) as file:
        found = {name: file.read(name) for name in file.namelist()}
        assert file.namelist() == sorted(found)
        assert {entry.compress_type for entry in file.infolist()} == {zipfile.ZIP_STORED}
    assert found == {**texts, "__main__.py": START}


def test_without_a_checker_there_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        archive(tmp_path)
    (tmp_path / "check.py").touch()
    with pytest.raises(FileNotFoundError):
        archive(tmp_path)


def test_usage(tmp_path: Path) -> None:
    line = [sys.executable, "-I", "-S", str(ROOT / "certify" / "archive.py")]
    done = processor.run(line, 60, cwd=tmp_path, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith("usage: ")


# --- the same checker -------------------------------------------------------------


def installed(folder: Path) -> Path:
    """Return a folder with what a wheel of this project would hold."""
    for path in (ROOT / "checker").rglob("*.py"):
        way = folder / path.relative_to(ROOT)
        way.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(path, way)
    return folder


def test_folder_wheel_and_file_have_one_version(pyz: Path, tmp_path: Path) -> None:
    module = ["-S", "-m", "checker", "--version"]
    said = {
        ran(module, cwd=ROOT).stdout,
        ran(module, cwd=installed(tmp_path / "site")).stdout,
        ran(["-I", "-S", str(pyz), "--version"], cwd=tmp_path).stdout,
    }
    assert len(said) == 1
    assert sha256().hexdigest() not in said.pop()


@pytest.mark.parametrize("change", ["a byte", "a name", "a file"])
def test_the_version_tells_other_sources(change: str, tmp_path: Path) -> None:
    clone = planted.house(tmp_path)
    module = ["-S", "-B", "-m", "checker", "--version"]
    genuine = ran(module, cwd=clone).stdout
    if change == "a byte":
        file = clone / "checker" / "leaves" / "__init__.py"
        file.write_bytes(file.read_bytes() + b"\n")
    elif change == "a file":
        (clone / "checker" / "leaves" / "more.py").touch()
    else:
        (clone / "checker" / "more").mkdir()
        (clone / "checker" / "leaves" / "__init__.py").rename(
            clone / "checker" / "leaves" / "_init_.py"
        )
    assert ran(module, cwd=clone).stdout != genuine


@pytest.mark.parametrize("name", [TRUE.name, FALSE.name, "SPEC-9.3/accept-at-least-exactly"])
def test_folder_and_file_say_the_same(name: str, pyz: Path, tmp_path: Path) -> None:
    vector = VECTORS[name]
    by_file = ran(["-I", "-S", str(pyz), *files(vector), *vector.arguments], cwd=tmp_path)
    by_name = ran(["-S", "-m", "checker", *files(vector), *vector.arguments], cwd=ROOT)
    assert by_file.returncode == by_name.returncode
    for one, other in zip(by_file.stdout.split("\n"), by_name.stdout.split("\n"), strict=True):
        assert one.partition(" seconds=")[0] == other.partition(" seconds=")[0]


# --- what lies around it ----------------------------------------------------------


@pytest.mark.parametrize("plant", planted.PLANTS)
def test_what_is_planted_cannot_verify_a_false_claim(plant: str, tmp_path: Path) -> None:
    house = planted.house(tmp_path)
    planted.PLANTS[plant](house)
    (house / "checker.pyz").write_bytes(archive(house / "checker"))
    ended = ran(["-I", "-S", "checker.pyz", *files(FALSE)], cwd=house)
    assert ended.returncode == 10
    assert ended.stdout.startswith("s REJECTED SPEC-5.6: ")
    # The plant is real: the command for development, which does not protect from it, is fooled.
    fooled = ran(["-S", "-m", "checker", *files(FALSE)], cwd=house)
    assert (fooled.returncode, fooled.stdout) == (0, planted.LIE)
    # What was planted is not in the file that is made.
    assert (house / "checker.pyz").read_bytes() == archive(ROOT / "checker")


def test_the_environment_cannot_either(pyz: Path, tmp_path: Path) -> None:
    planted.shadowed(tmp_path)
    done = processor.run(
        [sys.executable, "-I", "-S", str(pyz), *files(FALSE)],
        60,
        cwd=tmp_path,
        env={"PYTHONPATH": str(tmp_path), "PYTHONSTARTUP": str(tmp_path / "json.py")},
        capture_output=True,
        text=True,
    )
    assert (done.returncode, done.stderr) == (10, "")
