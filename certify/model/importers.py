"""Turn other people's files into model files, without rounding.

``certify.model.contents`` says which files are read, ``certify.model.layouts`` and
``certify.model.one_hidden`` in which layouts.  The configuration, with the fields of
``HookedTransformerConfig`` or our own, is looked for in this order: a JSON file named by the
caller; ``config.json`` of a folder; the file itself (metadata ``config`` of safetensors, the entry
``config`` or ``cfg`` of a PyTorch file, unless it names no field of an architecture).  Without one
it comes from the shapes and from what the caller tells.  What neither says is asked for, all of it
in one line; only this is assumed, and said:

* no layer norm, where no tensor belongs to one (``LNPre`` leaves no trace);
* causal attention in a single layer, whose last position sees every key either way.  The buffer
  ``mask`` of a ``HookedTransformer`` says nothing, since it is the same where attention is
  bidirectional; that of the older layout was always applied.

The scores are always divided by sqrt(d_head), and learned position embeddings are added to the
token embeddings.  Left out, and named, are buffers (masks, counters, whatever holds no floats),
tensors that repeat another one, and what the caller names; any other tensor is refused.  Biases
that are all zero are dropped.

The weights are taken as they are: none of TransformerLens's foldings ``fold_ln``,
``center_writing_weights``, ``center_unembed`` and ``fold_value_biases`` is applied, since a
certificate binds the bytes that it is about.  To certify a folded model, save the state dict of the
folded model.
"""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from certify.errors import BadInput, Unsupported, WrongOption
from certify.model.config import MLP_ACTIVATIONS, Config, config_from_dict, quoted
from certify.model.contents import Array, Contents, State, read_config, read_contents
from certify.model.facts import (
    ACTIVATION,
    DIRECTION,
    DIRECTIONS,
    HEADS,
    TIED,
    VARIANCE_OFFSET,
    Fact,
    Told,
    require_told,
    with_told,
)
from certify.model.layouts import (
    LAYOUTS,
    OLDER,
    TRANSFORMER_LENS,
    Fit,
    Layout,
    fit,
    kind_of,
    ours,
    placed,
    stacked,
)
from certify.model.lens_config import names_an_architecture, translated_config
from certify.model.one_hidden import NAME as ONE_HIDDEN
from certify.model.one_hidden import TITLE as ONE_HIDDEN_TITLE
from certify.model.one_hidden import as_transformer, network_of, roles_of
from certify.model.tensors import (
    Tensor,
    hidden_size,
    optional_shapes,
    require_tensors,
    required_shapes,
)

LAYOUT_NAMES = (*(layout.name for layout in LAYOUTS), ONE_HIDDEN)

_FLOATS = ("float64", "float32", "float16")
_BUFFER = re.compile(r"(?:.*\.)?(?:mask|IGNORE|causal_mask|masked_bias)")
_WRAPPERS = ("module.", "_orig_mod.", "model.", "transformer.", "net.")
_REFUSED = (
    (re.compile(r"(.*\.)?rotary_(sin|cos)"), "rotary position embeddings"),
    (re.compile(r"(.*\.)?rel_pos_bias.*"), "relative position embeddings"),
    (re.compile(r".*\._W_[KV]"), "grouped key and value heads"),
    (re.compile(r".*\.mlp\.(W_gate|gate\.weight)"), "a gated MLP"),
    (re.compile(r".*\.mlp\.experts\..*"), "a mixture of experts"),
    (re.compile(r".*\.(ln1|ln2)_post\..*"), "layer norm after a layer"),
    (re.compile(r".*\.attn\.[qk]_norm\..*"), "normalised queries and keys"),
    (re.compile(r".*\.mlp\.ln\..*"), "layer norm within an MLP"),
)
_LAYER = re.compile(r"blocks\.([0-9]+)\..*")


