"""Turn other people's files into model files, without rounding.

Read are TransformerLens ``HookedTransformer`` state dicts, as ``.safetensors``
or as ``.pt`` / ``.pth`` (which needs PyTorch), ``.npz`` archives, and folders
that hold ``model.safetensors`` and ``config.json``.  Names are TransformerLens's
(``blocks.0.attn.W_Q``) or, for one layer and where no name has a dot, their last
part (``W_Q``).  The axis of a single head may be left out.  The buffers ``mask``
and ``IGNORE`` and biases that are all zero are dropped; other biases are kept
exactly.

The configuration, with the fields of ``HookedTransformerConfig`` or our own, is
looked for in this order: a JSON file named by the caller; ``config.json`` of a
folder; the file itself (metadata ``config`` of safetensors, the entry ``config``
or ``cfg`` of a PyTorch file).  Without one it comes from the shapes, and what
they cannot tell is assumed: causal attention, no layer norm, no MLP; models with
either need a configuration.  The scores are always divided by sqrt(d_head), and
learned position embeddings are added to the token embeddings.

The weights are taken as they are: none of TransformerLens's foldings ``fold_ln``,
``center_writing_weights``, ``center_unembed`` and ``fold_value_biases`` is
applied, since a certificate binds the bytes that it is about.  To certify a
folded model, save the state dict of the folded model.
"""

from __future__ import annotations

import io
import json
import pickle
import re
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from certify.errors import BadInput, Unsupported
from certify.files import read_bytes
from certify.model.config import Config, config_from_dict
from certify.model.file import FORMAT, MAXIMUM_FILE_BYTES, decode_tensors, load_model, read_metadata
from certify.model.lens_config import translated_config
from certify.model.tensors import (
    Tensor,
    hidden_size,
    optional_shapes,
    require_tensors,
    required_shapes,
)

MAXIMUM_CONFIG_BYTES = 1 << 20

_BUFFERS = (".mask", ".IGNORE")
_CONFIG_KEYS = ("config", "cfg")
_FULL_NAMES = {
    "W_E": "embed.W_E",
    "W_pos": "pos_embed.W_pos",
    **{f"{kind}_{letter}": f"blocks.0.attn.{kind}_{letter}" for kind in "Wb" for letter in "QKVO"},
    **{f"{kind}_{end}": f"blocks.0.mlp.{kind}_{end}" for kind in "Wb" for end in ("in", "out")},
    "W_U": "unembed.W_U",
    "b_U": "unembed.b_U",
    **{f"{kind}_{layer}": f"head.{kind}_{layer}" for kind in "Wb" for layer in "12"},
}
_PER_HEAD = re.compile(r"blocks\.[0-9]+\.attn\.(W_[QKVO]|b_[QKV])")
_LAYER = re.compile(r"blocks\.(0|[1-9][0-9]{0,3})\..*")
_REFUSED = (
    (re.compile(r"(.*\.)?rotary_(sin|cos)"), "rotary position embeddings"),
    (re.compile(r"(.*\.)?rel_pos_bias.*"), "relative position embeddings"),
    (re.compile(r".*\._W_[KV]"), "grouped key and value heads"),
    (re.compile(r".*\.mlp\.W_gate"), "a gated MLP"),
    (re.compile(r".*\.mlp\.experts\..*"), "a mixture of experts"),
    (re.compile(r".*\.(ln1|ln2)_post\..*"), "layer norm after a layer"),
    (re.compile(r".*\.attn\.[qk]_norm\..*"), "normalised queries and keys"),
)
_NEEDS_CONFIG = (
    (re.compile(r"(.*\.)?ln(1|2|_final|_pre)?\..*"), "layer norm"),
    (re.compile(r"(.*\.)?mlp\..*"), "an MLP"),
    (re.compile(r"head\..*"), "a pooled readout"),
)

State = tuple[dict[str, Tensor], object | None]


