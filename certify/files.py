"""Read whole files with one-line errors, and write them so that none is left half-written."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from certify.errors import BadInput


def read_bytes(path: Path, maximum: int) -> bytes:
    """Return the bytes of a regular file.

    Errors: ``BadInput`` if it is missing, not a regular file, unreadable, empty
            or longer than ``maximum`` bytes (decided before it is read).
    """
    try:
        if not path.exists():
            raise BadInput(f"{path}: no such file")
        if not path.is_file():
            raise BadInput(f"{path}: not a regular file")
        size = path.stat().st_size
        if size > maximum:
            raise BadInput(f"{path}: {size} bytes, the limit is {maximum}")
        data = path.read_bytes()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadInput(f"{path}: cannot be read: {reason}") from error
    if not data:
        raise BadInput(f"{path}: the file is empty")
    return data


def write_bytes(path: Path, data: bytes) -> None:
    """Write ``data`` to ``path`` in one step: a temporary file in the same folder, then a rename.

    Ensures: ``path`` holds either its old bytes or all of ``data``, and no
             temporary file stays behind.
    Errors:  ``BadInput`` if the folder does not exist or cannot be written.
    """
    temporary: str | None = None
    try:
        handle, temporary = tempfile.mkstemp(
            dir=path.parent, prefix=f".{path.name}.", suffix=".part"
        )
        with os.fdopen(handle, "wb") as stream:
            stream.write(data)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
        raise BadInput(f"{path}: cannot be written: {reason}") from error
    finally:
        if temporary is not None and os.path.exists(temporary):
            os.unlink(temporary)
