"""Importing other people's files: nothing is rounded, and what is refused is named."""

import dataclasses
import io
import json
import re
import struct
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import save_file
from small_models import general_config, random_tensors, write_npz

from certify.errors import BadInput, CertifyError, Unsupported, WrongOption
from certify.model.config import Config
from certify.model.facts import Told
from certify.model.file import load_model, save_model
from certify.model.importers import import_model, tensors_from_state_dict

CONFIG = Config(d_vocab=3, d_vocab_out=4, n_ctx=2, d_model=5, d_head=6)
ATTENTION = "blocks.0.attn."


def transformer_lens_state(*, biases: bool = False) -> dict[str, np.ndarray]:
    """Return what ``HookedTransformer.state_dict`` holds: zero biases and buffers included."""
    tensors = random_tensors(CONFIG, biases=True)
    if not biases:
        tensors = {n: np.zeros_like(t) if ".b_" in n else t for n, t in tensors.items()}
    buffers = {ATTENTION + "mask": np.tri(2, dtype=bool), ATTENTION + "IGNORE": np.array(-np.inf)}
    return {**tensors, **buffers}


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("suffix", [".safetensors", ".npz", ".pt", ".pth"])
def test_state_dicts_are_imported_exactly(tmp_path: Path, suffix: str, biases: bool) -> None:
    state = transformer_lens_state(biases=biases)
    path = tmp_path / f"state{suffix}"
    if suffix == ".safetensors":
        save_file(state, path)
    elif suffix == ".npz":
        write_npz(path, state)
    else:
        torch = pytest.importorskip("torch")
        torch.save({name: torch.from_numpy(tensor) for name, tensor in state.items()}, path)
    tensors, config = import_model(path)
    assert config == CONFIG
    expected = {
        n for n in state if not n.endswith(("mask", "IGNORE")) and (biases or ".b_" not in n)
    }
    assert set(tensors) == expected
    assert all(np.array_equal(tensors[name], state[name]) for name in expected)
    assert all(tensor.dtype == np.float32 for tensor in tensors.values())
    save_model(tmp_path / "out.safetensors", tensors, config)
    assert load_model(tmp_path / "out.safetensors").config == CONFIG


def test_short_names_and_missing_head_axes(tmp_path: Path) -> None:
    state = {
        name.rpartition(".")[2]: tensor[0]
        if name.startswith(ATTENTION) and not name.endswith("b_O")
        else tensor
        for name, tensor in random_tensors(CONFIG, biases=True).items()
    }
    tensors, config = import_model(write_npz(tmp_path / "plain.npz", state))
    assert config == CONFIG
    expected = random_tensors(CONFIG, biases=True)
    assert set(tensors) == set(expected)
    assert all(np.array_equal(tensors[name], expected[name]) for name in expected)