@dataclass(frozen=True, slots=True)
class Imported:
    """A model as it was read: what ``save_model`` takes, and in words how it was read.

    ``assumed`` says why, by field of the configuration that nobody told; ``skipped`` why an entry
    of the file was left out, by its name.
    """

    tensors: dict[str, Tensor]
    config: Config
    layout: str
    notes: tuple[str, ...]
    assumed: Mapping[str, str]
    skipped: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Reading:
    """What was found in a file, before all of it is known.

    ``shapes`` holds dtype and shape of every tensor that is used; ``skipped`` says by name why an
    entry is left out; ``fields`` are those of the configuration that are known, ``assumed`` why, by
    field, those that nobody told.  ``imported`` is None while a fact is ``missing``.
    """

    layout: str | None
    title: str
    shapes: Mapping[str, tuple[str, tuple[int, ...]]]
    skipped: Mapping[str, str]
    fields: Mapping[str, object]
    assumed: Mapping[str, str]
    missing: tuple[Fact, ...]
    imported: Imported | None


@dataclass(frozen=True, slots=True)
class _Sorted:
    """The tensors of a state dict: ``weights`` as arrays of floats by their place in a layout."""

    layout: Layout | None
    places: dict[str, str]
    tensors: Mapping[str, Array]
    skipped: dict[str, str]
    masks: tuple[Array, ...]
    notes: tuple[str, ...]


def import_model(
    path: Path | str, config_file: Path | str | None = None, told: Told | None = None
) -> tuple[dict[str, Tensor], Config]:
    """Return the tensors and the configuration that a foreign file or folder holds.

    Requires: ``config_file``, if given, is a JSON file with the configuration.
    Ensures:  ``save_model`` accepts them, and every kept entry is exactly the
              entry of the file.
    Errors:   ``BadInput`` if a file is damaged or the shapes do not fit
              together; ``Unsupported`` naming what this version does not handle;
              ``WrongOption`` naming every fact that is missing.
    """
    imported = read_model(path, config_file, told)
    return imported.tensors, imported.config


def read_model(
    path: Path | str, config_file: Path | str | None = None, told: Told | None = None
) -> Imported:
    """Return the model that a foreign file or folder holds, and how it was read.

    Requires, ensures, errors: as ``import_model``.
    """
    reading = examine(path, config_file, told)
    require_told(reading.missing, str(path))
    if reading.imported is None:
        raise Unsupported(f"{path}: holds no model")
    return reading.imported


def examine(
    path: Path | str, config_file: Path | str | None = None, told: Told | None = None
) -> Reading:
    """Return what a foreign file or folder holds, as far as it is known.

    Ensures: ``imported`` is there, and as ``import_model`` promises, if nothing is ``missing``.
    Errors:  as ``import_model``, but for missing facts.
    """
    given = None if config_file is None else read_config(Path(config_file))
    contents = read_contents(Path(path))
    return examine_contents(contents, str(path), given, str(config_file), told or Told())


def examine_contents(
    contents: Contents, origin: str, given: object | None, config_origin: str, told: Told
) -> Reading:
    """Return what the contents of a file are, as far as it is known.

    Requires: ``given`` is the configuration that the caller names, None without one, and
              ``config_origin`` where it is from.
    Ensures, errors: as ``examine``.
    """
    state, choice = _chosen(contents, told, origin)
    if state is None:
        listed = {one.entry: f"{len(one.tensors)} tensors" for one in contents.states}
        return Reading(None, contents.kind, {}, listed, {}, {}, choice, None)
    sorted_ = _sorted(state, told, origin)
    if given is not None:
        return _read_state(sorted_, told, origin, given, config_origin)
    stored, notes = _stored_config(state, told)
    sorted_ = dataclasses.replace(sorted_, notes=(*sorted_.notes, *notes))
    try:
        return _read_state(sorted_, told, origin, stored, origin)
    except Unsupported as error:
        if stored is None or "config field" not in str(error):
            raise
        hint = "--skip config leaves the stored one out"
        raise Unsupported(f"{error} ({hint})") from error


