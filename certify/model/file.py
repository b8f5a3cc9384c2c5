"""Model files: a frozen configuration, named tensors and the hash of the bytes they came from.

A model file is a safetensors file whose metadata holds ``format`` =
``certify.model/1`` and ``config``, canonical JSON with TransformerLens's field
names.  Tensor names and shapes, for each layer ``L``:

==============================================  ============================
``embed.W_E``                                   ``[d_vocab, d_model]``
``pos_embed.W_pos``                             ``[n_ctx, d_model]``
``blocks.L.attn.W_Q``, ``W_K``, ``W_V``         ``[n_heads, d_model, d_head]``
``blocks.L.attn.W_O``                           ``[n_heads, d_head, d_model]``
``blocks.L.attn.b_Q``, ``b_K``, ``b_V``         ``[n_heads, d_head]``, optional
``blocks.L.attn.b_O``                           ``[d_model]``, optional
with an MLP
``blocks.L.mlp.W_in``                           ``[d_model, d_mlp]``
``blocks.L.mlp.b_in``                           ``[d_mlp]``, optional
``blocks.L.mlp.W_out``                          ``[d_mlp, d_model]``
``blocks.L.mlp.b_out``                          ``[d_model]``, optional
with normalization ``LN`` (``LNPre`` has none)
``blocks.L.ln1.w``, ``ln1.b``                   ``[d_model]``
``blocks.L.ln2.w``, ``ln2.b``, with an MLP      ``[d_model]``
``ln_final.w``, ``ln_final.b``                  ``[d_model]``
readouts ``last`` and ``all``
``unembed.W_U``                                 ``[d_model, d_vocab_out]``
``unembed.b_U``                                 ``[d_vocab_out]``, optional
readouts ``sum-pool-mlp`` and ``mean-pool-mlp``
``head.W_1``                                    ``[d_model, d_hidden]``
``head.b_1``                                    ``[d_hidden]``, optional
``head.W_2``                                    ``[d_hidden, d_vocab_out]``
``head.b_2``                                    ``[d_vocab_out]``, optional
==============================================  ============================

An absent bias is zero; ``d_hidden`` is read from ``head.W_1``.  What the tensors
mean is TransformerLens's definition, spelled out in ``certify.forward``.  The
reader is the prover's: it is convenient, and nothing rests on it, since the
checker reads the same bytes with its own code.  Not done here: other
architectures, which are declined by name.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import numpy as np
import safetensors
from numpy.typing import NDArray

from certify.canonical import canonical_text
from certify.errors import BadInput, Unsupported
from certify.files import read_bytes, write_bytes
from certify.model.config import (
    Config,
    config_from_dict,
    quoted,
)
from certify.model.tensors import (
    Tensor,
    hidden_size,
    optional_shapes,
    require_tensors,
)

FORMAT = "certify.model/1"
MAXIMUM_FILE_BYTES = 256 << 20

_STORED_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2"}
_WRITTEN_DTYPES = {"float64": "F64", "float32": "F32", "float16": "F16"}


@dataclass(frozen=True, slots=True)
class Model:
    """A model: its configuration, its tensors by name (read-only) and the SHA-256 of its file.

    Tensors keep their stored precision; bfloat16, which numpy lacks, is widened
    exactly to float32.  ``file`` is where it was read from, None if it never was in a file.
    """

    config: Config
    tensors: Mapping[str, Tensor]
    sha256: str
    file: Path | None = None

    def tensor(self, name: str) -> NDArray[np.float64]:
        """Return one tensor in float64 (exact: every stored format embeds in it)."""
        return self.tensors[name].astype(np.float64)

    def bias(self, name: str) -> NDArray[np.float64]:
        """Return one optional bias in float64, zeros where the file leaves it out."""
        if name in self.tensors:
            return self.tensor(name)
        return np.zeros(
            optional_shapes(self.config, hidden_size(self.tensors))[name], dtype=np.float64
        )


def file_of(model: Model) -> Path:
    """Return the file that a model was read from, which certificates about it bind.

    Errors: ``BadInput`` for a model that was never in a file.
    """
    if model.file is None:
        raise BadInput("a certificate binds a file: save the model and load it again")
    return model.file


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
            f"{origin}: metadata field format is {quoted(metadata.get('format'))},"
            f" only {FORMAT} is supported (for other files, see certify import)"
        )
    config = _config_from_metadata(metadata, origin)
    require_tensors(tensors, config, origin)
    return Model(config, MappingProxyType(tensors), hashlib.sha256(data).hexdigest(), path)


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
            raise Unsupported(
                f"{origin}: tensor {quoted(name)} has dtype {stored}, only F64, F32, F16 and BF16"
                " are supported"
            )
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
    return (
        {str(key): str(value) for key, value in metadata.items()}
        if isinstance(metadata, dict)
        else {}
    )


def encode_model(tensors: Mapping[str, Tensor], config: Config) -> bytes:
    """Return the bytes of a model file.

    Deterministic: tensors sorted by name, header keys sorted, the header padded
    with spaces to a multiple of eight bytes.  (The safetensors library writes
    metadata in an order that changes from run to run, so it is not used here.)
    """
    header: dict[str, object] = {
        "__metadata__": {"format": FORMAT, "config": config.canonical_json()}
    }
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
    text = canonical_text(header).encode("ascii")
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
            raise Unsupported(
                f"{origin}: tensor {quoted(name)} has dtype {tensor.dtype.name}, which cannot be"
                " stored"
            )
    require_tensors(tensors, config, origin)
    write_bytes(path, encode_model(tensors, config))


def _config_from_metadata(metadata: Mapping[str, str], origin: str) -> Config:
    """Return the configuration held in the metadata, which must be canonical JSON."""
    if "config" not in metadata:
        raise BadInput(f"{origin}: metadata field config is missing")
    text = metadata["config"]
    try:
        value = json.loads(text)
        spelled = canonical_text(value)
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{origin}: metadata field config is not JSON: {error}") from error
    if not isinstance(value, dict):
        raise BadInput(f"{origin}: metadata field config must be a JSON object")
    config = config_from_dict(value, origin)
    if spelled != text:
        raise BadInput(
            f"{origin}: metadata field config is not canonical JSON (sorted keys, no spaces)"
        )
    return config