def test_nested_state_dicts_and_bfloat16(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    state = {n: torch.from_numpy(t).to(torch.bfloat16) for n, t in random_tensors(CONFIG).items()}
    path = tmp_path / "state.pt"
    torch.save({"model": state, "epoch": 3}, path)
    tensors, _ = import_model(path)
    for name, tensor in state.items():
        assert np.array_equal(tensors[name], tensor.to(torch.float64).numpy())


def test_model_files_are_read_by_their_own_reader(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    save_model(path, random_tensors(CONFIG), CONFIG)
    tensors, config = import_model(path)
    assert config == CONFIG
    assert set(tensors) == set(random_tensors(CONFIG))


def without(name: str) -> dict[str, Any]:
    """Return a state dict that lacks one tensor."""
    return {key: tensor for key, tensor in random_tensors(CONFIG).items() if key != name}


ZEROS = np.zeros((1, 5), dtype=np.float32)
QUERY = np.zeros((5, 6), dtype=np.float32)


@pytest.mark.parametrize(
    ("state", "failure", "message"),
    [
        (
            without("") | {"blocks.1.attn.W_Q": QUERY},
            BadInput,
            "tensor blocks.1.attn.W_K is missing",
        ),
        (
            without("") | {"blocks.10.attn.W_Q": QUERY},
            BadInput,
            "tensor blocks.1.attn.W_Q is missing",
        ),
        (
            without("") | {"blocks.16.attn.W_Q": QUERY},
            Unsupported,
            "config field n_layers is 17, supported is at most 16",
        ),
        (
            without("") | {"blocks.0.mlp.W_gate": ZEROS},
            Unsupported,
            "means a gated MLP, which is not supported",
        ),
        (
            without("") | {"head.W_1": ZEROS},
            BadInput,
            "tensor head.W_1 has shape [1, 5], expected [5, 5]",
        ),
        (
            without("unembed.W_U") | {"head.W_1": ZEROS.T, "head.W_2": ZEROS[:, :1]},
            Unsupported,
            "tensor head.W_1 means a pooled readout, which needs a configuration",
        ),
        (
            without("") | {"blocks.0.ln1.w": ZEROS[0]},
            Unsupported,
            "blocks.0.ln1.w has no bias beside it, which means a root mean square norm",
        ),
        (
            without("") | {"ln_final.w": ZEROS[0], "ln_final.b": ZEROS[0]},
            BadInput,
            "tensor blocks.0.ln1.w is missing",
        ),
        (
            without("") | {"blocks.0.mlp.W_in": ZEROS.T},
            BadInput,
            "tensor blocks.0.mlp.W_out is missing",
        ),
        (
            without("") | {ATTENTION + "rotary_sin": ZEROS},
            Unsupported,
            "means rotary position embeddings",
        ),
        (
            without("") | {ATTENTION + "_W_K": ZEROS},
            Unsupported,
            "means grouped key and value heads",
        ),
        (
            without("") | {"extra": ZEROS},
            BadInput,
            'tensor "extra" is not part of this architecture',
        ),
        (without("embed.W_E"), BadInput, "tensor embed.W_E is missing"),
        (without("pos_embed.W_pos"), BadInput, "tensor pos_embed.W_pos is missing"),
        ({}, BadInput, "holds no model: a numpy archive, without a tensor"),
        ({"a": ZEROS, "b": ZEROS}, Unsupported, 'no known layout: tensors "a", "b"'),
        (
            without("")
            | {ATTENTION + f"W_{n}": np.zeros((2, 5, 6), dtype=np.float32) for n in "QKV"},
            BadInput,
            "tensor blocks.0.attn.W_O has shape [1, 6, 5], expected [2, 6, 5]",
        ),
        (
            without("") | {"embed.W_E": ZEROS[0]},
            BadInput,
            "tensor embed.W_E has shape [5], expected [d_vocab, d_model]",
        ),
        (
            without("") | {"unembed.W_U": np.zeros((5, 0), "f4")},
            BadInput,
            "tensor unembed.W_U has shape [5, 0]",
        ),
        (
            without("") | {"unembed.W_U": np.zeros((4, 4), "f4")},
            BadInput,
            "tensor unembed.W_U has shape [4, 4]",
        ),
        (
            without("") | {"unembed.W_U": np.zeros((5, 4), "i4")},
            Unsupported,
            'tensor "unembed.W_U" has dtype int32',
        ),
        (
            without("") | {"unembed.W_U": np.full((5, 4), np.nan, "f4")},
            BadInput,
            "holds NaN or infinity",
        ),
    ],
)
def test_what_is_refused_is_named(
    tmp_path: Path, state: dict[str, Any], failure: type[CertifyError], message: str
) -> None:
    path = write_npz(tmp_path / "state.npz", state)
    with pytest.raises(failure) as refusal:
        import_model(path)
    assert str(refusal.value).startswith(f"{path}: ")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_damaged_archives_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.npz"
    data = write_npz(path, random_tensors(CONFIG)).read_bytes()
    huge = io.BytesIO()
    with zipfile.ZipFile(huge, "w") as archive:
        header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1099511627776, 1048576), }\n"
        archive.writestr("W_E.npy", b"\x93NUMPY\x01\x00" + struct.pack("<H", len(header)) + header)
    pickled = io.BytesIO()
    np.savez(pickled, W_E=np.array([{}], dtype=object))
    for damaged in [data[:100], data[:-10], b"PK", b"no archive", pickled.getvalue()]:
        path.write_bytes(damaged)
        with pytest.raises(BadInput) as refusal:
            import_model(path)
        assert str(refusal.value).startswith(f"{path}: not a readable .npz archive: ")
    path.write_bytes(huge.getvalue())
    with pytest.raises((BadInput, MemoryError)):
        import_model(path)


def test_an_archive_that_unpacks_to_too_much_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("certify.model.contents.MAXIMUM_FILE_BYTES", 4096)
    path = tmp_path / "state.npz"
    np.savez_compressed(path, W_E=np.zeros(10000, dtype=np.float32))
    with pytest.raises(BadInput) as refusal:
        import_model(path)
    assert str(refusal.value) == f"{path}: 40128 bytes unpacked, the limit is 4096"


