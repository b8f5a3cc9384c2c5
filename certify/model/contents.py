"""What a file of somebody else holds: state dicts, each with a configuration where there is one.

Read are safetensors, ``.npz`` archives, PyTorch files (weights only: nothing that a pickle names is
ever called) and folders that hold ``model.safetensors`` and ``config.json``.  A PyTorch file may be
a training record: the dictionaries and lists in it are searched for tensors.  Nothing is rounded:
bfloat16, which numpy lacks, is widened to float32.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import struct
import warnings
import zipfile
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
import safetensors
from numpy.typing import NDArray

from certify.errors import BadInput, Unsupported
from certify.files import read_bytes
from certify.model.config import quoted
from certify.model.file import MAXIMUM_FILE_BYTES, read_metadata

Array: TypeAlias = NDArray[Any]

MAXIMUM_CONFIG_BYTES = 1 << 20
ENDINGS = (".safetensors", ".npz", ".pt", ".pth")
CONFIG_KEYS = ("config", "cfg")

_DAMAGES = (
    OSError,
    RuntimeError,
    ValueError,
    EOFError,
    LookupError,
    TypeError,
    AttributeError,
    AssertionError,
    ArithmeticError,
    struct.error,
    zlib.error,
    zipfile.BadZipFile,
    pickle.UnpicklingError,
)
"""What readers of archives raise when a file is damaged."""

_MOST_CONTAINERS = 10_000
_DEEPEST = 8
_STORED = {
    "F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2",
    "I8": "<i1", "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "<u1", "BOOL": "?",
}  # fmt: skip
_SAVE_WEIGHTS = (
    'where it was trained, run torch.save(model.state_dict(), "state.pt"), and import that'
)


@dataclass(frozen=True, slots=True)
class State:
    """One state dict of a file.

    ``entry`` is where it lies in the file, empty for the file itself; ``others`` are its entries
    that are no tensors, by name, with their kinds; ``config`` is a configuration as it is stored,
    None without one.
    """

    entry: str
    tensors: Mapping[str, Array]
    others: Mapping[str, str]
    config: object | None = None


@dataclass(frozen=True, slots=True)
class Contents:
    """All state dicts of a file, and in words what the file is."""

    states: tuple[State, ...]
    kind: str


def read_contents(path: Path) -> Contents:
    """Return what a file or a folder holds.

    Ensures: at least one state dict, each with at least one tensor.
    Errors:  ``BadInput`` if it is damaged or holds no tensors; ``Unsupported`` for
             other kinds of files, and for pickled objects, which are not loaded.
    """
    if path.is_dir():
        config = read_config(path / "config.json")
        found = read_contents(path / "model.safetensors")
        (state,) = found.states
        return Contents((State("", state.tensors, state.others, config),), "a folder")
    origin = str(path)
    data = read_bytes(path, MAXIMUM_FILE_BYTES)
    if path.suffix not in ENDINGS:
        raise Unsupported(
            f"{origin}: files ending in {path.suffix!r} are not supported ({', '.join(ENDINGS)}"
            " are)"
        )
    match path.suffix:
        case ".safetensors":
            config = _stored_config(read_metadata(data, origin), origin)
            states = [State("", _read_safetensors(data, origin), {}, config)]
            kind = "a safetensors file"
        case ".npz":
            states = [State("", _read_npz(data, origin), {})]
            kind = "a numpy archive"
        case _:
            value = _read_pt(data, origin)
            states = list(_states_in(value, origin))
            kind = f"a PyTorch file with {described(value)}"
    if not any(state.tensors for state in states):
        raise BadInput(f"{origin}: holds no model: {kind}, without a tensor")
    return Contents(tuple(states), kind)


def read_config(path: Path) -> object:
    """Return the JSON value of a configuration file.

    Errors: ``BadInput`` if it cannot be read or is not JSON.
    """
    data = read_bytes(path, MAXIMUM_CONFIG_BYTES)
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON: {error}") from error


def described(value: object) -> str:
    """Return in a few words what a value of a PyTorch file is."""
    if isinstance(value, Mapping):
        names = ", ".join(str(name)[:30] for name in list(value)[:4])
        more = ", ..." if len(value) > 4 else ""
        return f"a dictionary of {len(value)}" + (f" ({names}{more})" if names else "")
    if isinstance(value, (list, tuple)):
        kinds = sorted({type(entry).__name__ for entry in value})
        return f"a list of {len(value)}" + (f" ({', '.join(kinds[:4])})" if kinds else "")
    return f"one {type(value).__name__}"


def _stored_config(metadata: Mapping[str, str], origin: str) -> object | None:
    """Return the configuration that the metadata of a safetensors file holds, if it does."""
    texts = [metadata[key] for key in CONFIG_KEYS if key in metadata]
    try:
        return json.loads(texts[0]) if texts else None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{origin}: metadata field config is not JSON: {error}") from error


def _read_safetensors(data: bytes, origin: str) -> dict[str, Array]:
    """Return every tensor of a safetensors file, read-only."""
    try:
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise BadInput(f"{origin}: not a safetensors file: {error}") from error
    tensors: dict[str, Array] = {}
    for name, entry in entries:
        stored, raw = entry["dtype"], entry["data"]
        if stored == "BF16":
            array = (np.frombuffer(raw, dtype="<u2").astype("<u4") << 16).view("<f4")
        elif stored in _STORED:
            array = np.frombuffer(raw, dtype=_STORED[stored])
        else:
            raise Unsupported(f"{origin}: tensor {quoted(name)} has dtype {stored}")
        tensors[name] = _native(array.reshape(entry["shape"]))
    return tensors


def _read_npz(data: bytes, origin: str) -> dict[str, Array]:
    """Return the arrays of a numpy archive, never unpickling anything."""
    tensors: dict[str, Array] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAXIMUM_FILE_BYTES:
            raise BadInput(f"{origin}: {size} bytes unpacked, the limit is {MAXIMUM_FILE_BYTES}")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            for name in archive.files:
                entry = archive[name]
                if not isinstance(entry, np.ndarray):
                    raise BadInput(f"{origin}: entry {quoted(name)} is not an array")
                tensors[name] = _native(entry)
    except _DAMAGES as error:
        raise BadInput(f"{origin}: not a readable .npz archive: {error}") from error
    return tensors


def _read_pt(data: bytes, origin: str) -> object:
    """Return the value of a PyTorch file.

    Loaded with ``weights_only=True``, so that no code runs.
    """
    try:
        import torch  # noqa: PLC0415  (optional, and slow to import)
    except ImportError as error:
        raise Unsupported(
            f"{origin}: reading it needs PyTorch: pip install torch (the extra certify[train])"
        ) from error
    if _is_program(data):
        raise Unsupported(f"{origin}: is a TorchScript program, not weights: {_SAVE_WEIGHTS}")
    try:
        # Advice about other settings of torch.load is not for the user of this command.
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            value: object = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except _DAMAGES as error:
        raise _unreadable(str(error), type(error).__name__, origin) from error
    return value


def _unreadable(text: str, kind: str, origin: str) -> BadInput | Unsupported:
    """Return the failure for a PyTorch file that cannot be read as weights."""
    named = re.search(r"\bGLOBAL ([\w.]+)", text)
    if named:
        return Unsupported(
            f"{origin}: holds a pickled Python object ({named[1]}), not only weights; it is not"
            f" loaded, since that would run code: {_SAVE_WEIGHTS}"
        )
    # PyTorch's own text advises to load the file without this protection.
    why = re.search(r"WeightsUnpickler error: (.*)", text)
    if why is None and text.startswith("Weights only load failed"):
        first = "its pickle is damaged"
    else:
        first = why[1] if why else next(iter(text.strip().splitlines()), kind)
    return BadInput(f"{origin}: not a readable PyTorch file: {first}")


def _is_program(data: bytes) -> bool:
    """Return whether a file of PyTorch is a program of TorchScript, told by a member of its
    archive.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            return any(name.endswith("/constants.pkl") for name in archive.namelist())
    except (zipfile.BadZipFile, OSError, ValueError, NotImplementedError):
        return False


