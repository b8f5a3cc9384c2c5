"""Model files: a frozen configuration, named tensors and the hash of the bytes they came from.

A model file is a safetensors file whose metadata holds ``format`` =
``certify.model/1`` and ``config``, canonical JSON with TransformerLens's field
names.  Tensor names and shapes (one layer, one head, attention only):

==========================================  ============================
``embed.W_E``                               ``[d_vocab, d_model]``
``pos_embed.W_pos``                         ``[n_ctx, d_model]``
``blocks.0.attn.W_Q``, ``W_K``, ``W_V``     ``[n_heads, d_model, d_head]``
``blocks.0.attn.W_O``                       ``[n_heads, d_head, d_model]``
``unembed.W_U``                             ``[d_model, d_vocab_out]``
``blocks.0.attn.b_Q``, ``b_K``, ``b_V``     ``[n_heads, d_head]``, optional
``blocks.0.attn.b_O``                       ``[d_model]``, optional
``unembed.b_U``                             ``[d_vocab_out]``, optional
==========================================  ============================

An absent bias is zero.  The reader is the prover's: it is convenient, and
nothing rests on it, since the checker reads the same bytes with its own code.
Not done here: other architectures, which are declined by name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeAlias

import numpy as np
import safetensors
from numpy.typing import NDArray

from certify.errors import BadInput, Unsupported
from certify.files import read_bytes, write_bytes

FORMAT = "certify.model/1"
MAXIMUM_FILE_BYTES = 256 << 20

Tensor: TypeAlias = NDArray[np.floating[Any]]

_STORED_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_WRITTEN_DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16"}


@dataclass(frozen=True, slots=True)
class Config:
    """The architecture, under TransformerLens's names; the attention scale is sqrt(d_head)."""

    d_vocab: int
    d_vocab_out: int
    n_ctx: int
    d_model: int
    d_head: int
    n_heads: int = 1
    n_layers: int = 1
    attn_only: bool = True
    act_fn: str | None = None
    normalization_type: str | None = None
    attention_dir: str = "causal"
    positional_embedding_type: str = "standard"

    def as_dict(self) -> dict[str, int | str | bool | None]:
        """Return the twelve fields as a plain dictionary."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    def canonical_json(self) -> str:
        """Return the fields as JSON with sorted keys and no spaces."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))


_SIZES = ("d_vocab", "d_vocab_out", "n_ctx", "d_model", "d_head", "n_heads", "n_layers")
# Without an MLP the activation function has no effect, and at the last position
# of a single layer causal and bidirectional attention are the same.
_CHOICES: Mapping[str, tuple[int | str | None, ...]] = MappingProxyType(
    {
        "n_heads": (1,),
        "n_layers": (1,),
        "attn_only": (True,),
        "act_fn": (None, "relu", "gelu", "gelu_new", "silu", "gelu_fast", "solu_ln"),
        "normalization_type": (None,),
        "attention_dir": ("causal", "bidirectional"),
        "positional_embedding_type": ("standard",),
    }
)


@dataclass(frozen=True, slots=True)
class Model:
    """A model: its configuration, its tensors by name (read-only) and the SHA-256 of its file.

    Tensors keep their stored precision; bfloat16, which numpy lacks, is widened
    exactly to float32.
    """

    config: Config
    tensors: Mapping[str, Tensor]
    sha256: str

    def tensor(self, name: str) -> NDArray[np.float64]:
        """Return one tensor in float64 (exact: every stored format embeds in it)."""
        return self.tensors[name].astype(np.float64)

    def bias(self, name: str) -> NDArray[np.float64]:
        """Return one optional bias in float64, zeros where the file leaves it out."""
        if name in self.tensors:
            return self.tensor(name)
        return np.zeros(optional_shapes(self.config)[name], dtype=np.float64)