def import_model(
    path: Path | str, config_file: Path | str | None = None
) -> tuple[dict[str, Tensor], Config]:
    """Return the tensors and the configuration that a foreign file or folder holds.

    Requires: ``config_file``, if given, is a JSON file with the configuration.
    Ensures:  ``save_model`` accepts them, and every kept entry is exactly the
              entry of the file.
    Errors:   ``BadInput`` if a file is damaged or the shapes do not fit
              together; ``Unsupported`` naming what this version does not handle.
    """
    path = Path(path)
    given = None if config_file is None else _read_config(Path(config_file))
    origin = str(path)
    if path.is_dir():
        path, config_file = path / "model.safetensors", config_file or path / "config.json"
        given = _read_config(Path(config_file)) if given is None else given
    data = read_bytes(path, MAXIMUM_FILE_BYTES)
    match path.suffix:
        case ".safetensors":
            metadata = read_metadata(data, origin)
            if metadata.get("format") == FORMAT and given is None:
                model = load_model(path)
                return dict(model.tensors), model.config
            tensors, stored = (
                decode_tensors(data, origin, ignored=_BUFFERS),
                _stored_config(metadata, origin),
            )
        case ".npz":
            tensors, stored = _read_npz(data, origin), None
        case ".pt" | ".pth":
            tensors, stored = _read_pt(data, origin)
        case suffix:
            raise Unsupported(
                f"{origin}: files ending in {suffix!r} are not supported (.safetensors, .pt, .pth,"
                " .npz are)"
            )
    if given is not None:
        return tensors_from_state_dict(tensors, origin, translated_config(given, str(config_file)))
    return tensors_from_state_dict(
        tensors, origin, None if stored is None else translated_config(stored, origin)
    )


def tensors_from_state_dict(
    state: Mapping[str, Tensor], origin: str, config: Config | None = None
) -> tuple[dict[str, Tensor], Config]:
    """Return tensors with the names and shapes of a model file, and their configuration.

    Requires: floating-point arrays under the names of the module docstring;
              ``config`` is None where the shapes are to tell.
    Errors:   as ``import_model``.
    """
    tensors: dict[str, Tensor] = {}
    short = not any("." in name for name in state)
    for given, tensor in state.items():
        name = _FULL_NAMES.get(given, given) if short else given
        if name.endswith(_BUFFERS):
            continue
        for pattern, what in _REFUSED:
            if pattern.fullmatch(name):
                raise Unsupported(f"{origin}: tensor {name} means {what}, which is not supported")
        matched = _PER_HEAD.fullmatch(name)
        headless = matched is not None and tensor.ndim == (2 if matched[1].startswith("W") else 1)
        tensors[name] = tensor[None] if headless else tensor
    config = config or _config_from_shapes(tensors, origin)
    require_tensors(tensors, config, origin)
    zeros = [
        name
        for name in optional_shapes(config, hidden_size(tensors))
        if name in tensors and not np.any(tensors[name])
    ]
    return {name: tensor for name, tensor in tensors.items() if name not in zeros}, config


def _config_from_shapes(tensors: Mapping[str, Tensor], origin: str) -> Config:
    """Return the configuration of an attention-only model; that all shapes fit it is for the caller
    to check.
    """
    for name in tensors:
        for pattern, what in _NEEDS_CONFIG:
            if pattern.fullmatch(name):
                raise Unsupported(
                    f"{origin}: tensor {name} means {what}, which needs a configuration (--config"
                    " FILE, or stored in the file)"
                )
    smallest = Config(d_vocab=1, d_vocab_out=1, n_ctx=1, d_model=1, d_head=1)
    for name, shape in required_shapes(smallest).items():
        if name not in tensors:
            raise BadInput(f"{origin}: tensor {name} is missing")
        found = tensors[name].shape
        if len(found) != len(shape) or 0 in found:
            raise BadInput(
                f"{origin}: tensor {name} has shape {list(found)}, expected {len(shape)} axes,"
                " none empty"
            )
    n_heads, d_model, d_head = tensors["blocks.0.attn.W_Q"].shape
    layers = [int(matched[1]) for name in tensors if (matched := _LAYER.fullmatch(name))]
    config = Config(
        d_vocab=tensors["embed.W_E"].shape[0],
        d_vocab_out=tensors["unembed.W_U"].shape[1],
        n_ctx=tensors["pos_embed.W_pos"].shape[0],
        d_model=d_model,
        d_head=d_head,
        n_heads=n_heads,
        n_layers=1 + max(layers),
    )
    return config_from_dict(config.as_dict(), origin)