def _states_in(value: object, origin: str) -> Iterator[State]:
    """Yield every dictionary in a value that holds a tensor, outermost first."""
    import torch  # noqa: PLC0415  (loaded already)

    waiting: list[tuple[str, object, object | None, int]] = [("", value, None, 0)]
    seen = 0
    while waiting and seen < _MOST_CONTAINERS:
        entry, found, config, depth = waiting.pop(0)
        seen += 1
        if isinstance(found, Mapping):
            stored = (found.get(key) for key in CONFIG_KEYS)
            config = next((one for one in stored if isinstance(one, dict)), config)
            named = {str(name): one for name, one in found.items()}
            tensors = {name: one for name, one in named.items() if isinstance(one, torch.Tensor)}
            if tensors:
                others = {
                    name: type(one).__name__
                    for name, one in named.items()
                    if name not in tensors and one is not config
                }
                arrays = {
                    name: _from_torch(torch, one, name, origin) for name, one in tensors.items()
                }
                yield State(entry, arrays, others, config)
            inner = [(f"{entry}.{name}" if entry else name, one) for name, one in named.items()]
        elif isinstance(found, (list, tuple)):
            inner = [(f"{entry}[{place}]", one) for place, one in enumerate(found)]
        else:
            continue
        if depth < _DEEPEST:
            waiting += [
                (name, one, config, depth + 1)
                for name, one in inner
                if _may_hold_states(one) and one is not config
            ]
    if waiting:
        raise Unsupported(
            f"{origin}: holds more than {_MOST_CONTAINERS} lists and dictionaries: {_SAVE_WEIGHTS}"
        )


def _may_hold_states(value: object) -> bool:
    """Return whether a dictionary can be in a value; pairs of numbers, of which there may be many,
    hold none.
    """
    if isinstance(value, (list, tuple)):
        return any(isinstance(one, (Mapping, list, tuple)) for one in value)
    return isinstance(value, Mapping)


def _from_torch(torch: Any, tensor: Any, name: str, origin: str) -> Array:
    """Return one PyTorch tensor as an array, bfloat16 widened exactly to float32."""
    wide = tensor.to(torch.float32) if tensor.dtype == torch.bfloat16 else tensor
    try:
        return _native(wide.detach().cpu().contiguous().numpy())
    except (TypeError, RuntimeError) as error:
        raise Unsupported(
            f"{origin}: tensor {quoted(name)} is of a kind that is not supported ({tensor.dtype},"
            f" {tensor.layout})"
        ) from error


def _native(array: Array) -> Array:
    """Return a copy in native byte order, read-only."""
    copied = np.array(array, dtype=array.dtype.newbyteorder("="), order="C")
    copied.setflags(write=False)
    return copied
