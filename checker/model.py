"""One-layer, one-head, attention-only transformers and their exact path matrices.  (SPEC 4.3, 4.4)

    x_i    = W_E[t_i] + W_pos[i],   q = t_{n-1}
    a      = softmax_i( (x_{n-1} W_Q + b_Q) . (x_i W_K + b_K) / sqrt(d_head) )
    logits = ( x_{n-1} + (sum_i a_i (x_i W_V + b_V)) W_O + b_O ) W_U + b_U

Multiplied out along the paths, with Q = W_E + W_pos[n-1]:

    EQKE = (Q W_Q + b_Q) W_K^T W_E^T      QK circuit, token part, before the division by sqrt(d_head)
    EQKP = (Q W_Q + b_Q) W_K^T W_pos^T    QK circuit, position part
    EVOU = W_E W_V W_O W_U                OV circuit, token part
    PVOU = W_pos W_V W_O W_U              OV circuit, position part
    EU   = Q W_U + (b_V W_O + b_O) W_U + b_U    direct path (attention weights sum to one)

b_K adds the same number to all scores of one query, so softmax does not see it.  Nothing is rounded here, but what
``residual`` encloses on request instead of multiplying it out: EQKE, EVOU, EU.
"""

from dataclasses import dataclass
from math import prod

from checker.container import parse_container, read_matrix
from checker.decode import fields, integer, parse_canonical
from checker.errors import require_form, require_support
from checker.exact import Matrix, Row, add_row, multiply, product, rescale, transposed
from checker.ledger import Ledger
from checker.residual import Enclosed, Hint, enclose

MAX_MODEL_BYTES, MAX_NUMBERS = 256 << 20, 1 << 22
MODEL_FORMAT = "certify.model/1"
_SIZES = {"d_head": 1024, "d_model": 1024, "d_vocab": 1024, "d_vocab_out": 1024, "n_ctx": 64}
_NAMES = "act_fn attention_dir attn_only n_heads n_layers normalization_type positional_embedding_type"
_VALUES = ((None, "relu", "gelu", "gelu_new", "silu"), ("causal", "bidirectional"), (True,), (1,), (1,), (None,), ("standard",))
_CHOICES: dict[str, tuple[object, ...]] = dict(zip(_NAMES.split(), _VALUES, strict=True))
# The tensors by name, with their shapes; biases may be absent, which means zero.
_SHAPES = {
    "embed.W_E": "d_vocab d_model",
    "pos_embed.W_pos": "n_ctx d_model",
    **{f"blocks.0.attn.W_{letter}": "n_heads d_model d_head" for letter in "QKV"},
    "blocks.0.attn.W_O": "n_heads d_head d_model",
    "unembed.W_U": "d_model d_vocab_out",
    **{f"blocks.0.attn.b_{letter}": "n_heads d_head" for letter in "QKV"},
    "blocks.0.attn.b_O": "d_model",
    "unembed.b_U": "d_vocab_out",
}


@dataclass(frozen=True, slots=True)
class Model:
    """The exact weights as matrices by short name, and the architecture they belong to."""

    config: dict[str, object]
    sizes: dict[str, int]
    weights: dict[str, Matrix]


@dataclass(frozen=True, slots=True)
class Paths:
    """The path matrices: scores over ``2^-score_scale``, logits over ``2^-value_scale``.

    ``eqke_low[q][t]``, ``eqkp[q][i]``, ``evou_low[t][j]``, ``pvou[i][j]``, ``eu_low[q][j]``.
    ``low`` and ``high`` enclose up to a constant of each row (a token, for EVOU), so that only differences within a
    row mean anything; they are the same object where the path is exact.  ``exact``: all three are.
    """

    eqke_low: tuple[Row, ...]
    eqke_high: tuple[Row, ...]
    eqkp: tuple[Row, ...]
    score_scale: int
    evou_low: tuple[Row, ...]
    evou_high: tuple[Row, ...]
    pvou: tuple[Row, ...]
    eu_low: tuple[Row, ...]
    eu_high: tuple[Row, ...]
    value_scale: int
    d_head: int
    exact: bool


