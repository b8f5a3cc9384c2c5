"""Our tensors as other people lay them out."""

import re
from collections.abc import Callable, Mapping

import numpy as np

from certify.model.tensors import Tensor

State = dict[str, Tensor]


def older(tensors: Mapping[str, Tensor]) -> State:
    """Return the older layout: the same names, matrices transposed, heads joined in W_O."""
    state: State = {}
    for name, tensor in tensors.items():
        kind = name.rpartition(".")[2]
        if kind == "W_O":
            state[name] = _joined(tensor).T
        elif kind in ("W_Q", "W_K", "W_V"):
            state[name] = np.stack([head.T for head in tensor])
        elif kind in ("W_E", "W_in", "W_out"):
            state[name] = tensor.T
        else:
            state[name] = tensor
    return state


def bridge(tensors: Mapping[str, Tensor]) -> State:
    """Return the state dict of a bridge of TransformerLens 4: modules, attention fused."""
    state: State = {}
    for name, tensor in tensors.items():
        renamed, turned = _module(name, tensor)
        if re.search(r"attn\.W_[QKV]$", name):
            turned = np.concatenate([head.T for head in tensor])
        elif re.search(r"attn\.b_[QKV]$", name):
            turned = tensor.ravel()
        state[re.sub(r"attn\.W_([QKVO])", lambda m: f"attn.{m[1].lower()}", renamed)] = turned
    return state


def heads(tensors: Mapping[str, Tensor]) -> State:
    """Return modules of PyTorch, one for each head."""
    state: State = {}
    for name, tensor in tensors.items():
        renamed, turned = _module(name, tensor)
        renamed = renamed.replace("blocks.", "layers.").replace("embed.weight", "tok_embed.weight")
        renamed = renamed.replace("pos_tok_", "pos_").replace("untok_", "un")
        matched = re.fullmatch(r"(layers\.[0-9]+)\.attn\.(W_[QKV])\.(weight|bias)", renamed)
        if matched is None:
            state[renamed.replace("attn.W_O", "W_O")] = turned
            continue
        for number, head in enumerate(tensor):
            place = f"{matched[1]}.heads.{number}.{matched[2]}.{matched[3]}"
            state[place] = head.T
    return state


LAYOUTS: dict[str, Callable[[Mapping[str, Tensor]], State]] = {
    "transformer-lens": dict,
    "older": older,
    "transformer-lens-4": bridge,
    "heads": heads,
}


def _joined(W_O: Tensor) -> Tensor:
    """Return W_O with its heads below each other."""
    return W_O.reshape(-1, W_O.shape[-1])


def _module(name: str, tensor: Tensor) -> tuple[str, Tensor]:
    """Return the name and the value of a module of PyTorch; a linear one has outputs first."""
    owner, _, part = name.rpartition(".")
    if part in ("W_E", "W_pos"):
        return f"{owner}.weight", tensor
    if owner == "unembed":
        return ("unembed.weight", tensor.T) if part == "W_U" else ("unembed.bias", tensor)
    if part in ("w", "b"):
        return f"{owner}.{'weight' if part == 'w' else 'bias'}", tensor
    kind, _, which = part.partition("_")
    ending = "weight" if kind == "W" else "bias"
    if owner.endswith("mlp"):
        return f"{owner}.{which}.{ending}", tensor.T
    turned = _joined(tensor).T if part == "W_O" else tensor
    return f"{owner}.W_{which}.{ending}", turned
