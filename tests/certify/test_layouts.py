"""Every layout is read exactly, from names and shapes; what they leave open is asked for."""

import dataclasses
import json
from pathlib import Path
from typing import Any

import foreign
import numpy as np
import pytest
from safetensors.numpy import save_file
from small_models import general_config, random_tensors, write_npz

from certify.errors import BadInput, CertifyError, Unsupported, WrongOption
from certify.model.config import Config
from certify.model.facts import Told
from certify.model.importers import read_model
from certify.model.tensors import Tensor

MLP = general_config()
NORMED = dataclasses.replace(
    MLP, n_layers=2, normalization_type="LN", eps=(1e-5).hex(), attention_dir="bidirectional"
)
ATTENTION_ONLY = dataclasses.replace(MLP, attn_only=True, act_fn=None, d_mlp=None)
WIDE_HEADS = dataclasses.replace(MLP, d_head=7, n_heads=3)


def told_of(config: Config, layout: str) -> Told:
    """Return what a file in a layout does not say of a model."""
    fused = layout == "transformer-lens-4"
    return Told(
        act=config.act_fn,
        eps=None if config.eps is None else float.fromhex(config.eps),
        heads=config.n_heads if fused else None,
        attention_dir=config.attention_dir if config.n_layers > 1 else None,
    )