def required_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a model file must hold."""
    per_head = (config.n_heads, config.d_model, config.d_head)
    shapes: dict[str, tuple[int, ...]] = {
        "embed.W_E": (config.d_vocab, config.d_model),
        "pos_embed.W_pos": (config.n_ctx, config.d_model),
    }
    for layer in range(config.n_layers):
        for letter in "QKV":
            shapes[f"blocks.{layer}.attn.W_{letter}"] = per_head
        shapes[f"blocks.{layer}.attn.W_O"] = (config.n_heads, config.d_head, config.d_model)
    shapes["unembed.W_U"] = (config.d_model, config.d_vocab_out)
    return shapes


def optional_shapes(config: Config) -> dict[str, tuple[int, ...]]:
    """Return the shape of every bias that a model file may hold."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config.n_layers):
        for letter in "QKV":
            shapes[f"blocks.{layer}.attn.b_{letter}"] = (config.n_heads, config.d_head)
        shapes[f"blocks.{layer}.attn.b_O"] = (config.d_model,)
    shapes["unembed.b_U"] = (config.d_vocab_out,)
    return shapes


def config_from_dict(value: Mapping[str, object], origin: str) -> Config:
    """Return the configuration that a dictionary spells out.

    Requires: ``origin`` names the file, for the messages.
    Errors:   ``BadInput`` if a field is missing or is no positive integer where
              it must be; ``Unsupported`` if a field is unknown or has a value
              that this version does not handle.
    """
    known = {field.name for field in fields(Config)}
    for name in sorted(set(value) - known):
        raise Unsupported(f"{origin}: config field {_quoted(name)} is not supported")
    for name in sorted(known - set(value)):
        raise BadInput(f"{origin}: config field {name} is missing")
    for name in _SIZES:
        size = value[name]
        if type(size) is not int or size < 1:
            raise BadInput(f"{origin}: config field {name} must be a positive integer, not {_quoted(size)}")
    for name, choices in _CHOICES.items():
        found = value[name]
        if not any(type(found) is type(choice) and found == choice for choice in choices):
            supported = " or ".join(json.dumps(choice) for choice in choices)
            raise Unsupported(f"{origin}: config field {name} is {_quoted(found)}, supported is {supported}")
    return Config(**dict(value))  # type: ignore[arg-type]  # every field was checked above


def require_tensors(tensors: Mapping[str, Tensor], config: Config, origin: str) -> None:
    """Refuse tensors that do not fit the configuration.

    Ensures: every required tensor is there, nothing unknown is, the shapes are
             those of the configuration, and every entry is finite.
    Errors:  ``BadInput`` naming the tensor.
    """
    required = required_shapes(config)
    shapes = required | optional_shapes(config)
    for name in required:
        if name not in tensors:
            raise BadInput(f"{origin}: tensor {name} is missing")
    for name, tensor in tensors.items():
        if name not in shapes:
            raise BadInput(f"{origin}: tensor {_quoted(name)} is not part of this architecture")
        if tensor.shape != shapes[name]:
            found, expected = list(tensor.shape), list(shapes[name])
            raise BadInput(f"{origin}: tensor {name} has shape {found}, the config asks for {expected}")
        if not np.all(np.isfinite(tensor)):
            raise BadInput(f"{origin}: tensor {name} holds NaN or infinity")


def load_model(path: Path | str) -> Model:
    """Return the model stored in a file.

    Ensures: the configuration is supported, the tensors fit it and are finite,
             and ``sha256`` is the hash of exactly the bytes that were parsed.
    Errors:  ``BadInput`` or ``Unsupported``, one line naming file and field.
    """
    path = Path(path)
    data = read_bytes(path, MAXIMUM_FILE_BYTES)
    origin = str(path)
    tensors = decode_tensors(data, origin)
    metadata = read_metadata(data, origin)
    if metadata.get("format") != FORMAT:
        raise Unsupported(
            f"{origin}: metadata field format is {_quoted(metadata.get('format'))},"
            f" only {FORMAT} is supported (for other files, see certify import)"
        )
    config = _config_from_metadata(metadata, origin)
    require_tensors(tensors, config, origin)
    return Model(config, MappingProxyType(tensors), hashlib.sha256(data).hexdigest())


