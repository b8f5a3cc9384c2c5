"""The layouts in which people store a transformer, and how each is turned into ours, exactly.

A layout says which tensor of ours a name stands for, and on which axes it is stored.  An axis is a
size (``d_model``) or a product of sizes, the later one fastest (``n_heads d_head``).  From the
shapes of a file the sizes follow; the entries are then split, transposed and stacked, never
computed with.  Where the shapes fit a layout in no way, or more than one, the caller is told.

=====================  ============================================================================
``transformer-lens``   ``HookedTransformer`` of TransformerLens 2 and 3, and our own files:
                       ``blocks.0.attn.W_Q [n_heads, d_model, d_head]``; the axis of a single head
                       may be left out; for one layer the last part of a name is enough (``W_Q``)
``older``              its predecessors, under the same names, matrices transposed:
                       ``embed.W_E [d_model, d_vocab]``, ``W_Q [n_heads, d_head, d_model]``,
                       ``W_O [d_model, n_heads d_head]``, ``W_in [d_mlp, d_model]``
``transformer-lens-4`` bridges of TransformerLens 4, modules of PyTorch:
                       ``blocks.0.attn.q.weight [n_heads d_head, d_model]``, ``mlp.in.weight``
``heads``              modules of PyTorch with one module for each head:
                       ``layers.0.heads.1.W_Q.weight [d_head, d_model]``
=====================  ============================================================================
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from certify.errors import BadInput
from certify.model.contents import Array

Axes = tuple[tuple[str, ...], ...]
"""The axes of a stored tensor, each a product of sizes."""

OURS: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "embed.W_E": ("d_vocab", "d_model"),
        "pos_embed.W_pos": ("n_ctx", "d_model"),
        **{f"attn.W_{letter}": ("n_heads", "d_model", "d_head") for letter in "QKV"},
        **{f"attn.b_{letter}": ("n_heads", "d_head") for letter in "QKV"},
        "attn.W_O": ("n_heads", "d_head", "d_model"),
        "attn.b_O": ("d_model",),
        "mlp.W_in": ("d_model", "d_mlp"),
        "mlp.b_in": ("d_mlp",),
        "mlp.W_out": ("d_mlp", "d_model"),
        "mlp.b_out": ("d_model",),
        **{f"{norm}.{part}": ("d_model",) for norm in ("ln1", "ln2", "ln_final") for part in "wb"},
        "unembed.W_U": ("d_model", "d_vocab_out"),
        "unembed.b_U": ("d_vocab_out",),
        "head.W_1": ("d_model", "d_hidden"),
        "head.b_1": ("d_hidden",),
        "head.W_2": ("d_hidden", "d_vocab_out"),
        "head.b_2": ("d_vocab_out",),
    }
)
"""The axes of every kind of tensor of a model file; in a layer the kind is without ``blocks.L.``"""


@dataclass(frozen=True, slots=True)
class Layout:
    """A way to store a transformer.

    ``place(name)`` is the name of the tensor of ours that a tensor stands for, followed by ``#H``
    where it is a part for the head H alone, or None.  ``forms`` holds, by kind, on which axes it
    may be stored.
    """

    name: str
    title: str
    place: Callable[[str], str | None]
    forms: Mapping[str, tuple[Axes, ...]]


@dataclass(frozen=True, slots=True)
class Fit:
    """How tensors fit a layout: the sizes, what does not fit, and whether heads must be told."""

    layout: Layout
    sizes: Mapping[str, int]
    misfits: tuple[str, ...]
    heads_open: bool


def kind_of(place: str) -> str:
    """Return the kind of a tensor of ours: its name without the layer."""
    return re.sub(r"^blocks\.[0-9]+\.", "", place)


def _plain(*sizes: str) -> Axes:
    """Return axes of one size each."""
    return tuple((size,) for size in sizes)


def _forms(changes: Mapping[str, tuple[Axes, ...]]) -> Mapping[str, tuple[Axes, ...]]:
    """Return the forms of a layout: ours, but for the kinds that differ."""
    usual = {kind: (_plain(*sizes),) for kind, sizes in OURS.items()}
    return MappingProxyType({**usual, **changes})


# --- names -----------------------------------------------------------------------------------

_SHORT = {
    kind.rpartition(".")[2]: f"blocks.0.{kind}" if kind.startswith(("attn", "mlp")) else kind
    for kind in OURS
    if not kind.startswith("ln")
}
_IN_LAYER = ("attn.", "mlp.", "ln1.", "ln2.")
_LAYERED = re.compile(r"blocks\.(0|[1-9][0-9]{0,3})\.(.+)")


def _lens_place(name: str) -> str | None:
    """Return the place of a name of TransformerLens, or of its last part alone."""
    if "." not in name:
        return _SHORT.get(name)
    layered = _LAYERED.fullmatch(name)
    kind = name if layered is None else layered[2]
    belongs = kind in OURS and kind.startswith(_IN_LAYER) == (layered is not None)
    return name if belongs else None


_MODULES = (
    (r"(?:embed|tok_embed|tok_emb|token_embed(?:ding)?|embedding|wte)\.weight", "embed.W_E"),
    (r"(?:pos_embed|pos_emb|pos_embedding|position_embedding|pos|wpe)\.weight", "pos_embed.W_pos"),
    (r"(?:pos_embed|pos_emb|pos_embedding)", "pos_embed.W_pos"),
    (r"(?:unembed(?:ding)?|lm_head)\.weight", "unembed.W_U"),
    (r"(?:unembed(?:ding)?|lm_head)\.bias", "unembed.b_U"),
    (r"(?:ln_final|ln_f|final_ln|norm_f)\.(?:weight|w)", "ln_final.w"),
    (r"(?:ln_final|ln_f|final_ln|norm_f)\.(?:bias|b)", "ln_final.b"),
)
_LAYER_MODULES = (
    *((rf"attn\.(?:{letter}|W_{letter.upper()})\.weight", f"attn.W_{letter.upper()}")
      for letter in "qkvo"),
    *((rf"attn\.(?:{letter}|W_{letter.upper()})\.bias", f"attn.b_{letter.upper()}")
      for letter in "qkvo"),
    (r"(?:W_O|o|o_proj|out_proj)\.weight", "attn.W_O"),
    (r"(?:W_O|o|o_proj|out_proj)\.bias", "attn.b_O"),
    (r"mlp\.(?:in|fc_in|W_in|fc1)\.weight", "mlp.W_in"),
    (r"mlp\.(?:in|fc_in|W_in|fc1)\.bias", "mlp.b_in"),
    (r"mlp\.(?:out|fc_out|W_out|fc2)\.weight", "mlp.W_out"),
    (r"mlp\.(?:out|fc_out|W_out|fc2)\.bias", "mlp.b_out"),
    *((rf"(?:ln|norm|ln_){number}\.(?:weight|w)", f"ln{number}.w") for number in "12"),
    *((rf"(?:ln|norm|ln_){number}\.(?:bias|b)", f"ln{number}.b") for number in "12"),
)  # fmt: skip
_LAYERS = re.compile(r"(?:blocks|layers)\.(0|[1-9][0-9]{0,3})\.(.+)")
_ONE_HEAD = re.compile(
    r"(?:attn\.)?heads\.(0|[1-9][0-9]{0,3})\.(?:W_)?([QKVqkv])(?:uery|ey|alue)?\.(weight|bias)"
)


def _module_place(name: str) -> str | None:
    """Return the place of a name of modules of PyTorch, but for modules of one head."""
    layered = _LAYERS.fullmatch(name)
    inner = name if layered is None else layered[2]
    for pattern, kind in _MODULES if layered is None else _LAYER_MODULES:
        if re.fullmatch(pattern, inner):
            return kind if layered is None else f"blocks.{layered[1]}.{kind}"
    return None


def _bridge_place(name: str) -> str | None:
    """Return the place of a name of a bridge, whose attention is fused."""
    return _module_place(name)


def _heads_place(name: str) -> str | None:
    """Return the place of a name where each head is a module."""
    layered = _LAYERS.fullmatch(name)
    single = _ONE_HEAD.fullmatch(layered[2]) if layered else None
    if layered is None or single is None:
        place = _module_place(name)
        fused = place is not None and re.search(r"\.attn\.[Wb]_[QKV]$", place)
        return None if fused else place
    kind = "W" if single[3] == "weight" else "b"
    return f"blocks.{layered[1]}.attn.{kind}_{single[2].upper()}#{single[1]}"


# --- layouts ---------------------------------------------------------------------------------

_HEADLESS = {
    **{f"attn.W_{letter}": _plain("d_model", "d_head") for letter in "QKV"},
    **{f"attn.b_{letter}": _plain("d_head") for letter in "QKV"},
    "attn.W_O": _plain("d_head", "d_model"),
}
_JOINED = (("d_model",), ("n_heads", "d_head"))
_LINEAR = {
    "attn.W_O": (_JOINED,),
    "mlp.W_in": (_plain("d_mlp", "d_model"),),
    "mlp.W_out": (_plain("d_model", "d_mlp"),),
}

TRANSFORMER_LENS = Layout(
    "transformer-lens",
    "a HookedTransformer of TransformerLens 2 or 3",
    _lens_place,
    _forms({kind: (_plain(*OURS[kind]), form) for kind, form in _HEADLESS.items()}),
)
OLDER = Layout(
    "older",
    "the older layout of TransformerLens's predecessors, matrices transposed",
    _lens_place,
    _forms(
        {
            **_LINEAR,
            "embed.W_E": (_plain("d_model", "d_vocab"),),
            **{
                f"attn.W_{letter}": (
                    _plain("n_heads", "d_head", "d_model"),
                    _plain("d_head", "d_model"),
                )
                for letter in "QKV"
            },
            **{
                f"attn.b_{letter}": (_plain("n_heads", "d_head"), _plain("d_head"))
                for letter in "QKV"
            },
        }
    ),
)
BRIDGE = Layout(
    "transformer-lens-4",
    "a bridge of TransformerLens 4",
    _bridge_place,
    _forms(
        {
            **_LINEAR,
            **{f"attn.W_{letter}": ((("n_heads", "d_head"), ("d_model",)),) for letter in "QKV"},
            **{f"attn.b_{letter}": ((("n_heads", "d_head"),),) for letter in "QKV"},
            "unembed.W_U": (_plain("d_vocab_out", "d_model"),),
        }
    ),
)
HEADS = Layout(
    "heads",
    "modules of PyTorch, one for each head",
    _heads_place,
    _forms(
        {
            **_LINEAR,
            **{f"attn.W_{letter}": (_plain("n_heads", "d_head", "d_model"),) for letter in "QKV"},
            "unembed.W_U": (_plain("d_vocab_out", "d_model"),),
        }
    ),
)
LAYOUTS = (TRANSFORMER_LENS, OLDER, BRIDGE, HEADS)


def placed(layout: Layout, names: Iterable[str]) -> dict[str, str]:
    """Return the places of those names that the layout knows."""
    found = ((name, layout.place(name)) for name in names)
    return {name: place for name, place in found if place is not None}


def stacked(
    places: Mapping[str, str], tensors: Mapping[str, Array], origin: str
) -> dict[str, Array]:
    """Return the tensors by the names of ours, the parts of single heads put together.

    Requires: ``places`` as ``placed`` returns them.
    Errors:   ``BadInput`` if two names stand for one tensor, or heads are not alike.
    """
    whole: dict[str, Array] = {}
    parts: dict[str, dict[int, Array]] = {}
    for name, place in places.items():
        target, _, head = place.partition("#")
        if (target in whole) if not head else (int(head) in parts.get(target, {})):
            raise BadInput(f"{origin}: two tensors stand for {target}, one of them {name}")
        if head:
            parts.setdefault(target, {})[int(head)] = tensors[name]
        else:
            whole[target] = tensors[name]
    for target, heads in parts.items():
        if sorted(heads) != list(range(len(heads))) or target in whole:
            raise BadInput(f"{origin}: the heads of {target} are not numbered from 0 in a row")
        if len({(head.shape, head.dtype) for head in heads.values()}) != 1:
            raise BadInput(f"{origin}: the heads of {target} differ in shape or dtype")
        whole[target] = np.stack([heads[number] for number in range(len(heads))])
    return whole


# --- sizes -----------------------------------------------------------------------------------


def fit(layout: Layout, tensors: Mapping[str, Array], n_heads: int | None) -> Fit:
    """Return the sizes that the shapes say, and which tensors do not agree.

    Requires: ``tensors`` by names of ours, as ``stacked`` returns them; ``n_heads`` where it is
              known, used only if no shape shows it.
    Ensures:  if nothing misfits and ``heads_open`` is false, ``ours`` can turn every tensor.
    """
    votes: dict[str, Counter[int]] = {}
    for place, tensor in tensors.items():
        form = _form(layout, place, tensor)
        if form is None:
            continue
        for axis, extent in zip(form, tensor.shape, strict=True):
            if len(axis) == 1:
                votes.setdefault(axis[0], Counter())[extent] += 1
        has_heads = "n_heads" in OURS[kind_of(place)]
        if has_heads and not any("n_heads" in axis for axis in form):
            votes.setdefault("n_heads", Counter())[1] += 1
    sizes = {name: counts.most_common(1)[0][0] for name, counts in votes.items()}
    heads_open = "n_heads" not in sizes and n_heads is None
    if n_heads is not None:
        sizes.setdefault("n_heads", n_heads)
    _split_joined(layout, tensors, sizes)
    misfits = tuple(_misfits(layout, tensors, sizes))
    return Fit(layout, MappingProxyType(sizes), misfits, heads_open)


def ours(layout: Layout, place: str, tensor: Array, sizes: Mapping[str, int]) -> Array:
    """Return a tensor on the axes of a model file, entry by entry the one that is stored.

    Requires: its shape fits the layout with these sizes.
    """
    form = _form(layout, place, tensor)
    wanted = OURS[kind_of(place)]
    stored = [size for axis in form or () for size in axis]
    split = tensor.reshape([sizes[size] for size in stored])
    absent = [size for size in wanted if size not in stored]
    whole = split.reshape([1] * len(absent) + list(split.shape))
    order = [(absent + stored).index(size) for size in wanted]
    turned = np.ascontiguousarray(whole.transpose(order))
    turned.setflags(write=False)
    return turned


def _form(layout: Layout, place: str, tensor: Array) -> Axes | None:
    """Return the axes on which a tensor is stored, told by their number."""
    forms = layout.forms[kind_of(place)]
    return next((form for form in forms if len(form) == tensor.ndim), None)


def _split_joined(layout: Layout, tensors: Mapping[str, Array], sizes: dict[str, int]) -> None:
    """Add the size that a joined axis shows once its other size is known."""
    for place, tensor in tensors.items():
        for axis, extent in zip(_form(layout, place, tensor) or (), tensor.shape, strict=False):
            unknown = [size for size in axis if size not in sizes]
            if len(axis) == 2 and len(unknown) == 1:
                (known,) = (size for size in axis if size in sizes)
                if sizes[known] > 0 and extent % sizes[known] == 0:
                    sizes[unknown[0]] = extent // sizes[known]


def _misfits(
    layout: Layout, tensors: Mapping[str, Array], sizes: Mapping[str, int]
) -> Iterator[str]:
    """Yield, for each tensor that does not fit, what is wrong with it."""
    for place, tensor in tensors.items():
        form = _form(layout, place, tensor)
        shown = f"tensor {place} has shape {list(tensor.shape)}"
        if form is None:
            forms = layout.forms[kind_of(place)]
            yield f"{shown}, expected {' or '.join(_spelled(one, {}) for one in forms)}"
        elif tensor.size == 0:
            yield f"{shown}, which is empty"
        elif any(
            all(size in sizes for size in axis) and extent != _extent(axis, sizes)
            for axis, extent in zip(form, tensor.shape, strict=True)
        ):
            yield f"{shown}, expected {_spelled(form, sizes)}"
        elif any(len(axis) == 2 and "n_heads" in sizes and "d_head" not in sizes for axis in form):
            yield f"{shown}, which {sizes['n_heads']} heads do not divide"


def _extent(axis: tuple[str, ...], sizes: Mapping[str, int]) -> int:
    """Return how long an axis is."""
    extent = 1
    for size in axis:
        extent *= sizes[size]
    return extent


def _spelled(form: Axes, sizes: Mapping[str, int]) -> str:
    """Return axes as text, as numbers where they are known."""
    texts = [
        str(_extent(axis, sizes)) if all(size in sizes for size in axis) else " ".join(axis)
        for axis in form
    ]
    return f"[{', '.join(texts)}]"
