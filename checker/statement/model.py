"""Transformers, and the exact path matrices of those with one layer, one head and attention only.
(SPEC-4.3, SPEC-4.4)

    x_i    = W_E[t_i] + W_pos[i],   q = t_{n-1}
    a      = softmax_i( (x_{n-1} W_Q + b_Q) . (x_i W_K + b_K) / sqrt(d_head) )
    logits = ( x_{n-1} + (sum_i a_i (x_i W_V + b_V)) W_O + b_O ) W_U + b_U

Multiplied out along the paths, with Q = W_E + W_pos[n-1]:

    EQKE = (Q W_Q + b_Q) W_K^T W_E^T      QK circuit, token part, before dividing by sqrt(d_head)
    EQKP = (Q W_Q + b_Q) W_K^T W_pos^T    QK circuit, position part
    EVOU = W_E W_V W_O W_U                OV circuit, token part
    PVOU = W_pos W_V W_O W_U              OV circuit, position part
    EU   = Q W_U + (b_V W_O + b_O) W_U + b_U    direct path (attention weights sum to one)

b_K adds the same number to all scores of one query, so softmax does not see it.  Nothing is rounded
here, but what ``cells.enclosed`` encloses on request instead of multiplying it out: EQKE, EVOU, EU.
"""

from math import prod

from checker.ground import record
from checker.ground.decode import (
    Fields,
    Pair,
    canonical,
    fields,
    hexadecimal,
    integer,
    parse_canonical,
)
from checker.ground.errors import require_form, require_support
from checker.ground.exact import Matrix
from checker.ground.ledger import Room
from checker.statement.container import Entry, parse_container, read_matrix

MAX_NUMBERS = 1 << 22
MAX_MODEL_BYTES = 34 << 20
"""2^22 numbers of eight bytes, and a header.  (SPEC-3.5)"""

MAX_TENSOR_BITS = 1 << 31
"""Room for all tensors, a part of that for all tables: the text of a proof is still there.
(SPEC-3.5)
"""

MODEL_FORMAT = "certify.model/1"
_SIZES = {
    "d_head": 1024,
    "d_model": 1024,
    "d_vocab": 1024,
    "d_vocab_out": 1024,
    "n_ctx": 64,
    "n_heads": 16,
    "n_layers": 16,
}
WITHOUT_PAIRS = {"d_vocab": 4096, "d_vocab_out": 4096}
"""What a proof without a table of pairs of tokens may be about.  (SPEC-3.5)"""
_CHOICES: dict[str, tuple[object, ...]] = {
    "act_fn": (None, "relu", "gelu", "gelu_new", "silu"),
    "attention_dir": ("causal", "bidirectional"),
    "attn_only": (True, False),
    "normalization_type": (None, "LN", "LNPre"),
    "positional_embedding_type": ("standard",),
}
READOUTS = ("last", "sum-pool-mlp", "mean-pool-mlp")
"""What answers, a position by itself or all pooled; the first is meant where a model names none."""
_OPTIONAL: dict[str, tuple[object, ...]] = {"readout": READOUTS}
_MLP_WIDTH = 4096
_MLP = {
    "W_in": "d_model d_mlp",
    "b_in": "d_mlp",
    "W_out": "d_mlp d_model",
    "b_out": "d_model",
}
_HEAD = {
    "head.W_1": "d_model d_hidden",
    "head.b_1": "d_hidden",
    "head.W_2": "d_hidden d_vocab_out",
    "head.b_2": "d_vocab_out",
}
_UNEMBED = {"unembed.W_U": "d_model d_vocab_out", "unembed.b_U": "d_vocab_out"}


Sizes = dict[str, int]


