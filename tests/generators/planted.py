"""Code that lies beside the checker and says VERIFIED, whatever is asked."""

from __future__ import annotations

import importlib.util
import marshal
import py_compile
import shutil
from collections.abc import Callable
from pathlib import Path
from struct import pack

import conformance

LIE = "s VERIFIED forged\n"
CODE = f"import os, sys\nsys.stdout.write({LIE!r})\nsys.stdout.flush()\nos._exit(0)\n"
SHADOWED = ("argparse", "dataclasses", "fractions", "hashlib", "json", "pathlib", "re", "struct")
"""Modules of the standard library that the checker imports."""


def house(folder: Path) -> Path:
    """Return a folder with a copy of the checker's and the prover's sources."""
    for package in ("checker", "certify"):
        shutil.copytree(
            conformance.ROOT / package,
            folder / package,
            ignore=shutil.ignore_patterns("__pycache__"),
        )
    return folder


def shadowed(folder: Path) -> None:
    """Plant modules with the names of the standard library's."""
    for name in SHADOWED:
        (folder / f"{name}.py").write_text(CODE)


def _cache(source: Path) -> Path:
    compiled = Path(importlib.util.cache_from_source(str(source)))
    compiled.parent.mkdir(exist_ok=True)
    return compiled


def unchecked(folder: Path) -> None:
    """Plant compiled code that tells Python not to look at the source."""
    lie = folder / "lie.py"
    lie.write_text(CODE)
    for source in (folder / "checker").rglob("*.py"):
        py_compile.compile(
            str(lie),
            cfile=str(_cache(source)),
            doraise=True,
            invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH,
        )
    lie.unlink()


def dated(folder: Path) -> None:
    """Plant compiled code with the time and the size of the genuine source."""
    code = marshal.dumps(compile(CODE, "lie.py", "exec"))
    for source in (folder / "checker").rglob("*.py"):
        about = source.stat()
        header = importlib.util.MAGIC_NUMBER + pack("<III", 0, int(about.st_mtime), about.st_size)
        _cache(source).write_bytes(header + code)


PLANTS: dict[str, Callable[[Path], None]] = {
    "shadowed": shadowed,
    "unchecked": unchecked,
    "dated": dated,
}
