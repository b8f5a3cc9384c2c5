"""The page that runs the checker in a browser, as one folder that any static host serves.

    python3 -I -S web/build.py web/dist

The folder holds the page, ``checker.pyz``, Python for the browser (the npm package that ``npm ci``
put below ``web/node_modules``, compared with ``pyodide.sha256``), an example, and ``SHA256SUMS`` of
all of them.  The same sources give the same bytes.  It is written beside its place and then moved,
so that no half of it is ever served.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

WEB = Path(__file__).resolve().parent
ROOT = WEB.parent
PAGE = ("icon.svg", "page.js", "style.css", "worker.js")
PACKAGE = WEB / "node_modules" / "pyodide"
EXAMPLE = ROOT / "certificates" / "max-of-4-seed-0"
VERSION = "@PYODIDE@"
"""What the text of the page has in place of the version."""


class Unbuilt(Exception):
    """The folder cannot be made; the reason is one line."""


def sha256(path: Path) -> str:
    """Return the hash of a file in hexadecimal."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def pinned() -> dict[str, str]:
    """Return {file of Pyodide: its hash}, as this repository pins them."""
    lines = (WEB / "pyodide.sha256").read_text("utf-8").splitlines()
    pairs = [line.split("  ") for line in lines]
    return {name: digest for digest, name in pairs}


def copy_python(folder: Path) -> None:
    """Copy Pyodide's files into the folder, each one compared with its hash.

    Raises: Unbuilt for a file that is not there or is another one.
    """
    folder.mkdir()
    for name, digest in pinned().items():
        source = PACKAGE / name
        if not source.is_file():
            raise Unbuilt(f"{source} is not there: run npm ci in {WEB}")
        if sha256(source) != digest:
            raise Unbuilt(f"{source} is not the file that web/pyodide.sha256 names")
        shutil.copyfile(source, folder / name)


def copy_page(folder: Path) -> None:
    """Copy the page itself, with the version of Pyodide in its text."""
    for name in PAGE:
        shutil.copyfile(WEB / name, folder / name)
    package = json.loads((WEB / "package.json").read_text("utf-8"))
    page = (WEB / "index.html").read_text("utf-8")
    version = package["dependencies"]["pyodide"]
    (folder / "index.html").write_text(page.replace(VERSION, version), "utf-8", newline="\n")


def copy_example(folder: Path) -> None:
    """Copy a model and a certificate of it, to try the page with."""
    folder.mkdir()
    shutil.copyfile(EXAMPLE / "model.safetensors", folder / "model.safetensors")
    shutil.copyfile(EXAMPLE / "exact.json", folder / "certificate.json")


def make_checker(file: Path) -> None:
    """Make ``checker.pyz``, the same bytes as ``make checker.pyz``."""
    maker = ROOT / "certify" / "archive.py"
    line = [sys.executable, "-I", "-S", str(maker), str(file)]
    subprocess.run(line, check=True, stdout=subprocess.DEVNULL)


def list_hashes(folder: Path) -> str:
    """Return the hashes of all files of a folder, as ``sha256sum -c`` reads them."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    return "".join(f"{sha256(path)}  {path.relative_to(folder).as_posix()}\n" for path in files)


def build(folder: Path) -> None:
    """Write all files into an empty folder.

    Raises: Unbuilt if Pyodide is not as pinned.
    """
    copy_python(folder / "pyodide")
    copy_page(folder)
    copy_example(folder / "example")
    make_checker(folder / "checker.pyz")
    sums = list_hashes(folder)
    (folder / "SHA256SUMS").write_text(sums, "ascii", newline="\n")


def main(arguments: list[str]) -> int:
    """Build the folder that is named, in place of what was there."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python3 -I -S web/build.py OUT\n")
        return 2
    out = Path(arguments[0])
    out.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=out.parent, prefix=".building-") as made:
        folder = Path(made) / "dist"
        folder.mkdir()
        try:
            build(folder)
        except Unbuilt as error:
            sys.stderr.write(f"{error}\n")
            return 20
        if out.exists():
            out.rename(Path(made) / "old")
        folder.rename(out)
    sys.stdout.write(f"{sha256(out / 'SHA256SUMS')}  {out / 'SHA256SUMS'}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
