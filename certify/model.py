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
import math
import re
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
    """The architecture, under TransformerLens's names; the attention scale is sqrt(d_head).

    The last four fields are absent from a file where they are None.  ``eps`` and
    ``attention_mix`` are hexadecimal floats, as ``float.hex`` spells them.
    ``eps`` is added to the variance before the root.  ``attention_mix`` is the c
    of a pattern c * softmax + (1 - c) on every key; absent means 1.  ``readout``
    is where the answer is read; absent means ``last``.
    """

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
    d_mlp: int | None = None
    eps: str | None = None
    attention_mix: str | None = None
    readout: str | None = None

    def as_dict(self) -> dict[str, int | str | bool | None]:
        """Return the fields as a plain dictionary, without the optional ones that are absent."""
        values = {field.name: getattr(self, field.name) for field in fields(self)}
        return {
            name: value
            for name, value in values.items()
            if value is not None or name not in _OPTIONAL
        }

    def canonical_json(self) -> str:
        """Return the fields as JSON with sorted keys and no spaces."""
        return json.dumps(self.as_dict(), sort_keys=True, separators=(",", ":"))

    @property
    def mix(self) -> float:
        """Return the share c of softmax in the attention pattern."""
        return 1.0 if self.attention_mix is None else float.fromhex(self.attention_mix)

    @property
    def variance_offset(self) -> float:
        """Return what layer norm adds to the variance, 0 without layer norm."""
        return 0.0 if self.eps is None else float.fromhex(self.eps)

    @property
    def read(self) -> str:
        """Return the readout, ``last`` where the file leaves it out."""
        return self.readout or "last"

    @property
    def pooled(self) -> bool:
        """Return whether a head reads the sum or the mean over the positions."""
        return self.read in POOLED_READOUTS


MAXIMUM_HEADS = MAXIMUM_LAYERS = 16
POOLED_READOUTS = ("sum-pool-mlp", "mean-pool-mlp")
MLP_ACTIVATIONS = ("relu", "gelu_new", "silu")

_OPTIONAL = ("d_mlp", "eps", "attention_mix", "readout")
_SIZES = ("d_vocab", "d_vocab_out", "n_ctx", "d_model", "d_head", "n_heads", "n_layers")
_MOST = MappingProxyType({"n_heads": MAXIMUM_HEADS, "n_layers": MAXIMUM_LAYERS})
_CHOICES: Mapping[str, tuple[int | str | None, ...]] = MappingProxyType(
    {
        "attn_only": (True, False),
        "normalization_type": (None, "LN", "LNPre"),
        "attention_dir": ("causal", "bidirectional"),
        "positional_embedding_type": ("standard",),
    }
)
# Without an MLP the activation function has no effect.
_UNUSED_ACTIVATIONS = (None, "relu", "gelu", "gelu_new", "silu", "gelu_fast", "solu_ln")
_READOUTS = ("last", "all", *POOLED_READOUTS)
_HEX_FLOAT = re.compile(r"0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}")


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
        return np.zeros(
            optional_shapes(self.config, hidden_size(self.tensors))[name], dtype=np.float64
        )


def hidden_size(tensors: Mapping[str, Tensor]) -> int:
    """Return the width of the hidden layer of the head, 1 where there is none to read it from."""
    weights = tensors.get("head.W_1")
    return int(weights.shape[1]) if weights is not None and weights.ndim == 2 else 1


