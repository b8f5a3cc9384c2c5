"""The wheels: the same bytes from every clone; each works alone in an empty environment, on every
Python that is here, far from the repository; neither holds a file of the other.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tomllib
import zipfile
from email import message_from_bytes
from pathlib import Path

import conformance
import processor
import pytest

from certify.archive import archive
from checker import __version__

ROOT = conformance.ROOT
SHIPPED = ROOT / "certificates" / "max-of-4-seed-0"
FILES = [str(SHIPPED / "model.safetensors"), str(SHIPPED / "cascade.json")]
VERDICT = "s VERIFIED task=max-of-k k=4 vocab=64 scope=uniform semantics=real "
SOURCES = ("pyproject.toml", "README.md", "LICENSE", ".gitignore", "certify", "checker")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
VERSIONS = [text[-4:] for text in PROJECT["classifiers"] if re.search(r":: 3\.[0-9]+$", text)]
EPOCH = "315532800"  # 1980-01-01, as in the Makefile
SECONDS = 300

pytestmark = pytest.mark.slow


def runs(python: str) -> bool:
    try:
        return processor.run([python, "-I", "-c", ""], 60, capture_output=True).returncode == 0
    except OSError:
        return False


@pytest.fixture(params=VERSIONS)
def python(request: pytest.FixtureRequest) -> str:
    """Return an interpreter of each supported version that is installed, found as .ci/run does."""
    version = request.param
    kept = Path(os.environ.get("PYENV_ROOT", Path.home() / ".pyenv")) / "versions"
    own = [sys.executable] if sys.version.startswith(f"{version}.") else []
    others = sorted(str(path) for path in kept.glob(f"{version}.*/bin/python3"))
    for found in [*own, f"python{version}", *others]:
        if runs(found):
            return found
    pytest.skip(f"Python {version} is not installed here")


def ran(line: list[str], cwd: Path) -> str:
    """Return the standard output of a program that succeeds, in a bare environment variables."""
    kept = {key: os.environ[key] for key in ("PATH", "HOME") if key in os.environ}
    pip = {key: text for key, text in os.environ.items() if key.startswith("PIP_")}
    done = processor.run(
        line, SECONDS, cwd=cwd, env={**kept, **pip}, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return str(done.stdout)


def clone(folder: Path) -> Path:
    """Return a folder with what the wheels are made of, and what lies about in a used clone."""
    folder.mkdir()
    ignored = shutil.ignore_patterns("__pycache__")
    for name in SOURCES:
        if (ROOT / name).is_dir():
            shutil.copytree(ROOT / name, folder / name, ignore=ignored)
        else:
            shutil.copyfile(ROOT / name, folder / name)
    shutil.copytree(SHIPPED, folder / "certificates" / SHIPPED.name)
    return folder


def wheels(source: Path, out: Path) -> dict[str, bytes]:
    """Return the wheels that are built from a clone."""
    line = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"]
    subprocess.run(
        [*line, "--wheel-dir", str(out), str(source), str(source / "checker")],
        check=True,
        env={**os.environ, "SOURCE_DATE_EPOCH": EPOCH},
    )
    return {path.name: path.read_bytes() for path in out.iterdir()}


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the wheels of this repository."""
    folder = tmp_path_factory.mktemp("wheels")
    wheels(clone(folder / "clone"), folder / "out")
    return folder / "out"


def wheel(built: Path, name: str) -> str:
    return str(built / f"{name}-{__version__}-py3-none-any.whl")


def empty(folder: Path, python: str) -> Path:
    """Return an environment without any package, not even pip."""
    ran([python, "-m", "venv", "--without-pip", str(folder)], folder.parent)
    return folder


def pip(environment: Path, *arguments: str) -> None:
    """Run the pip of this environment on another one."""
    python = str(environment / "bin" / "python")
    line = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check"]
    ran([*line, "--python", python, *arguments], environment)


def names(wheel: str) -> set[str]:
    with zipfile.ZipFile(wheel) as file:
        return set(file.namelist())