def tensors_from_state_dict(
    state: Mapping[str, Tensor], origin: str, config: Config | None = None
) -> tuple[dict[str, Tensor], Config]:
    """Return tensors with the names and shapes of a model file, and their configuration.

    Requires: floating-point arrays under the names of a layout; ``config`` is None where the
              shapes are to tell.
    Errors:   as ``import_model``.
    """
    found = None if config is None else config.as_dict()
    sorted_ = _sorted(State("", state, {}), Told(), origin)
    reading = _read_state(sorted_, Told(), origin, found, origin)
    require_told(reading.missing, origin)
    if reading.imported is None:
        raise Unsupported(f"{origin}: holds no model")
    return reading.imported.tensors, reading.imported.config


# --- which state dict, which layout ------------------------------------------------------------


def _chosen(contents: Contents, told: Told, origin: str) -> tuple[State | None, tuple[Fact, ...]]:
    """Return the state dict that is meant, or what has to be told to know it."""
    if told.entry is not None:
        named = [state for state in contents.states if state.entry == told.entry]
        if not named:
            raise WrongOption(
                f"{origin}: no entry {quoted(told.entry)} with tensors (there is"
                f" {_listed([state.entry for state in contents.states])})"
            )
        return named[0], ()
    if len(contents.states) == 1:
        return contents.states[0], ()
    likely = [state for state in contents.states if _is_recognised(state)]
    if len(likely) == 1:
        return likely[0], ()
    if not likely:
        entries = _listed([state.entry for state in contents.states])
        raise Unsupported(
            f"{origin}: holds no model of a known layout: {contents.kind}, tensors in {entries}"
        )
    entries = _listed([state.entry for state in likely])
    choice = Fact(f"which of {len(likely)} state dicts", f"--entry, one of {entries}",
                  f"--entry {likely[-1].entry}")  # fmt: skip
    return None, (choice,)


def _listed(names: list[str]) -> str:
    """Return names as text, only some of many."""
    texts = [quoted(name) for name in names]
    return ", ".join(texts if len(texts) <= 8 else [*texts[:4], "...", *texts[-2:]])


def _is_recognised(state: State) -> bool:
    """Return whether the names of a state dict are those of a layout."""
    names = _unwrapped(state.tensors)[0]
    return bool(roles_of(names)) or any(
        {"embed.W_E", "unembed.W_U"} & set(placed(layout, names).values()) for layout in LAYOUTS
    )


def _unwrapped(tensors: Mapping[str, Array]) -> tuple[dict[str, str], str]:
    """Return the names without what a wrapper puts before all of them, each with its own name."""
    names = {name: name for name in tensors}
    taken = ""
    while True:
        wrapper = next(
            (one for one in _WRAPPERS if names and all(name.startswith(one) for name in names)), ""
        )
        if not wrapper:
            return names, taken
        names = {name.removeprefix(wrapper): whole for name, whole in names.items()}
        taken += wrapper


def _sorted(state: State, told: Told, origin: str) -> _Sorted:
    """Return the tensors of a state dict, told apart into weights and what is left out.

    Errors: ``Unsupported`` for a tensor that means an architecture that is not supported;
            ``BadInput`` for one that stands for nothing; ``WrongOption`` for a name to skip that
            is not there.
    """
    own_names, wrapper = _unwrapped(state.tensors)
    notes = [f"names without {wrapper!r}"] if wrapper else []
    if state.entry:
        notes.append(f"the entry {quoted(state.entry)}")
    skipped = dict(state.others)
    for name in told.skip:
        if name not in (*state.tensors, *state.others, "config"):
            raise WrongOption(f"{origin}: there is no entry {quoted(name)} to skip")
    tensors: dict[str, Array] = {}
    for name, whole in own_names.items():
        if whole in told.skip:
            skipped[whole] = "as told"
        else:
            tensors[name] = state.tensors[whole]
    masks = tuple(tensors[name] for name in tensors if re.fullmatch(r"(?:.*\.)?mask", name))
    layout, places = _recognised(tensors, told, origin)
    for name in [name for name in tensors if name not in places]:
        reason = _left_out(name, tensors, places, origin)
        skipped[own_names[name]] = reason
        del tensors[name]
    for name in places:
        _require_floating(tensors[name], name, origin)
    return _Sorted(layout, places, tensors, skipped, masks, tuple(notes))