@record
class Model:
    """The exact weights as matrices by name, and the architecture they belong to.

    ``double``: some are float64.  ``held``: the room that the weights take, in bits.
    """

    config: Fields
    sizes: Sizes
    weights: dict[str, Matrix]
    double: bool
    held: int

    def by_role(self) -> dict[str, Matrix]:
        """Return the weights of a model with one layer by the last parts of their names."""
        weights = self.weights.items()
        return {name.rpartition(".")[2]: weight for name, weight in weights}

    @property
    def readout(self) -> str:
        """What answers."""
        return str(self.config.get("readout", READOUTS[0]))

    @property
    def pooled(self) -> bool:
        """Whether the answer is read from all positions together."""
        return self.readout != READOUTS[0]


def parse_config(
    metadata: dict[str, str], larger: Sizes = _SIZES
) -> tuple[Fields, Sizes]:
    """Return the architecture and its sizes, every field of which must be one this checker
    supports; ``larger``: limits other than the usual ones.  (SPEC-4.3)

    Raises: Malformed (SPEC-4.3), Declined (SPEC-3.5, SPEC-4.3) naming the field that is not
            supported.
    """
    require_support(
        metadata["format"] == MODEL_FORMAT,
        "SPEC-4.3",
        f"the model's format is not {MODEL_FORMAT}",
    )
    written = metadata["config"].encode("utf-8", "replace") + b"\n"
    always = " ".join([*_SIZES, *_CHOICES])
    config = fields(parse_canonical(written, "config"), "config", always, None)
    has_mlp = config["attn_only"] is False
    has_norm = config["normalization_type"] in ("LN", "LNPre")
    for name, due in (("d_mlp", has_mlp), ("eps", has_norm)):
        require_form(name in config or not due, "SPEC-4.3", f"config lacks {name}")
    limits = _SIZES | larger
    if has_mlp:
        limits["d_mlp"] = _MLP_WIDTH
    sizes = _parse_sizes(config, limits)
    for name in sorted(set(config) - set(limits)):
        is_number = name == "attention_mix" or (name == "eps" and has_norm)
        require_support(
            is_number or _is_known(name, config[name]),
            "SPEC-4.3",
            f"config field {name} has an unsupported value or is not known",
        )
    require_support(
        not has_mlp or config["act_fn"] in ("relu", "gelu_new", "silu"),
        "SPEC-4.3",
        "config field act_fn is not relu, gelu_new or silu",
    )
    _require_numbers(config)
    return config, sizes


def _parse_sizes(config: Fields, limits: Sizes) -> Sizes:
    """Return the fields that are sizes, each within its limit.  (SPEC-3.5)"""
    sizes = {}
    for name, most in limits.items():
        where = f"config field {name}"
        size = integer(config[name], where, 1, 1 << 24)
        require_support(size <= most, "SPEC-3.5", f"{where} is larger than {most}")
        sizes[name] = size
    return sizes


def _is_known(name: str, value: object) -> bool:
    """Return whether a field that is no number has a value this checker supports."""
    options = (_CHOICES | _OPTIONAL).get(name, ())
    return canonical(value) in map(
        canonical, options
    )  # of 1 and true only one is known


def _require_numbers(config: Fields) -> None:
    """Decline an attention mix above one, and an eps of zero.  (SPEC-4.3)"""
    written = config.get("attention_mix", "0x0.0p+0")
    mantissa, exponent = hexadecimal(written, "config field attention_mix")
    require_support(
        mantissa <= 1 << -exponent,
        "SPEC-4.3",
        "config field attention_mix is larger than one",
    )
    eps, _ = hexadecimal(config.get("eps", "0x1.0p+0"), "config field eps")
    require_support(eps > 0, "SPEC-4.3", "config field eps is zero")


