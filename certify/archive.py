"""The checker as one file, the same bytes from the same sources wherever and whenever it is made.

    python3 -I -S certify/archive.py checker.pyz

``python3 -I -S checker.pyz MODEL CERTIFICATE`` then runs the checker with nothing but the standard
library and this file: Python looks for modules neither beside the file nor where the user stands,
and what is compiled is the text in the file, every time.  Only ``.py`` files go in: compiled code
that lies beside the sources is never read.  They are stored as they are, so that the file can be
read, in order of name, with one date and one mode.

Nothing of certify is imported here, so this runs before anything is installed.
"""

from __future__ import annotations

import hashlib
import io
import sys
import zipfile
from pathlib import Path

_HERE = Path(__file__).resolve().parent
_PACKED = _HERE / "packed" / "checker"
CHECKER = _PACKED if _PACKED.is_dir() else _HERE.parent / "checker"
"""The sources of the checker: beside certify in a clone, within certify where it is installed, so
that no other package that is installed or removed there changes them.
"""
START = b'''"""Start the checker that lies in this file."""

import sys

try:
    from checker.__main__ import main
except KeyboardInterrupt:
    sys.exit("interrupted: no verdict")

sys.exit(main(sys.argv[1:]))
'''
_DATE = (1980, 1, 1, 0, 0, 0)
_MODE = 0o100644 << 16
_UNIX = 3


def archive(checker: Path = CHECKER) -> bytes:
    """Return the bytes of ``checker.pyz`` for these sources.

    Errors: ``FileNotFoundError`` if there are none.
    """
    entries = {
        f"checker/{path.relative_to(checker).as_posix()}": path.read_bytes()
        for path in checker.rglob("*.py")
    }
    if "checker/__main__.py" not in entries:
        raise FileNotFoundError(f"there is no checker in {checker}")
    entries["__main__.py"] = START
    made = io.BytesIO()
    with zipfile.ZipFile(made, "w", zipfile.ZIP_STORED) as file:
        for name, content in sorted(entries.items()):
            entry = zipfile.ZipInfo(name, _DATE)
            entry.create_system = _UNIX
            entry.external_attr = _MODE
            file.writestr(entry, content)
    return made.getvalue()


def main(arguments: list[str]) -> int:
    """Write the file that is named, and print its sha256 as ``sha256sum`` does."""
    if len(arguments) != 1:
        sys.stderr.write("usage: python3 -I -S certify/archive.py OUT.pyz\n")
        return 2
    made = archive()
    Path(arguments[0]).write_bytes(made)
    sys.stdout.write(f"{hashlib.sha256(made).hexdigest()}  {arguments[0]}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