def _recognised(
    tensors: Mapping[str, Array], told: Told, origin: str
) -> tuple[Layout | None, dict[str, str]]:
    """Return the layout whose names these are, None for one hidden layer, and what they stand for.

    Of two layouts with the same names the first is returned.
    """
    hidden = roles_of(tensors)
    if told.layout == ONE_HIDDEN or (hidden and told.layout is None):
        if not hidden:
            raise BadInput(f"{origin}: holds no two tables of embeddings, as {told.layout} has")
        return None, hidden
    wanted = [one for one in LAYOUTS if told.layout in (None, one.name)]
    places = [placed(layout, tensors) for layout in wanted]
    best = max(range(len(wanted)), key=lambda number: len(places[number]))
    return wanted[best], places[best]


def _left_out(
    name: str, tensors: Mapping[str, Array], places: Mapping[str, str], origin: str
) -> str:
    """Return why a tensor that has no place is left out.

    Errors: ``Unsupported`` or ``BadInput`` where there is no reason.
    """
    for pattern, what in _REFUSED:
        if pattern.fullmatch(name):
            raise Unsupported(f"{origin}: tensor {name} means {what}, which is not supported")
    tensor = tensors[name]
    if _BUFFER.fullmatch(name):
        return "a buffer"
    if tensor.dtype.kind in "iub":
        return f"a buffer of {tensor.dtype.name}"
    for other in places:
        if _repeats(tensor, tensors[other]):
            return f"the same as {other}"
    if not places:
        raise Unsupported(
            f"{origin}: no known layout: tensors {_listed(sorted(tensors))} (known are"
            f" {', '.join(LAYOUT_NAMES)})"
        )
    raise BadInput(
        f"{origin}: tensor {quoted(name)} is not part of this architecture (--skip NAME leaves it"
        " out)"
    )


def _repeats(tensor: Array, other: Array) -> bool:
    """Return whether a tensor that is not constant equals another one."""
    return (
        tensor.shape == other.shape
        and tensor.dtype == other.dtype
        and tensor.size > 1
        and bool(np.array_equal(tensor, other))
        and not bool(np.all(tensor == tensor.flat[0]))
    )


def _require_floating(tensor: Array, name: str, origin: str) -> None:
    """Refuse a weight that is not of float64, float32 or float16."""
    if tensor.dtype.name not in _FLOATS:
        raise Unsupported(
            f"{origin}: tensor {quoted(name)} has dtype {tensor.dtype.name},"
            " only float64, float32, float16 and bfloat16 are supported"
        )


def _stored_config(state: State, told: Told) -> tuple[object | None, tuple[str, ...]]:
    """Return the configuration beside a state dict, None if it is none, and what to say of it."""
    if state.config is None or "config" in told.skip:
        return None, ()
    if isinstance(state.config, dict) and not names_an_architecture(state.config):
        return None, ("the config in the file names no field of an architecture: not used",)
    return state.config, ()


# --- reading -------------------------------------------------------------------------------------