@pytest.mark.parametrize("umask", [0o077, 0o002])
def test_every_clone_makes_the_same_bytes(umask: int, built: Path, tmp_path: Path) -> None:
    before = os.umask(umask)
    try:
        source = clone(tmp_path / "elsewhere")
        (source / "checker" / "__pycache__").mkdir()
        (source / "checker" / "__pycache__" / "check.cpython-311.pyc").write_bytes(b"compiled")
        (source / "certify" / "notes.txt").write_bytes(b"of somebody")
    finally:
        os.umask(before)
    for path in source.rglob("*"):
        os.utime(path, (10**9, 10**9))
    expected = {path.name: path.read_bytes() for path in built.iterdir()}
    assert wheels(source, tmp_path / "out") == expected
    assert sorted(expected) == [
        f"certify-{__version__}-py3-none-any.whl",
        f"certify_checker-{__version__}-py3-none-any.whl",
    ]
    # Building leaves nothing beside the sources: what lies there counts for the checker's hash.
    assert archive(source / "checker") == archive(ROOT / "checker")
    assert not (source / "build").exists()


def test_the_checker_is_whole_and_needs_nothing(built: Path) -> None:
    sources = {
        path.relative_to(ROOT).as_posix(): path.read_bytes()
        for path in (ROOT / "checker").rglob("*.py")
    }
    with zipfile.ZipFile(wheel(built, "certify_checker")) as file:
        found = {name: file.read(name) for name in file.namelist()}
    assert {name: text for name, text in found.items() if name.endswith(".py")} == sources
    described = next(name for name in found if name.endswith(".dist-info/METADATA"))
    assert message_from_bytes(found[described]).get_all("Requires-Dist") is None
    assert found["checker/LICENSE"] == (ROOT / "LICENSE").read_bytes()


def test_neither_holds_a_file_of_the_other(built: Path) -> None:
    of_certify, of_checker = (names(wheel(built, name)) for name in ("certify", "certify_checker"))
    assert of_certify & of_checker == set()
    assert {name.partition("/")[0].partition("-")[0] for name in of_certify} == {"certify"}


def test_the_checker_works_alone(python: str, built: Path, tmp_path: Path) -> None:
    place = empty(tmp_path / "environment", python)
    pip(place, "install", "--no-index", wheel(built, "certify_checker"))
    own, command = str(place / "bin" / "python"), str(place / "bin" / "certify-checker")
    listed = "import importlib.metadata as m; print([d.name for d in m.distributions()])"
    assert ran([own, "-I", "-c", listed], tmp_path) == "['certify-checker']\n"
    verdict = ran([command, *FILES], tmp_path).splitlines()[-1]
    assert verdict.startswith(VERDICT)
    refused = processor.run([command, FILES[0], FILES[0]], 60, capture_output=True, text=True)
    assert (refused.returncode, refused.stdout[:11]) == (10, "s REJECTED ")
    pyz = tmp_path / "checker.pyz"
    pyz.write_bytes(archive(ROOT / "checker"))
    version = ran([own, "-I", "-S", str(pyz), "--version"], tmp_path)
    assert ran([command, "--version"], tmp_path) == version
    assert ran([own, "-I", "-m", "checker", "--version"], tmp_path) == version


def test_certify_works_alone_and_beside_the_checker(
    python: str, built: Path, tmp_path: Path
) -> None:
    place = empty(tmp_path / "environment", python)
    pip(place, "install", "-c", str(ROOT / "tests/constraints.txt"), wheel(built, "certify"))
    command = str(place / "bin" / "certify")
    assert ran([command, "verify", *FILES], tmp_path).splitlines()[-1].startswith(VERDICT)
    model = str(ROOT / "tests/data/max-of-3-adversarial.safetensors")
    line = ["--task", "max-of-k", "--strategy", "cascade", "--out", "made.json"]
    assert "s VERIFIED task=max-of-k k=3 " in ran([command, "prove", model, *line], tmp_path)
    assert "16769545 of 16777216 right" in ran([command, "demo"], tmp_path)
    # Another checker beside it changes nothing, nor does its going.
    pip(place, "install", "--no-index", wheel(built, "certify_checker"))
    for module in (place / "lib").glob("python*/site-packages/checker/__main__.py"):
        module.write_text("print('s VERIFIED forged')\n")
    assert ran([command, "verify", *FILES], tmp_path).splitlines()[-1].startswith(VERDICT)
    pip(place, "uninstall", "--yes", "certify-checker")
    assert ran([command, "verify", *FILES], tmp_path).splitlines()[-1].startswith(VERDICT)