def decode_tensors(data: bytes, origin: str, ignored: tuple[str, ...] = ()) -> dict[str, Tensor]:
    """Return every tensor of a safetensors file as a read-only array.

    Requires: tensors whose names end with one of ``ignored`` are left out.
    Errors: ``BadInput`` if the bytes are no safetensors file; ``Unsupported``
            if a tensor is not F64, F32, F16 or BF16.
    """
    try:
        entries = safetensors.deserialize(data)  # type: ignore[no-untyped-call]
    except safetensors.SafetensorError as error:
        raise BadInput(f"{origin}: not a safetensors file: {error}") from error
    tensors: dict[str, Tensor] = {}
    for name, entry in entries:
        if ignored and name.endswith(ignored):
            continue
        stored, raw = entry["dtype"], entry["data"]
        array: Tensor
        if stored == "BF16":
            array = (np.frombuffer(raw, dtype="<u2").astype("<u4") << 16).view("<f4")
        elif stored in _STORED_DTYPES:
            array = np.frombuffer(raw, dtype=_STORED_DTYPES[stored])
        else:
            raise Unsupported(f"{origin}: tensor {_quoted(name)} has dtype {stored}, only F64, F32, F16 and BF16 are supported")
        array = array.reshape(entry["shape"]).copy()
        array.setflags(write=False)
        tensors[name] = array
    return tensors


def read_metadata(data: bytes, origin: str) -> dict[str, str]:
    """Return the metadata of a safetensors file, empty where it has none.

    Errors: ``BadInput`` if the header is damaged.
    """
    length = int.from_bytes(data[:8], "little")
    try:
        header = json.loads(data[8 : 8 + length].decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{origin}: not a safetensors file: the header is damaged") from error
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    return {str(key): str(value) for key, value in metadata.items()} if isinstance(metadata, dict) else {}


def encode_model(tensors: Mapping[str, Tensor], config: Config) -> bytes:
    """Return the bytes of a model file.

    Deterministic: tensors sorted by name, header keys sorted, the header padded
    with spaces to a multiple of eight bytes.  (The safetensors library writes
    metadata in an order that changes from run to run, so it is not used here.)
    """
    header: dict[str, object] = {"__metadata__": {"format": FORMAT, "config": config.canonical_json()}}
    chunks: list[bytes] = []
    offset = 0
    for name in sorted(tensors):
        array = tensors[name]
        chunk = np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("<")).tobytes()
        header[name] = {
            "dtype": _WRITTEN_DTYPES[array.dtype.name],
            "shape": list(array.shape),
            "data_offsets": [offset, offset + len(chunk)],
        }
        chunks.append(chunk)
        offset += len(chunk)
    text = json.dumps(header, sort_keys=True, separators=(",", ":")).encode("ascii")
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(chunks)


def save_model(path: Path | str, tensors: Mapping[str, Tensor], config: Config) -> None:
    """Write a model file that ``load_model`` accepts; nothing is written on failure.

    Errors: ``BadInput`` or ``Unsupported`` if the tensors do not fit the
            configuration or the file cannot be written.
    """
    path = Path(path)
    origin = str(path)
    config_from_dict(config.as_dict(), origin)
    for name, tensor in tensors.items():
        if tensor.dtype.name not in _WRITTEN_DTYPES:
            raise Unsupported(f"{origin}: tensor {_quoted(name)} has dtype {tensor.dtype.name}, which cannot be stored")
    require_tensors(tensors, config, origin)
    write_bytes(path, encode_model(tensors, config))


def _quoted(value: object) -> str:
    """Return a short printable form of an untrusted value."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def _config_from_metadata(metadata: Mapping[str, str], origin: str) -> Config:
    """Return the configuration held in the metadata, which must be canonical JSON."""
    if "config" not in metadata:
        raise BadInput(f"{origin}: metadata field config is missing")
    text = metadata["config"]
    try:
        value = json.loads(text)
        canonical = json.dumps(value, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{origin}: metadata field config is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInput(f"{origin}: metadata field config must be a JSON object")
    config = config_from_dict(value, origin)
    if canonical != text:
        raise BadInput(f"{origin}: metadata field config is not canonical JSON (sorted keys, no spaces)")
    return config