def _read_state(
    sorted_: _Sorted, told: Told, origin: str, given: object | None, config_origin: str
) -> Reading:
    """Return what sorted tensors are, with a configuration where there is one."""
    if sorted_.layout is None:
        return _read_one_hidden(sorted_, told, origin, given)
    config = None
    if given is not None:
        config = translated_config(
            with_told(given, told, config_origin) if isinstance(given, dict) else given,
            config_origin,
        )
    n_heads = told.heads if config is None else config.n_heads
    weights = stacked(sorted_.places, sorted_.tensors, origin)
    fitting, choice = _fitted(sorted_.layout, weights, n_heads, told)
    layout = fitting.layout
    missing = list(choice)
    if not choice:
        if fitting.misfits:
            raise BadInput(f"{origin}: {fitting.misfits[0]}")
        if fitting.heads_open and any(".attn.W_Q" in place for place in weights):
            missing.append(HEADS)
    weights, tied = _with_unembedding(weights, layout, told, origin)
    missing += tied
    notes = [*sorted_.notes, layout.title]
    if told.tied_unembed:
        fitting = fit(layout, weights, n_heads)
        notes.append("unembedding the embedding transposed, as told")
    assumed: dict[str, str] = {}
    if config is None:
        _require_sizes(weights, origin)
        fields, open_facts, assumed = _from_shapes(layout, weights, sorted_, fitting, told, origin)
        missing += open_facts
    else:
        fields = dict(config.as_dict())
    shapes = {name: (one.dtype.name, one.shape) for name, one in sorted_.tensors.items()}
    reading = Reading(
        layout.name,
        layout.title,
        shapes,
        sorted_.skipped,
        fields,
        assumed,
        tuple(missing),
        None,
    )
    if {HEADS, TIED, *choice} & set(missing):
        return reading
    tensors = {
        place: ours(layout, place, tensor, fitting.sizes) for place, tensor in weights.items()
    }
    # What is wrong whatever the missing facts are is said first.
    config = config or config_from_dict(_filled(fields), origin)
    require_tensors(tensors, config, origin)
    if missing:
        return reading
    tensors, config, cut = _cut(tensors, config, told, origin)
    imported = Imported(
        _without_zero_biases(tensors, config),
        config,
        layout.name,
        (*notes, *cut),
        assumed,
        sorted_.skipped,
    )
    return dataclasses.replace(reading, fields=config.as_dict(), imported=imported)


def _filled(fields: Mapping[str, object]) -> dict[str, object]:
    """Return the fields with some value for each that is not known."""
    usual: dict[str, object] = {"attention_dir": DIRECTIONS[0], "act_fn": MLP_ACTIVATIONS[0]}
    if fields["normalization_type"] is not None:
        usual["eps"] = (0.0).hex()
    return {**usual, **fields}


def _fitted(
    layout: Layout, weights: Mapping[str, Array], n_heads: int | None, told: Told
) -> tuple[Fit, tuple[Fact, ...]]:
    """Return how the tensors fit the layout, or the one with the same names that they fit better;
    and what has to be told where they fit both.
    """
    rivals = (
        (TRANSFORMER_LENS, OLDER) if layout is TRANSFORMER_LENS and not told.layout else (layout,)
    )
    fits = sorted(
        (fit(rival, weights, n_heads) for rival in rivals),
        key=lambda one: len(one.misfits),
    )
    if len(fits) > 1 and not fits[0].misfits and not fits[1].misfits:
        names = "|".join(one.layout.name for one in fits)
        what = "which way its square matrices are stored"
        return fits[0], (Fact(what, f"--layout {names}", f"--layout {fits[0].layout.name}"),)
    return fits[0], ()


def _with_unembedding(
    weights: dict[str, Array], layout: Layout, told: Told, origin: str
) -> tuple[dict[str, Array], list[Fact]]:
    """Return the tensors with the unembedding that is tied to the embedding, where that is told."""
    there = {"unembed.W_U", "head.W_1"} & set(weights)
    if there and told.tied_unembed:
        raise WrongOption(f"{origin}: --tied-unembed, but the file holds {min(there)}")
    if there or "embed.W_E" not in weights:
        return weights, []
    if not told.tied_unembed:
        return weights, [TIED]
    stored_by_token = layout.forms["embed.W_E"][0][0] == ("d_vocab",)
    to_answers = layout.forms["unembed.W_U"][0][0] == ("d_vocab_out",)
    embedding = weights["embed.W_E"]
    if embedding.ndim != 2:
        return weights, []
    tied = embedding if stored_by_token == to_answers else embedding.T
    return {**weights, "unembed.W_U": tied}, []


def _require_sizes(weights: Mapping[str, Array], origin: str) -> None:
    """Refuse a state dict that lacks a tensor from which the sizes are read."""
    smallest = Config(d_vocab=1, d_vocab_out=1, n_ctx=1, d_model=1, d_head=1)
    for name in required_shapes(smallest):
        if name not in weights and name != "unembed.W_U":
            raise BadInput(f"{origin}: tensor {name} is missing")