def required_shapes(config: Config, d_hidden: int = 1) -> dict[str, tuple[int, ...]]:
    """Return the shape of every tensor that a model file must hold.

    Requires: ``d_hidden`` is the width of the head's hidden layer, where there is a head.
    """
    per_head = (config.n_heads, config.d_model, config.d_head)
    shapes: dict[str, tuple[int, ...]] = {
        "embed.W_E": (config.d_vocab, config.d_model),
        "pos_embed.W_pos": (config.n_ctx, config.d_model),
    }
    norms: list[str] = []
    for layer in range(config.n_layers):
        for letter in "QKV":
            shapes[f"blocks.{layer}.attn.W_{letter}"] = per_head
        shapes[f"blocks.{layer}.attn.W_O"] = (config.n_heads, config.d_head, config.d_model)
        norms.append(f"blocks.{layer}.ln1")
        if config.d_mlp is not None:
            shapes[f"blocks.{layer}.mlp.W_in"] = (config.d_model, config.d_mlp)
            shapes[f"blocks.{layer}.mlp.W_out"] = (config.d_mlp, config.d_model)
            norms.append(f"blocks.{layer}.ln2")
    if config.normalization_type == "LN":
        shapes |= {
            f"{norm}.{part}": (config.d_model,) for norm in (*norms, "ln_final") for part in "wb"
        }
    if config.pooled:
        shapes["head.W_1"] = (config.d_model, d_hidden)
        shapes["head.W_2"] = (d_hidden, config.d_vocab_out)
    else:
        shapes["unembed.W_U"] = (config.d_model, config.d_vocab_out)
    return shapes


def optional_shapes(config: Config, d_hidden: int = 1) -> dict[str, tuple[int, ...]]:
    """Return the shape of every bias that a model file may hold."""
    shapes: dict[str, tuple[int, ...]] = {}
    for layer in range(config.n_layers):
        for letter in "QKV":
            shapes[f"blocks.{layer}.attn.b_{letter}"] = (config.n_heads, config.d_head)
        shapes[f"blocks.{layer}.attn.b_O"] = (config.d_model,)
        if config.d_mlp is not None:
            shapes[f"blocks.{layer}.mlp.b_in"] = (config.d_mlp,)
            shapes[f"blocks.{layer}.mlp.b_out"] = (config.d_model,)
    if config.pooled:
        shapes["head.b_1"] = (d_hidden,)
        shapes["head.b_2"] = (config.d_vocab_out,)
    else:
        shapes["unembed.b_U"] = (config.d_vocab_out,)
    return shapes


def config_from_dict(value: Mapping[str, object], origin: str) -> Config:
    """Return the configuration that a dictionary spells out.

    Requires: ``origin`` names the file, for the messages.
    Errors:   ``BadInput`` if a field is missing, stands where it has no meaning
              or is no positive integer where it must be; ``Unsupported`` if a
              field is unknown or has a value that this version does not handle.
    """
    known = {field.name for field in fields(Config)}
    for name in sorted(set(value) - known):
        raise Unsupported(f"{origin}: config field {_quoted(name)} is not supported")
    for name in sorted(known - set(value) - set(_OPTIONAL)):
        raise BadInput(f"{origin}: config field {name} is missing")
    for name in _SIZES:
        _require_size(value[name], name, origin)
    for name, choices in _CHOICES.items():
        _require_choice(value[name], name, choices, origin)
    activations = _UNUSED_ACTIVATIONS if value["attn_only"] is True else MLP_ACTIVATIONS
    _require_choice(value["act_fn"], "act_fn", activations, origin)
    _require_present(
        value, "d_mlp", "attn_only is false", origin, wanted=value["attn_only"] is False
    )
    _require_present(
        value,
        "eps",
        "normalization_type is not null",
        origin,
        wanted=value["normalization_type"] is not None,
    )
    if "d_mlp" in value:
        _require_size(value["d_mlp"], "d_mlp", origin)
    if "eps" in value:
        _require_hex(value["eps"], "eps", origin, most=math.inf)
    if "attention_mix" in value:
        _require_hex(value["attention_mix"], "attention_mix", origin, most=1.0)
    if "readout" in value:
        _require_choice(value["readout"], "readout", _READOUTS, origin)
    return Config(**dict(value))  # type: ignore[arg-type]  # every field was checked above


def require_one_layer(config: Config, origin: str) -> None:
    """Refuse an architecture that the path decomposition of Max-of-K does not cover.

    Requires: ``origin`` names what needs it, for the message.
    Errors:   ``Unsupported``, naming the first field that does not fit.
    Causal and bidirectional attention are the same here: at the last position of a single layer,
    they see the same keys.
    """
    wanted: dict[str, int | str | bool | None] = {
        "n_layers": 1,
        "n_heads": 1,
        "attn_only": True,
        "normalization_type": None,
        "readout": "last",
        "attention_mix": (1.0).hex(),
    }
    absent = {"readout": "last", "attention_mix": (1.0).hex()}
    for name, only in wanted.items():
        found = getattr(config, name)
        found = absent[name] if found is None and name in absent else found
        if found != only:
            raise Unsupported(
                f"{origin}: config field {name} is {_quoted(found)}, supported is {_quoted(only)}"
                " (one layer, one head, attention only)"
            )