def parse_config(metadata: dict[str, str]) -> tuple[dict[str, object], dict[str, int]]:
    """Return the architecture and its sizes, every field of which must be one this checker supports.  (SPEC 4.3)

    Raises: Malformed (SPEC-4.3), Declined (SPEC-3.5, SPEC-4.3) naming the field that is not supported.
    """
    require_support(metadata["format"] == MODEL_FORMAT, "SPEC-4.3", f"the model's format is not {MODEL_FORMAT}")
    written = metadata["config"].encode("utf-8", "replace") + b"\n"
    config = fields(parse_canonical(written, "config"), "config", " ".join([*_SIZES, *_CHOICES]), None)
    sizes = {name: integer(config[name], f"config field {name}", 1, 1 << 24) for name in _SIZES}
    for name, size in sizes.items():
        require_support(size <= _SIZES[name], "SPEC-3.5", f"config field {name} is larger than {_SIZES[name]}")
    for name in sorted(set(config) - set(_SIZES)):
        known = any(config[name] == option and type(config[name]) is type(option) for option in _CHOICES.get(name, ()))
        require_support(known, "SPEC-4.3", f"config field {name} has an unsupported value or is not known")
    require_support(sizes["d_vocab_out"] >= sizes["d_vocab"], "SPEC-4.3", "d_vocab_out is smaller than d_vocab")
    return config, {**sizes, "n_heads": 1}


def load_model(data: bytes) -> Model:
    """Return the exact model held by the bytes of a safetensors file.  (SPEC 4)

    Raises: Malformed or Declined (SPEC-3.5, SPEC-4.x), naming the tensor or the config field.
    """
    require_support(len(data) <= MAX_MODEL_BYTES, "SPEC-3.5", "the model is larger than 256 MiB")
    metadata, entries, payload = parse_container(data)
    config, sizes = parse_config(metadata)
    require_support(sum(prod(e.shape) for e in entries.values()) <= MAX_NUMBERS, "SPEC-3.5", "the model holds too many numbers")
    for name in entries:
        require_support(name in _SHAPES, "SPEC-4.3", f"the model has the unknown tensor {name}")
    weights = {}
    for name, axes in _SHAPES.items():
        shape, short = tuple(sizes[axis] for axis in axes.split()), name.rpartition(".")[2]
        if name in entries:
            found = entries[name].shape
            require_form(found == shape, "SPEC-4.3", f"tensor {name} has shape {list(found)}, not {list(shape)}")
            weights[short] = read_matrix(name, entries[name], payload)
        else:
            require_form(short.startswith("b_"), "SPEC-4.3", f"the model lacks the tensor {name}")
            weights[short] = Matrix(((0,) * shape[-1],), 0)
    return Model(config, sizes, weights)


def _with_bias(left: Matrix, right: Matrix, bias: Matrix) -> tuple[Matrix, Matrix]:
    """Return two factors whose product is ``left right`` with the row ``bias`` added to every row: [left|1], [right;bias]."""
    if not any(bias.rows[0]):
        return left, right
    scale = max(right.scale, bias.scale)
    rows = tuple((*row, 1 << left.scale) for row in left.rows)
    return Matrix(rows, left.scale), Matrix(rescale(right, scale).rows + rescale(bias, scale).rows, scale)


def _over(table: Enclosed, scale: int) -> tuple[tuple[Row, ...], tuple[Row, ...]]:
    """Return the rows of both ends over a finer scale, one object where they are one."""
    low = rescale(table[0], scale).rows
    return low, low if table[1] is table[0] else rescale(table[1], scale).rows


def decompose(model: Model, hints: dict[str, Hint], ledger: Ledger) -> Paths:
    """Return the path decomposition of the model: a path without a hint exactly, the others enclosed.  (SPEC 4.4, 6.5)

    Cost: that of the additions of rows, of the chains of both position paths, and of the enclosures.
    """
    w = model.weights
    query = add_row(w["W_E"], Matrix(w["W_pos"].rows[-1:], w["W_pos"].scale), ledger)
    constant = add_row(product(w["b_V"], w["W_O"], ledger), w["b_O"], ledger)
    scoring = [*_with_bias(query, w["W_Q"], w["b_Q"]), transposed(w["W_K"])]
    moving = [w["W_V"], w["W_O"], w["W_U"]]
    eqke = enclose([*scoring, transposed(w["W_E"])], hints.get("qk"), ledger)
    evou = enclose([w["W_E"], *moving], hints.get("ov"), ledger)
    eu = enclose(_with_bias(add_row(query, constant, ledger), w["W_U"], w["b_U"]), hints.get("direct"), ledger)
    eqkp, pvou = multiply([*scoring, transposed(w["W_pos"])], ledger), multiply([w["W_pos"], *moving], ledger)
    score, value = max(eqke[0].scale, eqkp.scale), max(evou[0].scale, eu[0].scale, pvou.scale)
    evou_rows, eu_rows, pvou_rows = _over(evou, value), _over(eu, value), rescale(pvou, value).rows
    scores = (*_over(eqke, score), rescale(eqkp, score).rows, score)
    return Paths(*scores, *evou_rows, pvou_rows, *eu_rows, value, model.sizes["d_head"], not hints)
