"""Turn other people's files into model files, without rounding.

Read are TransformerLens ``HookedTransformer`` state dicts, as ``.safetensors``
or as ``.pt`` / ``.pth`` (which needs PyTorch), and ``.npz`` archives.  Names are
TransformerLens's (``blocks.0.attn.W_Q``) or, where no name has a dot, their last
part (``W_Q``).  The head axis of W_Q, W_K, W_V, W_O, b_Q, b_K and b_V may be left
out.  The buffers ``mask`` and ``IGNORE`` and biases that are all zero are dropped;
other biases are kept exactly.

The configuration comes from the shapes.  What shapes cannot tell is assumed:
causal attention, scores divided by sqrt(d_head), learned position embeddings
added to the token embeddings, no layer norm.  Refused by name: several layers
or heads, layer norm, MLPs, rotary or shared position embeddings, and every
tensor that the architecture does not have.
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
from certify.model import (
    FORMAT,
    MAXIMUM_FILE_BYTES,
    Config,
    Tensor,
    decode_tensors,
    load_model,
    optional_shapes,
    read_metadata,
    require_tensors,
    required_shapes,
)

_BUFFERS = (".mask", ".IGNORE")
_FULL_NAMES = {
    "W_E": "embed.W_E",
    "W_pos": "pos_embed.W_pos",
    **{f"{kind}_{letter}": f"blocks.0.attn.{kind}_{letter}" for kind in "Wb" for letter in "QKVO"},
    "W_U": "unembed.W_U",
    "b_U": "unembed.b_U",
}
_PER_HEAD = re.compile(r"blocks\.0\.attn\.(W_[QKVO]|b_[QKV])")
_REFUSED = (
    (re.compile(r"blocks\.(?!0\.)\d+\..*"), "more than one layer"),
    (re.compile(r"(.*\.)?ln(1|2|_final|_pre)?\..*"), "layer norm"),
    (re.compile(r"(.*\.)?mlp\..*"), "an MLP"),
    (re.compile(r"(.*\.)?rotary_(sin|cos)"), "rotary position embeddings"),
    (re.compile(r"(.*\.)?rel_pos_bias.*"), "relative position embeddings"),
    (re.compile(r".*\._W_[KV]"), "grouped key and value heads"),
)


def import_model(path: Path | str) -> tuple[dict[str, Tensor], Config]:
    """Return the tensors and the configuration that a foreign file holds.

    Ensures: ``save_model`` accepts them, and every kept entry is exactly the
             entry of the file.
    Errors:  ``BadInput`` if the file is damaged or the shapes do not fit
             together; ``Unsupported`` naming what this version does not handle.
    """
    path = Path(path)
    origin = str(path)
    data = read_bytes(path, MAXIMUM_FILE_BYTES)
    match path.suffix:
        case ".safetensors":
            if read_metadata(data, origin).get("format") == FORMAT:
                model = load_model(path)
                return dict(model.tensors), model.config
            tensors = decode_tensors(data, origin, ignored=_BUFFERS)
        case ".npz":
            tensors = _read_npz(data, origin)
        case ".pt" | ".pth":
            tensors = _read_pt(data, origin)
        case suffix:
            raise Unsupported(f"{origin}: files ending in {suffix!r} are not supported (.safetensors, .pt, .pth, .npz are)")
    return tensors_from_state_dict(tensors, origin)


def tensors_from_state_dict(state: Mapping[str, Tensor], origin: str) -> tuple[dict[str, Tensor], Config]:
    """Return tensors with the names and shapes of a model file, and the configuration they imply.

    Requires: floating-point arrays under the names of the module docstring.
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
    config = _config_from_shapes(tensors, origin)
    require_tensors(tensors, config, origin)
    zeros = [name for name in optional_shapes(config) if name in tensors and not np.any(tensors[name])]
    return {name: tensor for name, tensor in tensors.items() if name not in zeros}, config


def _config_from_shapes(tensors: Mapping[str, Tensor], origin: str) -> Config:
    """Return the configuration; that all shapes fit it is for the caller to check."""
    smallest = Config(d_vocab=1, d_vocab_out=1, n_ctx=1, d_model=1, d_head=1)
    for name, shape in required_shapes(smallest).items():
        if name not in tensors:
            raise BadInput(f"{origin}: tensor {name} is missing")
        found = tensors[name].shape
        if len(found) != len(shape) or 0 in found:
            raise BadInput(f"{origin}: tensor {name} has shape {list(found)}, expected {len(shape)} axes, none empty")
    n_heads, d_model, d_head = tensors["blocks.0.attn.W_Q"].shape
    if n_heads != 1:
        raise Unsupported(f"{origin}: tensor blocks.0.attn.W_Q has {n_heads} heads, only 1 is supported")
    return Config(
        d_vocab=tensors["embed.W_E"].shape[0],
        d_vocab_out=tensors["unembed.W_U"].shape[1],
        n_ctx=tensors["pos_embed.W_pos"].shape[0],
        d_model=d_model,
        d_head=d_head,
    )


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


def _read_pt(data: bytes, origin: str) -> dict[str, Tensor]:
    """Return the tensors of a PyTorch file, loaded with ``weights_only=True`` so that no code runs."""
    try:
        import torch  # noqa: PLC0415  (optional, and slow to import)
    except ImportError as error:
        raise Unsupported(f"{origin}: reading it needs PyTorch: pip install torch (the extra certify[train])") from error
    try:
        value = torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except (OSError, RuntimeError, ValueError, EOFError, KeyError, pickle.UnpicklingError) as error:
        first = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise BadInput(f"{origin}: not a readable PyTorch state dict: {first}") from error
    for key in ("state_dict", "model", "model_state_dict"):
        if isinstance(value, dict) and isinstance(value.get(key), dict):
            value = value[key]
    if not isinstance(value, dict):
        raise BadInput(f"{origin}: holds {type(value).__name__}, not a state dict")
    return {
        str(name): _from_torch(torch, tensor, str(name), origin)
        for name, tensor in value.items()
        if not str(name).endswith(_BUFFERS)
    }


def _from_torch(torch: Any, tensor: object, name: str, origin: str) -> Tensor:
    """Return one PyTorch tensor as an array, bfloat16 widened exactly to float32."""
    if not isinstance(tensor, torch.Tensor):
        raise BadInput(f"{origin}: entry {json.dumps(name)} is {type(tensor).__name__}, not a tensor")
    array: Any = tensor
    if array.dtype == torch.bfloat16:
        array = array.to(torch.float32)
    return _floating(array.detach().cpu().contiguous().numpy(), name, origin)


def _floating(array: Any, name: str, origin: str) -> Tensor:
    """Return an array of float64, float32 or float16 in native byte order; refuse any other."""
    if not isinstance(array, np.ndarray) or array.dtype.name not in {"float64", "float32", "float16"}:
        found = array.dtype.name if isinstance(array, np.ndarray) else type(array).__name__
        raise Unsupported(
            f"{origin}: tensor {json.dumps(name)} has dtype {found},"
            " only float64, float32, float16 and (in PyTorch files) bfloat16 are supported"
        )
    return np.ascontiguousarray(array, dtype=array.dtype.newbyteorder("="))