def _tensors(config: Fields, sizes: Sizes) -> dict[str, str]:
    """Return the tensors of an architecture by name, with their axes.

    Those named b_ may be absent, which means zero.
    """
    norm = config["normalization_type"] == "LN"
    mlp = "d_mlp" in sizes
    found = {"embed.W_E": "d_vocab d_model", "pos_embed.W_pos": "n_ctx d_model"}
    for layer in range(sizes["n_layers"]):
        block = f"blocks.{layer}."
        for letter in "QKV":
            found[f"{block}attn.W_{letter}"] = "n_heads d_model d_head"
            found[f"{block}attn.b_{letter}"] = "n_heads d_head"
        found[f"{block}attn.W_O"] = "n_heads d_head d_model"
        found[f"{block}attn.b_O"] = "d_model"
        norms = ("ln1", "ln2") if mlp else ("ln1",)
        for name in norms if norm else ():
            found |= {f"{block}{name}.w": "d_model", f"{block}{name}.b": "d_model"}
        for name, axes in _MLP.items() if mlp else ():
            found[f"{block}mlp.{name}"] = axes
    if norm:
        found |= {"ln_final.w": "d_model", "ln_final.b": "d_model"}
    return found | (_HEAD if "d_hidden" in sizes else _UNEMBED)


def _hidden_width(entries: dict[str, Entry]) -> int:
    """Return the number of columns of the head's first matrix, which no field of config tells; 1
    where there is no such matrix, which is refused later.

    Raises: Declined (SPEC-3.5).
    """
    shape = entries["head.W_1"].shape if "head.W_1" in entries else ()
    width = shape[1] if len(shape) > 1 else 1
    require_support(
        1 <= width <= _MLP_WIDTH,
        "SPEC-3.5",
        f"head.W_1 has no column, or more than {_MLP_WIDTH}",
    )
    return width


def load_model(data: bytes, *, pairs: bool = True) -> Model:
    """Return the exact model held by the bytes of a safetensors file.  (SPEC-4)

    Of a stack of matrices, the rows of all are one matrix.  ``pairs``: whether tables of pairs of
    tokens may be formed.
    Raises: Malformed or Declined (SPEC-3.5, SPEC-4.x), naming the tensor or the config field.
    """
    require_support(
        len(data) <= MAX_MODEL_BYTES, "SPEC-3.5", "the model is larger than 34 MiB"
    )
    metadata, entries, payload = parse_container(data)
    config, sizes = parse_config(metadata, _SIZES if pairs else WITHOUT_PAIRS)
    require_support(
        sum(prod(entry.shape) for entry in entries.values()) <= MAX_NUMBERS,
        "SPEC-3.5",
        "the model holds too many numbers",
    )
    if config.get("readout") in READOUTS[1:]:
        sizes["d_hidden"] = _hidden_width(entries)
    tensors = _tensors(config, sizes)
    weights = {}
    for name in entries:
        require_support(
            name in tensors, "SPEC-4.3", f"the model has the unknown tensor {name}"
        )
    room = Room(MAX_TENSOR_BITS)
    for name, axes in tensors.items():
        shape = tuple(sizes[axis] for axis in axes.split())
        if name in entries:
            found = entries[name].shape
            require_form(
                found == shape,
                "SPEC-4.3",
                f"tensor {name} has shape {list(found)}, not {list(shape)}",
            )
            weights[name] = read_matrix(name, entries[name], payload, room)
        else:
            require_form(
                ".b_" in name, "SPEC-4.3", f"the model lacks the tensor {name}"
            )
            # An absent bias is zero: one row, listed as often as there are heads.
            zeros = (0,) * shape[-1]
            weights[name] = Matrix((zeros,) * prod(shape[:-1]), 0)
    double = any(entry.dtype == "F64" for entry in entries.values())
    return Model(config, sizes, weights, double, room.held)


def part(model: Model, name: str, head: int) -> Matrix:
    """Return the rows of one head of a stack."""
    stack = model.weights[f"blocks.0.attn.{name}"]
    size = stack.height // model.sizes["n_heads"]
    return stack.cut(head * size, (head + 1) * size)


def mix(model: Model) -> Pair:
    """Return the attention mix c as (mantissa, exponent <= 0), in lowest terms."""
    written = model.config.get("attention_mix", "0x1.0p+0")
    mantissa, exponent = hexadecimal(written, "config field attention_mix")
    whole = mantissa | 1 << -exponent
    spare = (whole & -whole).bit_length() - 1
    return mantissa >> spare, exponent + spare