def _from_shapes(
    layout: Layout,
    weights: Mapping[str, Array],
    sorted_: _Sorted,
    fitting: Fit,
    told: Told,
    origin: str,
) -> tuple[dict[str, object], list[Fact], dict[str, str]]:
    """Return the fields of a configuration that are known, the facts that are missing, and why,
    by field, what was assumed.
    """
    if "head.W_1" in weights:
        raise Unsupported(
            f"{origin}: tensor head.W_1 means a pooled readout, which needs a configuration"
            " (--config FILE, or stored in the file)"
        )
    missing: list[Fact] = []
    assumed: dict[str, str] = {}
    numbers = [int(matched[1]) for name in weights if (matched := _LAYER.fullmatch(name))]
    n_layers = 1 + max(numbers)
    fields: dict[str, object] = {
        name: fitting.sizes.get(name)
        for name in ("d_vocab", "d_vocab_out", "n_ctx", "d_model", "d_head", "n_heads")
    }
    fields = {name: size for name, size in fields.items() if size is not None}
    fields |= {"n_layers": n_layers, "positional_embedding_type": "standard"}
    _require_agrees("--heads", told.heads, fields.get("n_heads"), origin)
    fields["attn_only"] = not any(kind_of(name).startswith("mlp") for name in weights)
    if fields["attn_only"]:
        _require_unused("--act", told.act, "no MLP", origin)
        fields["act_fn"] = None
    else:
        fields["d_mlp"] = fitting.sizes.get("d_mlp")
        if told.act is None:
            missing.append(ACTIVATION)
        else:
            fields["act_fn"] = told.act
    normalization = _normalization(weights, told, origin)
    fields["normalization_type"] = normalization
    if normalization is None:
        _require_unused("--eps", told.eps, "no layer norm (--normalization)", origin)
        if told.normalization is None:
            assumed["normalization_type"] = "LNPre leaves no trace"
    elif told.eps is None:
        missing.append(VARIANCE_OFFSET)
    else:
        fields["eps"] = told.eps.hex()
    direction = told.attention_dir or _masked(layout, sorted_.masks)
    if direction is None and (n_layers > 1 or told.positions is not None):
        missing.append(DIRECTION)
    elif direction is None:
        assumed["attention_dir"] = "the last position sees every key either way"
        fields["attention_dir"] = "causal"
    else:
        fields["attention_dir"] = direction
    if told.attention_mix not in (None, 1.0):
        fields["attention_mix"] = float(told.attention_mix or 0.0).hex()
    return fields, missing, assumed


def _normalization(weights: Mapping[str, Array], told: Told, origin: str) -> str | None:
    """Return the kind of layer norm that the tensors and the caller say."""
    norms = [name for name in weights if re.search(r"(^|\.)ln(1|2|_final)\.[wb]$", name)]
    if norms and told.normalization in ("none", "LNPre"):
        raise WrongOption(
            f"{origin}: --normalization {told.normalization}, but the file holds {norms[0]}"
        )
    if norms:
        lone = [name for name in norms if f"{name[:-1]}b" not in weights]
        if lone:
            raise Unsupported(
                f"{origin}: {lone[0]} has no bias beside it, which means a root mean square norm;"
                " supported are LN and LNPre"
            )
        return "LN"
    return None if told.normalization in (None, "none") else told.normalization


def _masked(layout: Layout, masks: tuple[Array, ...]) -> str | None:
    """Return the direction of attention that masks of the older layout say, None if none does."""
    if layout is not OLDER or not masks:
        return None
    square = [mask for mask in masks if mask.ndim == 2 and mask.shape[0] == mask.shape[1] > 1]
    if square and all(np.array_equal(mask != 0, np.tri(len(mask), dtype=bool)) for mask in square):
        return "causal"
    if square and all(np.all(mask != 0) for mask in square):
        return "bidirectional"
    return None


