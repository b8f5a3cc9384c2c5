"""The architecture of a model: a frozen configuration under TransformerLens's names, decoded once.

Not done here: other architectures, which are declined by name.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, fields
from types import MappingProxyType

from certify.canonical import canonical_text
from certify.errors import BadInput, Unsupported


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
        return canonical_text(self.as_dict())

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
_READOUTS = ("last", *POOLED_READOUTS)
_HEX_FLOAT = re.compile(r"0x[01]\.[0-9a-f]{1,13}p[+-][0-9]{1,4}")


def config_from_dict(value: Mapping[str, object], origin: str) -> Config:
    """Return the configuration that a dictionary spells out.

    Requires: ``origin`` names the file, for the messages.
    Errors:   ``BadInput`` if a field is missing, stands where it has no meaning
              or is no positive integer where it must be; ``Unsupported`` if a
              field is unknown or has a value that this version does not handle.
    """
    known = {field.name for field in fields(Config)}
    for name in sorted(set(value) - known):
        raise Unsupported(f"{origin}: config field {quoted(name)} is not supported")
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
                f"{origin}: config field {name} is {quoted(found)}, supported is {quoted(only)}"
                " (one layer, one head, attention only)"
            )


def quoted(value: object) -> str:
    """Return a short printable form of an untrusted value."""
    text = json.dumps(value, default=repr)
    return text if len(text) <= 60 else text[:57] + "..."


def is_one_layer(config: Config) -> bool:
    """Return whether ``require_one_layer`` accepts the architecture."""
    try:
        require_one_layer(config, "")
    except Unsupported:
        return False
    return True


def _require_size(size: object, name: str, origin: str) -> None:
    """Refuse a size that is no positive integer, or past its limit."""
    if type(size) is not int or size < 1:
        raise BadInput(
            f"{origin}: config field {name} must be a positive integer, not {quoted(size)}"
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
            f"{origin}: config field {name} is {quoted(found)}, supported is {supported}"
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
    """Refuse a value that is no finite float from 0 to ``most`` in the spelling of
    ``float.hex``.
    """
    if not isinstance(found, str) or _HEX_FLOAT.fullmatch(found) is None:
        raise BadInput(
            f"{origin}: config field {name} must be a hexadecimal float such as {(0.5).hex()}, not"
            f" {quoted(found)}"
        )
    try:
        number = float.fromhex(found)
    except OverflowError:
        number = math.inf
    if not 0.0 <= number <= most or number == math.inf:
        raise Unsupported(f"{origin}: config field {name} is {found}, supported is 0 to {most:g}")
    if number.hex() != found:
        raise BadInput(f"{origin}: config field {name} must be spelled {number.hex()}, not {found}")
