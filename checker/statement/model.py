"""Transformers, and the exact path matrices of those with one layer, one head and attention only.
(SPEC 4.3, 4.4)

    x_i    = W_E[t_i] + W_pos[i],   q = t_{n-1}
    a      = softmax_i( (x_{n-1} W_Q + b_Q) . (x_i W_K + b_K) / sqrt(d_head) )
    logits = ( x_{n-1} + (sum_i a_i (x_i W_V + b_V)) W_O + b_O ) W_U + b_U

Multiplied out along the paths, with Q = W_E + W_pos[n-1]:

    EQKE = (Q W_Q + b_Q) W_K^T W_E^T      QK circuit, token part, before the division by
    sqrt(d_head)
    EQKP = (Q W_Q + b_Q) W_K^T W_pos^T    QK circuit, position part
    EVOU = W_E W_V W_O W_U                OV circuit, token part
    PVOU = W_pos W_V W_O W_U              OV circuit, position part
    EU   = Q W_U + (b_V W_O + b_O) W_U + b_U    direct path (attention weights sum to one)

b_K adds the same number to all scores of one query, so softmax does not see it.  Nothing is rounded
here, but what
``residual`` encloses on request instead of multiplying it out: EQKE, EVOU, EU.
"""

from dataclasses import dataclass
from math import prod

from checker.ground.decode import fields, hexadecimal, integer, parse_canonical
from checker.ground.errors import require_form, require_support
from checker.ground.exact import Matrix
from checker.statement.container import parse_container, read_matrix

MAX_MODEL_BYTES, MAX_NUMBERS = 256 << 20, 1 << 22
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
_CHOICES: dict[str, tuple[object, ...]] = {
    "act_fn": (None, "relu", "gelu", "gelu_new", "silu"),
    "attention_dir": ("causal", "bidirectional"),
    "attn_only": (True, False),
    "normalization_type": (None, "LN", "LNPre"),
    "positional_embedding_type": ("standard",),
}
READOUTS = ("last", "all", "sum-pool-mlp", "mean-pool-mlp")
"""Which positions answer, and how; the first is meant where a model names none."""
_OPTIONAL: dict[str, tuple[object, ...]] = {"readout": READOUTS}
_MLP_WIDTH = 4096


@dataclass(frozen=True, slots=True)
class Model:
    """The exact weights as matrices by name, and the architecture they belong to; ``double``: some
    are float64.
    """

    config: dict[str, object]
    sizes: dict[str, int]
    weights: dict[str, Matrix]
    double: bool


def parse_config(metadata: dict[str, str]) -> tuple[dict[str, object], dict[str, int]]:
    """Return the architecture and its sizes, every field of which must be one this checker
    supports.  (SPEC 4.3)

    Raises: Malformed (SPEC-4.3), Declined (SPEC-3.5, SPEC-4.3) naming the field that is not
            supported.
    """
    require_support(
        metadata["format"] == MODEL_FORMAT,
        "SPEC-4.3",
        f"the model's format is not {MODEL_FORMAT}",
    )
    written = metadata["config"].encode("utf-8", "replace") + b"\n"
    config = fields(
        parse_canonical(written, "config"),
        "config",
        " ".join([*_SIZES, *_CHOICES]),
        None,
    )
    present = {
        "d_mlp": config["attn_only"] is False,
        "eps": config["normalization_type"] in ("LN", "LNPre"),
    }
    limits = _SIZES | ({"d_mlp": _MLP_WIDTH} if present["d_mlp"] else {})
    for name, due in present.items():
        require_form(name in config or not due, "SPEC-4.3", f"config lacks {name}")
    sizes = {
        name: integer(config[name], f"config field {name}", 1, 1 << 24)
        for name in limits
    }
    for name, size in sizes.items():
        require_support(
            size <= limits[name],
            "SPEC-3.5",
            f"config field {name} is larger than {limits[name]}",
        )
    for name in sorted(set(config) - set(limits)):
        options = (_CHOICES | _OPTIONAL).get(name, ())
        known = any(
            config[name] == option and type(config[name]) is type(option)
            for option in options
        )
        number = name == "attention_mix" or (name == "eps" and present["eps"])
        require_support(
            number or known,
            "SPEC-4.3",
            f"config field {name} has an unsupported value or is not known",
        )
    fits = not present["d_mlp"] or config["act_fn"] in ("relu", "gelu_new", "silu")
    require_support(
        fits, "SPEC-4.3", "config field act_fn is not relu, gelu_new or silu"
    )
    mantissa, exponent = hexadecimal(
        config.get("attention_mix", "0x0.0p+0"), "config field attention_mix"
    )
    require_support(
        mantissa <= 1 << -exponent,
        "SPEC-4.3",
        "config field attention_mix is larger than one",
    )
    require_support(
        hexadecimal(config.get("eps", "0x1.0p+0"), "config field eps")[0] > 0,
        "SPEC-4.3",
        "config field eps is zero",
    )
    return config, sizes