def _read_config(path: Path) -> object:
    """Return the JSON value of a configuration file.

    Errors: ``BadInput`` if it cannot be read or is not JSON.
    """
    data = read_bytes(path, MAXIMUM_CONFIG_BYTES)
    try:
        return json.loads(data.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON: {error}") from error


def _stored_config(metadata: Mapping[str, str], origin: str) -> object | None:
    """Return the configuration that the metadata of a safetensors file holds, if it does."""
    texts = [metadata[key] for key in _CONFIG_KEYS if key in metadata]
    try:
        return json.loads(texts[0]) if texts else None
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{origin}: metadata field config is not JSON: {error}") from error


def _read_npz(data: bytes, origin: str) -> dict[str, Tensor]:
    """Return the arrays of a numpy archive, never unpickling anything."""
    tensors: dict[str, Tensor] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            size = sum(entry.file_size for entry in archive.infolist())
        if size > MAXIMUM_FILE_BYTES:
            raise BadInput(f"{origin}: {size} bytes unpacked, the limit is {MAXIMUM_FILE_BYTES}")
        with np.load(io.BytesIO(data), allow_pickle=False) as archive:
            for name in archive.files:
                if not name.endswith((*_BUFFERS, "mask", "IGNORE")):
                    tensors[name] = _floating(archive[name], name, origin)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, NotImplementedError) as error:
        raise BadInput(f"{origin}: not a readable .npz archive: {error}") from error
    return tensors


def _read_pt(data: bytes, origin: str) -> State:
    """Return the tensors and the configuration, if any, of a PyTorch file.

    Loaded with ``weights_only=True``, so that no code runs.
    """
    try:
        import torch  # noqa: PLC0415  (optional, and slow to import)
    except ImportError as error:
        raise Unsupported(
            f"{origin}: reading it needs PyTorch: pip install torch (the extra certify[train])"
        ) from error
    try:
        value = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(f"{origin}: not a readable PyTorch state dict: {first}") from error
    stored: object | None = None
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(value, dict):
            stored = next(
                (value[name] for name in _CONFIG_KEYS if isinstance(value.get(name), dict)), stored
            )
            value = value[key] if isinstance(value.get(key), dict) else value
    if not isinstance(value, dict):
        raise BadInput(f"{origin}: holds {type(value).__name__}, not a state dict")
    tensors = {
        str(name): _from_torch(torch, tensor, str(name), origin)
        for name, tensor in value.items()
        if not str(name).endswith(_BUFFERS) and (stored is None or tensor is not stored)
    }
    return tensors, stored


def _from_torch(torch: Any, tensor: object, name: str, origin: str) -> Tensor:
    """Return one PyTorch tensor as an array, bfloat16 widened exactly to float32."""
    if not isinstance(tensor, torch.Tensor):
        raise BadInput(
            f"{origin}: entry {json.dumps(name)} is {type(tensor).__name__}, not a tensor"
        )
    array: Any = tensor
    if array.dtype == torch.bfloat16:
        array = array.to(torch.float32)
    return _floating(array.detach().cpu().contiguous().numpy(), name, origin)


def _floating(array: Any, name: str, origin: str) -> Tensor:
    """Return an array of float64, float32 or float16 in native byte order; refuse any other."""
    if not isinstance(array, np.ndarray) or array.dtype.name not in {
        "float64",
        "float32",
        "float16",
    }:
        found = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        raise Unsupported(
            f"{origin}: tensor {json.dumps(name)} has dtype {found},"
            " only float64, float32, float16 and (in PyTorch files) bfloat16 are supported"
        )
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