def require_tensors(tensors: Mapping[str, Tensor], config: Config, origin: str) -> None:
    """Refuse tensors that do not fit the configuration.

    Ensures: every required tensor is there, nothing unknown is, the shapes are
             those of the configuration, and every entry is finite.
    Errors:  ``BadInput`` naming the tensor.
    """
    d_hidden = hidden_size(tensors)
    required = required_shapes(config, d_hidden)
    shapes = required | optional_shapes(config, d_hidden)
    for name in required:
        if name not in tensors:
            raise BadInput(f"{origin}: tensor {name} is missing")
    for name, tensor in sorted(tensors.items()):
        if name not in shapes:
            raise BadInput(f"{origin}: tensor {_quoted(name)} is not part of this architecture")
        if tensor.shape != shapes[name]:
            found, expected = list(tensor.shape), list(shapes[name])
            raise BadInput(
                f"{origin}: tensor {name} has shape {found}, the config asks for {expected}"
            )
        if tensor.size == 0:
            raise BadInput(
                f"{origin}: tensor {name} has shape {list(tensor.shape)}, which is empty"
            )
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
            raise Unsupported(
                f"{origin}: tensor {_quoted(name)} has dtype {stored}, only F64, F32, F16 and BF16 are supported"
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
            raise Unsupported(
                f"{origin}: tensor {_quoted(name)} has dtype {tensor.dtype.name}, which cannot be stored"
            )
    require_tensors(tensors, config, origin)
    write_bytes(path, encode_model(tensors, config))


def _quoted(value: object) -> str:
    """Return a short printable form of an untrusted value."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def _require_size(size: object, name: str, origin: str) -> None:
    """Refuse a size that is no positive integer, or past its limit."""
    if type(size) is not int or size < 1:
        raise BadInput(
            f"{origin}: config field {name} must be a positive integer, not {_quoted(size)}"
        )
    if name in _MOST and size > _MOST[name]:
        raise Unsupported(
            f"{origin}: config field {name} is {size}, supported is at most {_MOST[name]}"
        )


def _require_choice(
    found: object, name: str, choices: tuple[int | str | None, ...], origin: str
) -> None:
    """Refuse a value that is none of the choices; ``1`` is not ``true``."""
    if not any(type(found) is type(choice) and found == choice for choice in choices):
        supported = " or ".join(json.dumps(choice) for choice in choices)
        raise Unsupported(
            f"{origin}: config field {name} is {_quoted(found)}, supported is {supported}"
        )


def _require_present(
    value: Mapping[str, object], name: str, condition: str, origin: str, *, wanted: bool
) -> None:
    """Refuse an optional field that is missing where it is needed, or present where it means
    nothing.
    """
    if wanted and name not in value:
        raise BadInput(f"{origin}: config field {name} is missing, although {condition}")
    if not wanted and name in value:
        raise BadInput(f"{origin}: config field {name} is only allowed where {condition}")


def _require_hex(found: object, name: str, origin: str, *, most: float) -> None:
    """Refuse a value that is no finite float from 0 to ``most`` in the spelling of ``float.hex``."""
    if not isinstance(found, str) or _HEX_FLOAT.fullmatch(found) is None:
        raise BadInput(
            f"{origin}: config field {name} must be a hexadecimal float such as {(0.5).hex()}, not {_quoted(found)}"
        )
    try:
        number = float.fromhex(found)
    except OverflowError:
        number = math.inf
    if not 0.0 <= number <= most or number == math.inf:
        raise Unsupported(f"{origin}: config field {name} is {found}, supported is 0 to {most:g}")
    if number.hex() != found:
        raise BadInput(f"{origin}: config field {name} must be spelled {number.hex()}, not {found}")


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
        raise BadInput(
            f"{origin}: metadata field config is not canonical JSON (sorted keys, no spaces)"
        )
    return config