class Trap:
    """An object whose unpickling would write a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.touch, (self.mark,)


@pytest.mark.parametrize("zipped", [True, False])
def test_pytorch_files_never_run_code(tmp_path: Path, zipped: bool) -> None:
    torch = pytest.importorskip("torch")
    path, mark = tmp_path / "state.pt", tmp_path / "mark"
    for value in (Trap(mark), {"embed.W_E": torch.zeros(2, 2), "beside": Trap(mark)}):
        torch.save(value, path, _use_new_zipfile_serialization=zipped)
        with pytest.raises(Unsupported) as refusal:
            import_model(path)
        assert re.fullmatch(
            re.escape(f"{path}: holds a pickled Python object (") + r"[\w.]+"
            r"\), not only weights; it is not loaded, since that would run code: where it was"
            r" trained, run torch\.save\(model\.state_dict\(\), .*",
            str(refusal.value),
        )
        assert not mark.exists()


def test_other_pytorch_values_are_refused(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "state.pt"
    for value, message in [
        ([1.5, 2.5], "holds no model: a PyTorch file with a list of 2 (float), without a tensor"),
        (3, "holds no model: a PyTorch file with one int, without a tensor"),
        ({"embed.W_E": 3}, "holds no model: a PyTorch file with a dictionary of 1 (embed.W_E), "),
        ({"embed.W_E": torch.zeros(2, dtype=torch.int64)}, 'tensor "embed.W_E" has dtype int64'),
        ({"embed.W_E": torch.zeros(2, dtype=torch.complex64)}, 'tensor "embed.W_E" has dtype comp'),
        ({"embed.W_E": torch.zeros(2, 2).to_sparse()}, 'tensor "embed.W_E" is of a kind that is'),
    ]:
        torch.save(value, path)
        with pytest.raises(CertifyError) as refusal:
            import_model(path)
        assert str(refusal.value).startswith(f"{path}: {message}")
        assert refusal.value.exit_code == 20
    for damaged in [b"nothing", path.read_bytes()[:100]]:
        path.write_bytes(damaged)
        with pytest.raises(BadInput) as refusal:
            import_model(path)
        assert str(refusal.value).startswith(f"{path}: not a readable PyTorch file: ")
        assert "\n" not in str(refusal.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning")
def test_a_program_of_torch_is_no_state_dict(tmp_path: Path) -> None:
    torch = pytest.importorskip("torch")
    path = tmp_path / "program.pt"
    torch.jit.save(torch.jit.script(torch.nn.Linear(2, 2)), path)
    with pytest.raises(Unsupported) as refusal:
        import_model(path)
    assert str(refusal.value).startswith(f"{path}: is a TorchScript program, not weights: ")


def test_other_endings_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "state.bin"
    path.write_bytes(b"x")
    with pytest.raises(Unsupported) as refusal:
        import_model(path)
    assert str(refusal.value).startswith(f"{path}: files ending in '.bin' are not supported")


def test_head_axis_is_added_to_biases_too() -> None:
    state = random_tensors(CONFIG) | {ATTENTION + "b_Q": np.ones(6, dtype=np.float32)}
    tensors, _ = tensors_from_state_dict(state, "memory")
    assert tensors[ATTENTION + "b_Q"].shape == (1, 6)


GENERAL = [
    general_config(),
    dataclasses.replace(
        general_config(), n_layers=3, normalization_type="LN", eps=(1e-5).hex(), act_fn="gelu_new"
    ),
    dataclasses.replace(
        general_config(),
        normalization_type="LNPre",
        eps=(1e-5).hex(),
        act_fn="silu",
        readout="last",
    ),
    dataclasses.replace(
        general_config(),
        attention_dir="bidirectional",
        attention_mix=(0.5).hex(),
        readout="mean-pool-mlp",
    ),
]


def lens_fields(config: Config) -> dict[str, Any]:
    """Return a configuration as TransformerLens writes it: numbers, and fields without effect."""
    found: dict[str, Any] = {
        **config.as_dict(),
        "model_name": "custom",
        "device": "cpu",
        "use_attn_scale": True,
    }
    return {**found, "eps": config.variance_offset or 1e-5}


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("config", GENERAL)
def test_general_models_are_imported_exactly_from_every_kind_of_file(
    tmp_path: Path, config: Config, biases: bool
) -> None:
    torch = pytest.importorskip("torch")
    expected = random_tensors(config, biases=biases)
    buffers = {ATTENTION + "mask": np.tri(3, dtype=bool), "blocks.2.attn.IGNORE": np.array(-np.inf)}
    state = {**expected, **buffers}
    fields = lens_fields(config)
    given = tmp_path / "given.json"
    given.write_text(json.dumps(fields, indent=2))
    folder = tmp_path / "folder"
    folder.mkdir()
    save_file(state, folder / "model.safetensors")
    (folder / "config.json").write_text(json.dumps(fields))
    save_file(state, tmp_path / "stored.safetensors", {"config": json.dumps(fields)})
    in_torch = {name: torch.from_numpy(tensor) for name, tensor in state.items()}
    torch.save(
        {"state_dict": in_torch, "cfg": {**fields, "dtype": torch.float32}}, tmp_path / "stored.pt"
    )
    torch.save({"config": fields, **in_torch}, tmp_path / "beside.pt")
    for source, config_file in [
        (write_npz(tmp_path / "state.npz", state), given),
        (folder, None),
        (folder, given),
        (tmp_path / "stored.safetensors", None),
        (tmp_path / "stored.pt", None),
        (tmp_path / "beside.pt", None),
    ]:
        tensors, found = import_model(source, config_file)
        assert found == config
        assert set(tensors) == set(expected)
        assert all(np.array_equal(tensors[name], tensor) for name, tensor in expected.items())


def test_several_layers_and_heads_are_told_from_the_shapes(tmp_path: Path) -> None:
    config = dataclasses.replace(CONFIG, n_layers=11, n_heads=2)
    expected = random_tensors(config)
    path = write_npz(tmp_path / "state.npz", expected)
    with pytest.raises(WrongOption) as question:
        import_model(path)
    assert str(question.value) == (
        f"{path}: the file does not say: which keys a position sees (--attention-dir"
        " causal|bidirectional)"
    )
    tensors, found = import_model(path, told=Told(attention_dir="causal"))
    assert found == config
    assert set(tensors) == set(expected)


def test_biases_of_zero_are_dropped_but_layer_norm_is_kept(tmp_path: Path) -> None:
    config = dataclasses.replace(GENERAL[1], readout="sum-pool-mlp")
    state = {
        name: np.zeros_like(tensor) for name, tensor in random_tensors(config, biases=True).items()
    }
    given = tmp_path / "config.json"
    given.write_text(config.canonical_json())
    tensors, _ = import_model(write_npz(tmp_path / "state.npz", state), given)
    assert set(tensors) == set(random_tensors(config))


def test_short_names_with_an_mlp_and_a_head(tmp_path: Path) -> None:
    config = dataclasses.replace(general_config(), n_heads=1, readout="sum-pool-mlp")
    expected = random_tensors(config, biases=True)
    state = {name.rpartition(".")[2]: tensor for name, tensor in expected.items()}
    state = {
        name: tensor[0] if name in {"W_Q", "W_K", "W_V", "W_O", "b_Q", "b_K", "b_V"} else tensor
        for name, tensor in state.items()
    }
    given = tmp_path / "config.json"
    given.write_text(config.canonical_json())
    tensors, found = import_model(write_npz(tmp_path / "state.npz", state), given)
    assert found == config
    assert set(tensors) == set(expected)
    assert all(np.array_equal(tensors[name], tensor) for name, tensor in expected.items())


def test_configurations_that_cannot_be_used_are_named(tmp_path: Path) -> None:
    state = write_npz(tmp_path / "state.npz", random_tensors(general_config()))
    given = tmp_path / "config.json"
    for text, failure, message in [
        ("{", BadInput, f"{given}: not JSON: "),
        ("[" * 100000, BadInput, f"{given}: not JSON: "),
        ("[]", BadInput, f"{given}: the config must be a JSON object"),
        (
            json.dumps({**lens_fields(general_config()), "gated_mlp": True}),
            Unsupported,
            f"{given}: config field gated_mlp is true",
        ),
        (
            json.dumps({**lens_fields(general_config()), "d_mlp": 6}),
            BadInput,
            f"{state}: tensor blocks.0.mlp.W_in has shape [4, 5], the config asks for [4, 6]",
        ),
    ]:
        given.write_text(text)
        with pytest.raises(failure) as refusal:
            import_model(state, given)
        assert str(refusal.value).startswith(message)
        assert "\n" not in str(refusal.value)
    folder = tmp_path / "folder"
    folder.mkdir()
    with pytest.raises(BadInput) as missing:
        import_model(folder)
    assert str(missing.value) == f"{folder}/config.json: no such file"
    (folder / "config.json").write_text(general_config().canonical_json())
    with pytest.raises(BadInput) as missing:
        import_model(folder)
    assert str(missing.value) == f"{folder}/model.safetensors: no such file"
    save_file(random_tensors(general_config()), tmp_path / "m.safetensors", {"config": "{"})
    with pytest.raises(BadInput) as damaged:
        import_model(tmp_path / "m.safetensors")
    assert str(damaged.value).startswith(
        f"{tmp_path}/m.safetensors: metadata field config is not JSON: "
    )