def _require_agrees(option: str, told: int | None, found: object, origin: str) -> None:
    """Refuse an option that contradicts the shapes."""
    if told is not None and found is not None and told != found:
        raise WrongOption(f"{origin}: {option} {told}, but the shapes say {found}")


def _require_unused(option: str, told: object, why: str, origin: str) -> None:
    """Refuse an option that means nothing for this file."""
    if told is not None:
        raise WrongOption(f"{origin}: {option} says nothing here: the model has {why}")


def _cut(
    tensors: dict[str, Tensor], config: Config, told: Told, origin: str
) -> tuple[dict[str, Tensor], Config, tuple[str, ...]]:
    """Return the model on its first positions, where the caller wants fewer than there are.

    Errors: ``WrongOption`` if that would be another model: positions past the last one that is
            kept are seen by the others, or are pooled, or there are not so many.
    """
    if told.positions is None or told.positions == config.n_ctx:
        return tensors, config, ()
    if told.positions > config.n_ctx:
        raise WrongOption(
            f"{origin}: --positions {told.positions}, but there are {config.n_ctx} positions"
        )
    if config.attention_dir != "causal" or config.pooled:
        why = "are pooled" if config.pooled else "are seen by the first where attention is"
        raise WrongOption(
            f"{origin}: --positions {told.positions} would be another model: the positions past it"
            f" {why}{'' if config.pooled else ' bidirectional'}"
        )
    kept = tensors | {"pos_embed.W_pos": tensors["pos_embed.W_pos"][: told.positions]}
    note = f"the first {told.positions} of {config.n_ctx} positions"
    return kept, dataclasses.replace(config, n_ctx=told.positions), (note,)


def _without_zero_biases(tensors: dict[str, Tensor], config: Config) -> dict[str, Tensor]:
    """Return the tensors but for biases that are all zero."""
    optional = optional_shapes(config, hidden_size(tensors))
    return {
        name: tensor
        for name, tensor in tensors.items()
        if name not in optional or bool(np.any(tensor))
    }


def _read_one_hidden(sorted_: _Sorted, told: Told, origin: str, given: object | None) -> Reading:
    """Return a network with one hidden layer, written as a transformer."""
    unused = {
        "--normalization": told.normalization if told.normalization != "none" else None,
        "--eps": told.eps,
        "--heads": told.heads,
        "--attention-dir": told.attention_dir,
        "--attention-mix": told.attention_mix,
        "--positions": told.positions,
        "--tied-unembed": told.tied_unembed or None,
    }
    for option, value in unused.items():
        _require_unused(option, value, "one hidden layer and no attention", origin)
    if given is not None:
        raise WrongOption(
            f"{origin}: a configuration says nothing of a network with one hidden layer: leave it"
            " out (--skip config)"
        )
    network = network_of(sorted_.places, sorted_.tensors, origin)
    shapes = {name: (one.dtype.name, one.shape) for name, one in sorted_.tensors.items()}
    neurons, answers = network.U.shape
    fields: dict[str, object] = {
        "d_vocab": len(network.E_x),
        "d_mlp": neurons,
        "d_vocab_out": answers,
        "n_ctx": 2,
    }
    reading = Reading(
        ONE_HIDDEN, ONE_HIDDEN_TITLE, shapes, sorted_.skipped, fields, {}, (ACTIVATION,), None
    )
    if told.act is None:
        return reading
    tensors, config = as_transformer(network, told.act, origin)
    require_tensors(tensors, config, origin)
    form = "added" if network.W is None else "beside each other"
    notes = (
        *sorted_.notes,
        f"{ONE_HIDDEN_TITLE}, the two embeddings {form}",
        "re-expressed exactly as one layer of attention with all weights 1",
    )
    imported = Imported(
        _without_zero_biases(tensors, config), config, ONE_HIDDEN, notes, {}, sorted_.skipped
    )
    return dataclasses.replace(reading, fields=config.as_dict(), missing=(), imported=imported)