def _tensors(config: dict[str, object], sizes: dict[str, int]) -> dict[str, str]:
    """Return the tensors of an architecture by name, with their axes; those named b_ may be absent,
    which means zero.
    """
    norm, mlp = config["normalization_type"] == "LN", "d_mlp" in sizes
    found = {"embed.W_E": "d_vocab d_model", "pos_embed.W_pos": "n_ctx d_model"}
    for block in (f"blocks.{layer}." for layer in range(sizes["n_layers"])):
        found |= {
            f"{block}attn.W_{letter}": "n_heads d_model d_head" for letter in "QKV"
        }
        found |= {
            f"{block}attn.W_O": "n_heads d_head d_model",
            f"{block}attn.b_O": "d_model",
        }
        found |= {f"{block}attn.b_{letter}": "n_heads d_head" for letter in "QKV"}
        found |= {
            f"{block}ln{at}.{part}": "d_model"
            for at in range(1, 2 + mlp)
            for part in "wb"
            if norm
        }
        layer = {
            "W_in": "d_model d_mlp",
            "b_in": "d_mlp",
            "W_out": "d_mlp d_model",
            "b_out": "d_model",
        }
        found |= {f"{block}mlp.{name}": axes for name, axes in layer.items() if mlp}
    found |= {f"ln_final.{part}": "d_model" for part in "wb" if norm}
    if "d_hidden" in sizes:
        head = {
            "W_1": "d_model d_hidden",
            "b_1": "d_hidden",
            "W_2": "d_hidden d_vocab_out",
            "b_2": "d_vocab_out",
        }
        return found | {f"head.{name}": axes for name, axes in head.items()}
    return found | {"unembed.W_U": "d_model d_vocab_out", "unembed.b_U": "d_vocab_out"}


def load_model(data: bytes) -> Model:
    """Return the exact model held by the bytes of a safetensors file; of a stack of matrices, the
    rows of all.  (SPEC 4)

    Raises: Malformed or Declined (SPEC-3.5, SPEC-4.x), naming the tensor or the config field.
    """
    require_support(
        len(data) <= MAX_MODEL_BYTES, "SPEC-3.5", "the model is larger than 256 MiB"
    )
    metadata, entries, payload = parse_container(data)
    config, sizes = parse_config(metadata)
    require_support(
        sum(prod(e.shape) for e in entries.values()) <= MAX_NUMBERS,
        "SPEC-3.5",
        "the model holds too many numbers",
    )
    if config.get("readout") in ("sum-pool-mlp", "mean-pool-mlp"):
        sizes["d_hidden"] = (
            (*entries["head.W_1"].shape, 1, 1)[1] if "head.W_1" in entries else 1
        )
        require_support(
            1 <= sizes["d_hidden"] <= _MLP_WIDTH,
            "SPEC-3.5",
            f"head.W_1 has no column, or more than {_MLP_WIDTH}",
        )
    tensors, weights = _tensors(config, sizes), {}
    for name in entries:
        require_support(
            name in tensors, "SPEC-4.3", f"the model has the unknown tensor {name}"
        )
    for name, axes in tensors.items():
        shape = tuple(sizes[axis] for axis in axes.split())
        if name in entries:
            found = entries[name].shape
            require_form(
                found == shape,
                "SPEC-4.3",
                f"tensor {name} has shape {list(found)}, not {list(shape)}",
            )
            weights[name] = read_matrix(name, entries[name], payload)
        else:
            require_form(
                ".b_" in name, "SPEC-4.3", f"the model lacks the tensor {name}"
            )
            weights[name] = Matrix(((0,) * shape[-1],) * prod(shape[:-1]), 0)
    return Model(
        config, sizes, weights, any(entry.dtype == "F64" for entry in entries.values())
    )


def part(model: Model, name: str, head: int) -> Matrix:
    """Return the rows of one head of a stack."""
    stack = model.weights[f"blocks.0.attn.{name}"]
    size = len(stack.rows) // model.sizes["n_heads"]
    return Matrix(stack.rows[head * size : (head + 1) * size], stack.scale)


def mix(model: Model) -> tuple[int, int]:
    """Return the attention mix c as (mantissa, exponent <= 0), in lowest terms."""
    mantissa, exponent = hexadecimal(
        model.config.get("attention_mix", "0x1.0p+0"), "config field attention_mix"
    )
    whole = mantissa | 1 << -exponent
    spare = (whole & -whole).bit_length() - 1
    return mantissa >> spare, exponent + spare