def require_same(found: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    """Assert that two models have the same tensors, bit by bit."""
    assert set(found) == set(expected)
    for name, tensor in expected.items():
        assert found[name].dtype == tensor.dtype
        assert np.array_equal(found[name], tensor), name


@pytest.mark.parametrize("config", [MLP, NORMED, ATTENTION_ONLY, WIDE_HEADS])
@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("layout", list(foreign.LAYOUTS))
def test_every_layout_is_read_exactly(
    tmp_path: Path, layout: str, biases: bool, config: Config
) -> None:
    expected = random_tensors(config, biases=biases)
    path = write_npz(tmp_path / "state.npz", foreign.LAYOUTS[layout](expected))
    imported = read_model(path, None, told_of(config, layout))
    assert imported.layout == layout
    assert imported.config == config
    require_same(imported.tensors, expected)


@pytest.mark.parametrize("layout", list(foreign.LAYOUTS))
def test_a_configuration_says_what_shapes_do_not(tmp_path: Path, layout: str) -> None:
    expected = random_tensors(NORMED)
    state = foreign.LAYOUTS[layout](expected)
    save_file(
        {name: np.ascontiguousarray(tensor) for name, tensor in state.items()},
        tmp_path / "state.safetensors",
        {"config": NORMED.canonical_json()},
    )
    imported = read_model(tmp_path / "state.safetensors")
    assert (imported.layout, imported.config, imported.assumed) == (layout, NORMED, {})
    require_same(imported.tensors, expected)


def test_all_that_is_missing_is_named_in_one_line(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "state.npz", foreign.bridge(random_tensors(NORMED)))
    with pytest.raises(WrongOption) as question:
        read_model(path)
    assert question.value.exit_code == 2
    assert str(question.value) == (
        f"{path}: the file does not say: the number of heads (--heads H); the activation of the"
        " MLP (--act relu|gelu_new|silu); what layer norm adds to the variance (--eps E, often"
        " 1e-5); which keys a position sees (--attention-dir causal|bidirectional)"
    )


def test_square_matrices_need_a_layout(tmp_path: Path) -> None:
    config = Config(d_vocab=4, d_vocab_out=4, n_ctx=2, d_model=4, d_head=4)
    expected = random_tensors(config)
    state = {name: tensor[0] if tensor.ndim == 3 else tensor for name, tensor in expected.items()}
    turned = {name: t if "pos" in name or "W_U" in name else t.T for name, t in state.items()}
    for layout, stored in (("transformer-lens", state), ("older", turned)):
        path = write_npz(tmp_path / "state.npz", stored)
        with pytest.raises(WrongOption) as question:
            read_model(path)
        assert str(question.value) == (
            f"{path}: the file does not say: which way its square matrices are stored (--layout"
            " transformer-lens|older)"
        )
        imported = read_model(path, None, Told(layout=layout))
        require_same(imported.tensors, expected)


def test_one_other_size_tells_the_orientation(tmp_path: Path) -> None:
    config = Config(d_vocab=5, d_vocab_out=4, n_ctx=2, d_model=4, d_head=2, n_heads=2)
    expected = random_tensors(config)
    for layout in ("transformer-lens", "older"):
        path = write_npz(tmp_path / "state.npz", foreign.LAYOUTS[layout](expected))
        assert read_model(path).layout == layout


@pytest.mark.parametrize(
    ("mask", "direction"),
    [(np.tri(3), "causal"), (np.ones((3, 3)), "bidirectional"), (np.tri(3, dtype=bool), "causal")],
)
def test_the_mask_of_the_older_layout_tells_the_direction(
    tmp_path: Path, mask: np.ndarray, direction: str
) -> None:
    masked = {"blocks.0.attn.mask": mask, "blocks.1.attn.mask": mask}
    config = dataclasses.replace(MLP, n_layers=2)
    path = write_npz(tmp_path / "state.npz", foreign.older(random_tensors(config)) | masked)
    imported = read_model(path, None, Told(act="relu"))
    assert imported.config.attention_dir == direction
    assert imported.skipped == dict.fromkeys(masked, "a buffer")
    assert imported.assumed == {"normalization_type": "LNPre leaves no trace"}


def test_the_mask_of_transformer_lens_tells_nothing(tmp_path: Path) -> None:
    # Version 2.18 stores the same lower triangle where attention is bidirectional, 3.9 an empty
    # array.
    config = dataclasses.replace(MLP, n_layers=2)
    for mask in (np.tri(3, dtype=bool), np.ones((0, 0), dtype=bool)):
        masked = {f"blocks.{layer}.attn.mask": mask for layer in range(2)}
        path = write_npz(tmp_path / "state.npz", random_tensors(config) | masked)
        with pytest.raises(WrongOption, match="which keys a position sees"):
            read_model(path, None, Told(act="relu"))


def test_what_is_assumed_of_one_layer_is_said(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "state.npz", random_tensors(MLP))
    imported = read_model(path, None, Told(act="relu"))
    assert imported.assumed == {
        "normalization_type": "LNPre leaves no trace",
        "attention_dir": "the last position sees every key either way",
    }
    said = Told(act="relu", normalization="none", attention_dir="causal")
    assert read_model(path, None, said).assumed == {}


def test_options_are_fields_of_the_configuration(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "state.npz", random_tensors(MLP))
    told = Told(
        act="silu",
        normalization="LNPre",
        eps=0.25,
        attention_dir="bidirectional",
        attention_mix=0.5,
        heads=2,
    )
    assert read_model(path, None, told).config == dataclasses.replace(
        MLP,
        act_fn="silu",
        normalization_type="LNPre",
        eps=(0.25).hex(),
        attention_dir="bidirectional",
        attention_mix=(0.5).hex(),
    )
    assert read_model(path, None, Told(act="relu", attention_mix=1.0)).config == MLP


@pytest.mark.parametrize("dtype", ["float16", "float64"])
def test_precision_is_kept(tmp_path: Path, dtype: str) -> None:
    expected = {name: tensor.astype(dtype) for name, tensor in random_tensors(MLP).items()}
    path = write_npz(tmp_path / "state.npz", foreign.heads(expected))
    require_same(read_model(path, None, Told(act="relu")).tensors, expected)


# --- left out -------------------------------------------------------------------------------------


def test_buffers_and_repeated_tensors_are_named_and_left_out(tmp_path: Path) -> None:
    expected = random_tensors(MLP)
    beside = {
        "steps": np.array(7),
        "blocks.0.attn.IGNORE": np.array(-1e5, dtype=np.float32),
        "x_embed": expected["embed.W_E"],
    }
    path = write_npz(tmp_path / "state.npz", expected | beside)
    imported = read_model(path, None, Told(act="relu"))
    require_same(imported.tensors, expected)
    assert imported.skipped == {
        "steps": "a buffer of int64",
        "blocks.0.attn.IGNORE": "a buffer",
        "x_embed": "the same as embed.W_E",
    }


def test_other_tensors_are_refused_until_they_are_skipped(tmp_path: Path) -> None:
    expected = random_tensors(MLP)
    for stranger in (expected["embed.W_E"] * 2, np.zeros(4, dtype=np.float32)):
        path = write_npz(tmp_path / "state.npz", expected | {"stranger": stranger})
        with pytest.raises(BadInput) as refusal:
            read_model(path, None, Told(act="relu"))
        assert str(refusal.value) == (
            f'{path}: tensor "stranger" is not part of this architecture (--skip NAME leaves it'
            " out)"
        )
        imported = read_model(path, None, Told(act="relu", skip=("stranger",)))
        assert imported.skipped == {"stranger": "as told"}
        require_same(imported.tensors, expected)
    with pytest.raises(WrongOption, match='there is no entry "other" to skip'):
        read_model(path, None, Told(act="relu", skip=("other",)))


def test_what_a_wrapper_puts_before_the_names_is_taken_off(tmp_path: Path) -> None:
    expected = random_tensors(MLP)
    state = {f"_orig_mod.module.{name}": tensor for name, tensor in expected.items()}
    imported = read_model(write_npz(tmp_path / "state.npz", state), None, Told(act="relu"))
    require_same(imported.tensors, expected)
    assert "names without '_orig_mod.module.'" in imported.notes


# --- tied embeddings, positions -------------------------------------------------------------------


@pytest.mark.parametrize("layout", list(foreign.LAYOUTS))
def test_a_tied_unembedding_is_asked_for_and_copied(tmp_path: Path, layout: str) -> None:
    config = dataclasses.replace(MLP, d_vocab_out=MLP.d_vocab)
    expected = random_tensors(config)
    expected["unembed.W_U"] = np.ascontiguousarray(expected["embed.W_E"].T)
    state = foreign.LAYOUTS[layout](expected)
    whole = write_npz(tmp_path / "whole.npz", state)
    name = next(name for name in state if name.startswith("unembed"))
    path = write_npz(tmp_path / "state.npz", {n: t for n, t in state.items() if n != name})
    told = told_of(config, layout)
    with pytest.raises(WrongOption) as question:
        read_model(path, None, told)
    assert str(question.value) == (
        f"{path}: the file does not say: the unembedding, which may be the embedding transposed"
        " (--tied-unembed)"
    )
    tied = dataclasses.replace(told, tied_unembed=True)
    imported = read_model(path, None, tied)
    require_same(imported.tensors, expected)
    with pytest.raises(WrongOption, match=r"--tied-unembed, but the file holds unembed\.W_U"):
        read_model(whole, None, tied)


def test_a_longer_table_of_positions_is_cut(tmp_path: Path) -> None:
    expected = random_tensors(MLP)
    path = write_npz(tmp_path / "state.npz", expected)
    imported = read_model(path, None, Told(act="relu", attention_dir="causal", positions=2))
    assert imported.config == dataclasses.replace(MLP, n_ctx=2)
    cut = expected | {"pos_embed.W_pos": expected["pos_embed.W_pos"][:2]}
    require_same(imported.tensors, cut)
    assert "the first 2 of 3 positions" in imported.notes
    same = read_model(path, None, Told(act="relu", attention_dir="bidirectional", positions=3))
    assert same.config.n_ctx == 3


@pytest.mark.parametrize(
    ("told", "message"),
    [
        (Told(positions=2), "the file does not say: which keys a position sees"),
        (
            Told(positions=2, attention_dir="bidirectional"),
            "--positions 2 would be another model: the positions past it are seen by the first"
            " where attention is bidirectional",
        ),
        (Told(positions=4, attention_dir="causal"), "--positions 4, but there are 3 positions"),
    ],
)
def test_a_cut_that_would_be_another_model_is_refused(
    tmp_path: Path, told: Told, message: str
) -> None:
    path = write_npz(tmp_path / "state.npz", random_tensors(MLP))
    with pytest.raises(WrongOption) as refusal:
        read_model(path, None, dataclasses.replace(told, act="relu"))
    assert message in str(refusal.value)


def test_pooled_positions_are_not_cut(tmp_path: Path) -> None:
    config = dataclasses.replace(MLP, readout="sum-pool-mlp")
    given = tmp_path / "config.json"
    given.write_text(config.canonical_json())
    path = write_npz(tmp_path / "state.npz", random_tensors(config))
    with pytest.raises(WrongOption, match="the positions past it are pooled"):
        read_model(path, given, Told(positions=2))


# --- options that say nothing, or the contrary ----------------------------------------------------


@pytest.mark.parametrize(
    ("config", "told", "message"),
    [
        (ATTENTION_ONLY, Told(act="relu"), "--act says nothing here: the model has no MLP"),
        (MLP, Told(act="relu", eps=0.1), "--eps says nothing here: the model has no layer norm"),
        (MLP, Told(act="relu", heads=4), "--heads 4, but the shapes say 2"),
        (
            NORMED,
            Told(act="relu", normalization="LNPre"),
            "--normalization LNPre, but the file holds blocks.0.ln1.w",
        ),
        (MLP, Told(entry="best"), 'no entry "best" with tensors (there is "")'),
    ],
)
def test_options_that_do_not_fit_are_refused(
    tmp_path: Path, config: Config, told: Told, message: str
) -> None:
    path = write_npz(tmp_path / "state.npz", random_tensors(config))
    with pytest.raises(WrongOption) as refusal:
        read_model(path, None, told)
    assert str(refusal.value).startswith(f"{path}: {message}")


def test_an_option_and_a_configuration_must_agree(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "state.npz", random_tensors(NORMED))
    given = tmp_path / "config.json"
    given.write_text(NORMED.canonical_json())
    assert read_model(path, given, Told(act="relu", eps=1e-5)).config == NORMED
    for told, message in [
        (Told(act="silu"), 'has act_fn "relu", the options say "silu"'),
        (Told(eps=1e-6), f'has eps "{(1e-5).hex()}", the options say 1e-06'),
        (Told(normalization="none"), 'has normalization_type "LN", the options say null'),
    ]:
        with pytest.raises(WrongOption) as refusal:
            read_model(path, given, told)
        assert str(refusal.value) == f"{given}: the configuration {message}"
    fields = json.loads(MLP.canonical_json())
    del fields["act_fn"]
    given.write_text(json.dumps(fields))
    path = write_npz(tmp_path / "state.npz", random_tensors(MLP))
    assert read_model(path, given, Told(act="relu")).config == MLP


@pytest.mark.parametrize(
    ("layout", "change", "message"),
    [
        ("heads", {"layers.0.heads.0.W_Q.weight": None}, "are not numbered from 0 in a row"),
        ("heads", {"layers.0.heads.0.W_Q.weight": (3, 4)}, "differ in shape or dtype"),
        ("heads", {"layers.0.attn.W_O.weight": (4, 4)}, "two tensors stand for blocks.0.attn.W_O"),
        ("transformer-lens-4", {"blocks.0.attn.q.weight": (5, 4)}, "has shape [5, 4], expected"),
        ("transformer-lens-4", {"blocks.0.attn.o.weight": (4, 5)}, "has shape [4, 5], expected"),
        ("transformer-lens-4", {"blocks.0.mlp.gate.weight": (5, 4)}, "means a gated MLP"),
        ("transformer-lens-4", {"blocks.0.ln1.weight": (4,)}, "means a root mean square norm"),
        ("older", {"blocks.0.attn.W_O": (4, 6)}, "has shape [4, 6], expected [4, 4]"),
        ("older", {"blocks.0.mlp.W_in": (4, 5)}, "has shape [4, 5], expected [5, 4]"),
    ],
)
def test_damaged_layouts_are_refused_by_name(
    tmp_path: Path, layout: str, change: dict[str, Any], message: str
) -> None:
    state = foreign.LAYOUTS[layout](random_tensors(MLP))
    for name, shape in change.items():
        state.pop(name, None)
        if shape is not None:
            state[name] = np.ones(shape, dtype=np.float32)
    path = write_npz(tmp_path / "state.npz", state)
    with pytest.raises((BadInput, Unsupported)) as refusal:
        read_model(path, None, dataclasses.replace(told_of(MLP, layout)))
    assert str(refusal.value).startswith(f"{path}: ")
    assert message in str(refusal.value)


# --- training records -----------------------------------------------------------------------------


def saved(path: Path, value: Any) -> Path:
    """Write a value as PyTorch does, arrays as tensors."""
    torch = pytest.importorskip("torch")

    def turned(one: Any) -> Any:
        if isinstance(one, np.ndarray):
            return torch.from_numpy(np.array(one))
        if isinstance(one, dict):
            return {name: turned(entry) for name, entry in one.items()}
        return [turned(entry) for entry in one] if isinstance(one, list) else one

    torch.save(turned(value), path)
    return path


def test_the_state_dict_of_a_training_record_is_found(tmp_path: Path) -> None:
    expected = random_tensors(MLP)
    moments = {0: {"exp_avg": np.ones(3), "exp_avg_sq": np.ones(3)}}
    record = {
        "epoch": 3,
        "losses": [1.0, 0.5],
        "config": {"lr": 0.001, "p": 113, "weight_decay": 1.0},
        "train": {"optimizer": {"state": moments}, "indices": np.arange(5)},
        "run": {"weights": expected, "rng": [np.arange(3)]},
    }
    path = saved(tmp_path / "record.pth", record)
    imported = read_model(path, None, Told(act="relu"))
    require_same(imported.tensors, expected)
    assert imported.config == MLP
    assert 'the entry "run.weights"' in imported.notes
    assert "the config in the file names no field of an architecture: not used" in imported.notes


def test_one_of_several_state_dicts_is_asked_for(tmp_path: Path) -> None:
    first, last = random_tensors(MLP, seed=1), random_tensors(MLP, seed=2)
    path = saved(tmp_path / "record.pt", {"checkpoints": [first, last]})
    with pytest.raises(WrongOption) as question:
        read_model(path, None, Told(act="relu"))
    assert str(question.value) == (
        f"{path}: the file does not say: which of 2 state dicts (--entry, one of"
        ' "checkpoints[0]", "checkpoints[1]")'
    )
    told = Told(act="relu", entry="checkpoints[1]")
    require_same(read_model(path, None, told).tensors, last)


def test_a_record_without_a_model_is_refused(tmp_path: Path) -> None:
    path = saved(tmp_path / "record.pt", {"a": {"x": np.ones(3)}, "b": {"y": np.ones(3)}})
    with pytest.raises(Unsupported) as refusal:
        read_model(path)
    assert str(refusal.value) == (
        f"{path}: holds no model of a known layout: a PyTorch file with a dictionary of 2 (a, b),"
        ' tensors in "a", "b"'
    )


def test_a_stored_configuration_that_cannot_be_used_can_be_skipped(tmp_path: Path) -> None:
    expected = random_tensors(MLP)
    path = saved(tmp_path / "record.pt", {"model": expected, "config": {"d_model": 4, "act": "R"}})
    with pytest.raises(Unsupported) as refusal:
        read_model(path, None, Told(act="relu"))
    assert str(refusal.value) == (
        f'{path}: config field "act" is not known: leave it out if the logits do not depend on it'
        " (--skip config leaves the stored one out)"
    )
    require_same(read_model(path, None, Told(act="relu", skip=("config",))).tensors, expected)


def test_a_record_with_many_lists_is_searched_up_to_a_limit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    expected = random_tensors(MLP)
    pairs = [[a, a + 1] for a in range(50)]
    path = saved(tmp_path / "record.pt", {"data": {"pairs": pairs}, "runs": [{"model": expected}]})
    monkeypatch.setattr("certify.model.contents._MOST_CONTAINERS", 8)
    require_same(read_model(path, None, Told(act="relu")).tensors, expected)
    monkeypatch.setattr("certify.model.contents._MOST_CONTAINERS", 3)
    with pytest.raises(Unsupported, match="holds more than 3 lists and dictionaries"):
        read_model(path, None, Told(act="relu"))


def test_a_record_that_holds_itself_ends(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    record: dict[str, Any] = {"more": [1]}
    record["itself"] = [record, record, record]
    torch.save(record, tmp_path / "record.pt")
    with pytest.raises(CertifyError, match=r"without a tensor|holds more than"):
        read_model(tmp_path / "record.pt")


def test_integer_weights_and_names_for_other_heads_are_refused(tmp_path: Path) -> None:
    state = foreign.bridge(random_tensors(MLP))
    state["unembed.weight"] = state["unembed.weight"].astype(np.int32)
    path = write_npz(tmp_path / "state.npz", state)
    with pytest.raises(Unsupported, match=r'tensor "unembed\.weight" has dtype int32'):
        read_model(path, None, told_of(MLP, "transformer-lens-4"))


def test_heads_must_divide_what_is_fused(tmp_path: Path) -> None:
    path = write_npz(tmp_path / "state.npz", foreign.bridge(random_tensors(MLP)))
    with pytest.raises(BadInput) as refusal:
        read_model(path, None, Told(act="relu", heads=3))
    assert str(refusal.value) == (
        f"{path}: tensor blocks.0.attn.W_Q has shape [4, 4], which 3 heads do not divide"
    )
