"""Model files: what is written is read back exactly, and bad files are refused with the reason."""

import dataclasses
import hashlib
import json
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file
from small_models import general_config, random_tensors

from certify.errors import BadInput, CertifyError, Unsupported
from certify.model.config import Config, config_from_dict, require_one_layer
from certify.model.file import encode_model, load_model, save_model
from certify.model.tensors import optional_shapes, required_shapes

CONFIG = Config(d_vocab=3, d_vocab_out=4, n_ctx=2, d_model=5, d_head=2)


def write(path: Path, header: object, data: bytes) -> Path:
    """Write a safetensors file with any header."""
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text + data)
    return path


def split(data: bytes) -> tuple[dict[str, Any], bytes]:
    """Return the header and the tensor bytes of a safetensors file."""
    length = struct.unpack("<Q", data[:8])[0]
    return json.loads(data[8 : 8 + length]), data[8 + length :]


@pytest.mark.parametrize("biases", [False, True])
@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
def test_round_trip_is_exact(tmp_path: Path, dtype: str, biases: bool) -> None:
    tensors = {name: t.astype(dtype) for name, t in random_tensors(CONFIG, biases=biases).items()}
    path = tmp_path / "model.safetensors"
    save_model(path, tensors, CONFIG)
    model = load_model(path)
    assert model.config == CONFIG
    assert model.sha256 == hashlib.sha256(path.read_bytes()).hexdigest()
    assert set(model.tensors) == set(tensors)
    for name, tensor in tensors.items():
        assert model.tensors[name].dtype == tensor.dtype
        assert np.array_equal(model.tensors[name], tensor)
        assert not model.tensors[name].flags.writeable
    assert [p.name for p in tmp_path.iterdir()] == ["model.safetensors"]


def test_the_safetensors_library_reads_what_is_written(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    path = tmp_path / "model.safetensors"
    save_model(path, tensors, CONFIG)
    loaded = load_file(path)
    assert all(np.array_equal(loaded[name], tensor) for name, tensor in tensors.items())
    header, _ = split(path.read_bytes())
    assert header["__metadata__"] == {
        "format": "certify.model/1",
        "config": '{"act_fn":null,"attention_dir":"causal","attn_only":true,"d_head":2,'
        '"d_model":5,"d_vocab":3,'
        '"d_vocab_out":4,"n_ctx":2,"n_heads":1,"n_layers":1,"normalization_type":null,'
        '"positional_embedding_type":"standard"}',
    }


def test_bytes_do_not_depend_on_the_order_of_tensors() -> None:
    tensors = random_tensors(CONFIG)
    backwards = dict(reversed(tensors.items()))
    assert encode_model(tensors, CONFIG) == encode_model(backwards, CONFIG)


def test_absent_biases_are_zero(tmp_path: Path) -> None:
    path = tmp_path / "model.safetensors"
    save_model(path, random_tensors(CONFIG), CONFIG)
    model = load_model(path)
    for name, shape in optional_shapes(CONFIG).items():
        assert np.array_equal(model.bias(name), np.zeros(shape))


def test_bfloat16_is_widened_exactly(tmp_path: Path) -> None:
    header, _ = split(encode_model(random_tensors(CONFIG), CONFIG))
    offset = 0
    chunks: list[bytes] = []
    expected: dict[str, np.ndarray] = {}
    generator = np.random.default_rng(0)
    for name in [name for name in header if name != "__metadata__"]:
        shape = header[name]["shape"]
        sign = generator.integers(0, 2, size=shape)
        exponent = generator.integers(0, 255, size=shape)
        fraction = generator.integers(0, 128, size=shape)
        bits = (sign << 15 | exponent << 7 | fraction).astype("<u2")
        scale = np.where(exponent == 0, 0, 128) + fraction
        expected[name] = np.ldexp((1.0 - 2 * sign) * scale, np.maximum(exponent, 1) - 134)
        header[name] = {
            "dtype": "BF16",
            "shape": shape,
            "data_offsets": [offset, offset + bits.nbytes],
        }
        chunks.append(bits.tobytes())
        offset += bits.nbytes
    model = load_model(write(tmp_path / "m.safetensors", header, b"".join(chunks)))
    for name, values in expected.items():
        assert model.tensors[name].dtype == np.float32
        assert np.array_equal(model.tensor(name), values)


def change_config(field: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Return an edit of a header that sets one field of the configuration, or deletes it for
    ``...``.
    """

    def edit(header: dict[str, Any]) -> None:
        config = json.loads(header["__metadata__"]["config"])
        config[field] = value
        if value is ...:
            del config[field]
        header["__metadata__"]["config"] = json.dumps(config, sort_keys=True, separators=(",", ":"))

    return edit


def change_metadata(field: str, value: str | None) -> Callable[[dict[str, Any]], None]:
    """Return an edit of a header that sets or deletes a metadata field."""

    def edit(header: dict[str, Any]) -> None:
        header["__metadata__"][field] = value
        if value is None:
            del header["__metadata__"][field]

    return edit


def rename(old: str, new: str) -> Callable[[dict[str, Any]], None]:
    """Return an edit of a header that renames a tensor."""

    def edit(header: dict[str, Any]) -> None:
        header[new] = header.pop(old)

    return edit


def drop_metadata(header: dict[str, Any]) -> None:
    """Remove all metadata."""
    del header["__metadata__"]


def transpose(header: dict[str, Any]) -> None:
    """Swap the axes of the embedding."""
    header["embed.W_E"]["shape"] = [5, 3]


def as_integers(header: dict[str, Any]) -> None:
    """Claim that the embedding holds integers."""
    header["embed.W_E"]["dtype"] = "I32"


@pytest.mark.parametrize(
    ("edit", "failure", "message"),
    [
        (
            drop_metadata,
            Unsupported,
            "metadata field format is null, only certify.model/1 is supported",
        ),
        (
            change_metadata("format", "certify.model/2"),
            Unsupported,
            'metadata field format is "certify.model/2"',
        ),
        (change_metadata("config", None), BadInput, "metadata field config is missing"),
        (change_metadata("config", "{"), BadInput, "metadata field config is not JSON: "),
        (change_metadata("config", "[" * 100000), BadInput, "metadata field config is not JSON: "),
        (change_metadata("config", "[]"), BadInput, "metadata field config must be a JSON object"),
        (
            change_metadata("config", " " + CONFIG.canonical_json()),
            BadInput,
            "metadata field config is not canonical",
        ),
        (change_config("d_mpl", 8), Unsupported, 'config field "d_mpl" is not supported'),
        (
            change_config("d_mlp", 8),
            BadInput,
            "config field d_mlp is only allowed where attn_only is false",
        ),
        (
            change_config("eps", "0x0.0p+0"),
            BadInput,
            "config field eps is only allowed where normalization_type is not null",
        ),
        (change_config("n_ctx", ...), BadInput, "config field n_ctx is missing"),
        (
            change_config("n_ctx", 0),
            BadInput,
            "config field n_ctx must be a positive integer, not 0",
        ),
        (
            change_config("n_ctx", True),
            BadInput,
            "config field n_ctx must be a positive integer, not true",
        ),
        (
            change_config("d_head", 2.0),
            BadInput,
            "config field d_head must be a positive integer, not 2.0",
        ),
        (
            change_config("d_head", "2"),
            BadInput,
            'config field d_head must be a positive integer, not "2"',
        ),
        (change_config("n_layers", 2), BadInput, "tensor blocks.1.attn.W_Q is missing"),
        (
            change_config("n_layers", 17),
            Unsupported,
            "config field n_layers is 17, supported is at most 16",
        ),
        (
            change_config("n_heads", 4),
            BadInput,
            "tensor blocks.0.attn.W_K has shape [1, 5, 2], the config asks for [4, 5, 2]",
        ),
        (
            change_config("n_heads", 17),
            Unsupported,
            "config field n_heads is 17, supported is at most 16",
        ),
        (
            change_config("attn_only", False),
            Unsupported,
            'config field act_fn is null, supported is "relu" or "gelu_new" or "silu"',
        ),
        (
            change_config("attn_only", 1),
            Unsupported,
            "config field attn_only is 1, supported is true or false",
        ),
        (
            change_config("act_fn", "tanh"),
            Unsupported,
            'config field act_fn is "tanh", supported is null or "relu"',
        ),
        (
            change_config("normalization_type", "LN"),
            BadInput,
            "config field eps is missing, although normalization_type is not null",
        ),
        (
            change_config("normalization_type", "RMS"),
            Unsupported,
            'config field normalization_type is "RMS", supported is null or "LN" or "LNPre"',
        ),
        (
            change_config("readout", "first"),
            Unsupported,
            'config field readout is "first", supported is "last" or "sum-pool-mlp"',
        ),
        (
            change_config("readout", "all"),
            Unsupported,
            'config field readout is "all", supported is "last" or "sum-pool-mlp"',
        ),
        (
            change_config("readout", None),
            Unsupported,
            'config field readout is null, supported is "last"',
        ),
        (change_config("readout", "sum-pool-mlp"), BadInput, "tensor head.W_1 is missing"),
        (
            change_config("attention_mix", 0.5),
            BadInput,
            "config field attention_mix must be a hexadecimal float such as",
        ),
        (
            change_config("attention_mix", "0.5"),
            BadInput,
            "config field attention_mix must be a hexadecimal float such as",
        ),
        (
            change_config("attention_mix", "-0x1.0p-1"),
            BadInput,
            "config field attention_mix must be a hexadecimal float",
        ),
        (
            change_config("attention_mix", "0x1.0p-1"),
            BadInput,
            "config field attention_mix must be spelled 0x1.0000000000000p-1",
        ),
        (
            change_config("attention_mix", "0x1.8000000000000p+0"),
            Unsupported,
            "config field attention_mix is 0x1.8000000000000p+0, supported is 0 to 1",
        ),
        (
            change_config("positional_embedding_type", "rotary"),
            Unsupported,
            'config field positional_embedding_type is "rotary", supported is "standard"',
        ),
        (
            change_config("d_vocab", 4),
            BadInput,
            "tensor embed.W_E has shape [3, 5], the config asks for [4, 5]",
        ),
        (transpose, BadInput, "tensor embed.W_E has shape [5, 3], the config asks for [3, 5]"),
        (rename("embed.W_E", "embed.W_F"), BadInput, "tensor embed.W_E is missing"),
        (
            as_integers,
            Unsupported,
            'tensor "embed.W_E" has dtype I32, only F64, F32, F16 and BF16 are supported',
        ),
    ],
)
def test_bad_headers_are_refused_with_the_reason(
    tmp_path: Path,
    edit: Callable[[dict[str, Any]], None],
    failure: type[CertifyError],
    message: str,
) -> None:
    header, data = split(encode_model(random_tensors(CONFIG), CONFIG))
    edit(header)
    path = write(tmp_path / "m.safetensors", header, data)
    with pytest.raises(failure) as refusal:
        load_model(path)
    assert str(refusal.value).startswith(f"{path}: {message}")
    assert "\n" not in str(refusal.value)
    assert refusal.value.exit_code == 20


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_numbers_that_are_not_finite_are_refused(tmp_path: Path, value: float) -> None:
    tensors = random_tensors(CONFIG)
    tensors["unembed.W_U"][2, 1] = value
    path = tmp_path / "m.safetensors"
    path.write_bytes(encode_model(tensors, CONFIG))
    with pytest.raises(BadInput) as refusal:
        load_model(path)
    assert str(refusal.value) == f"{path}: tensor unembed.W_U holds NaN or infinity"


def test_unknown_tensors_are_refused(tmp_path: Path) -> None:
    tensors = random_tensors(CONFIG)
    tensors["blocks.0.mlp.W_in"] = np.zeros((5, 5), dtype=np.float32)
    path = tmp_path / "m.safetensors"
    path.write_bytes(encode_model(tensors, CONFIG))
    with pytest.raises(BadInput) as refusal:
        load_model(path)
    assert (
        str(refusal.value) == f'{path}: tensor "blocks.0.mlp.W_in" is not part of this architecture'
    )


def test_every_truncation_is_refused(tmp_path: Path) -> None:
    data = encode_model(random_tensors(CONFIG), CONFIG)
    path = tmp_path / "m.safetensors"
    for length in range(1, len(data), 7):
        path.write_bytes(data[:length])
        with pytest.raises(BadInput) as refusal:
            load_model(path)
        assert str(refusal.value).startswith(f"{path}: not a safetensors file: ")


@pytest.mark.parametrize(
    "data",
    [
        b"not a model",
        b"\xff" * 100,
        struct.pack("<Q", 1 << 62) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        b"PK\x03\x04" + b"\0" * 60,
    ],
)
def test_other_files_are_refused(tmp_path: Path, data: bytes) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(data)
    with pytest.raises(BadInput) as refusal:
        load_model(path)
    assert str(refusal.value).startswith(f"{path}: not a safetensors file: ")


def test_absurd_sizes_in_the_header_are_refused_before_the_memory_is_spent(tmp_path: Path) -> None:
    header, data = split(encode_model(random_tensors(CONFIG), CONFIG))
    header["embed.W_E"] = {
        "dtype": "F32",
        "shape": [1 << 40, 1 << 20],
        "data_offsets": [0, 1 << 62],
    }
    path = write(tmp_path / "m.safetensors", header, data)
    with pytest.raises(BadInput) as refusal:
        load_model(path)
    assert str(refusal.value).startswith(f"{path}: not a safetensors file: ")


def test_missing_empty_and_special_files_are_named(tmp_path: Path) -> None:
    empty = tmp_path / "empty.safetensors"
    empty.write_bytes(b"")
    for path, message in [
        (tmp_path / "none.safetensors", "no such file"),
        (tmp_path, "not a regular file"),
        (empty, "the file is empty"),
        (Path("/dev/null"), "not a regular file"),
        (Path("nul\0byte"), "no such file"),
        (tmp_path / ("x" * 300), "cannot be read: File name too long"),
    ]:
        with pytest.raises(BadInput) as refusal:
            load_model(path)
        assert str(refusal.value).endswith(f": {message}") or "null byte" in str(refusal.value)


def test_nothing_is_written_on_failure(tmp_path: Path) -> None:
    path = tmp_path / "m.safetensors"
    path.write_bytes(b"old")
    tensors = random_tensors(CONFIG)
    for broken, failure, message in [
        (
            tensors | {"embed.W_E": tensors["embed.W_E"] * np.float32(np.inf)},
            BadInput,
            "holds NaN or infinity",
        ),
        (
            tensors | {"embed.W_E": tensors["embed.W_E"].astype(np.longdouble)},
            Unsupported,
            "cannot be stored",
        ),
        (tensors | {"embed.W_E": tensors["embed.W_E"].T}, BadInput, "the config asks for [3, 5]"),
    ]:
        with pytest.raises(failure) as refusal, np.errstate(invalid="ignore"):
            save_model(path, broken, CONFIG)
        assert str(refusal.value).endswith(message)
    with pytest.raises(Unsupported) as refusal:
        save_model(path, tensors, dataclasses.replace(CONFIG, n_layers=17))
    assert str(refusal.value) == f"{path}: config field n_layers is 17, supported is at most 16"
    with pytest.raises(BadInput) as refusal:
        save_model(tmp_path / "none" / "m.safetensors", tensors, CONFIG)
    assert (
        str(refusal.value)
        == f"{tmp_path}/none/m.safetensors: cannot be written: No such file or directory"
    )
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]


LN: dict[str, Any] = {"normalization_type": "LN", "eps": (1e-5).hex()}


@pytest.mark.parametrize(
    ("changes", "optional"),
    [
        ({}, {"d_mlp": 5}),
        (
            {"n_layers": 16, "n_heads": 16, "act_fn": "silu", "attention_dir": "bidirectional"},
            {"d_mlp": 5},
        ),
        ({"act_fn": "gelu_new", **LN}, {"d_mlp": 5, "eps": "0x1.4f8b588e368f1p-17"}),
        (
            {"normalization_type": "LNPre", "eps": (0.0).hex(), "readout": "last"},
            {"d_mlp": 5, "eps": "0x0.0p+0", "readout": "last"},
        ),
        (
            {"attn_only": True, "d_mlp": None, "act_fn": "gelu", **LN},
            {"eps": "0x1.4f8b588e368f1p-17"},
        ),
        (
            {"attention_mix": (0.0).hex(), "readout": "last"},
            {"attention_mix": "0x0.0p+0", "d_mlp": 5, "readout": "last"},
        ),
        ({"readout": "sum-pool-mlp"}, {"d_mlp": 5, "readout": "sum-pool-mlp"}),
        (
            {"readout": "mean-pool-mlp", **LN},
            {"d_mlp": 5, "eps": "0x1.4f8b588e368f1p-17", "readout": "mean-pool-mlp"},
        ),
    ],
)
def test_every_architecture_is_written_and_read_back(
    tmp_path: Path, changes: dict[str, Any], optional: dict[str, Any]
) -> None:
    config = dataclasses.replace(general_config(), **changes)
    path = tmp_path / "m.safetensors"
    for biases in (False, True):
        tensors = random_tensors(config, biases=biases)
        save_model(path, tensors, config)
        model = load_model(path)
        assert model.config == config
        assert set(model.tensors) == set(tensors)
        assert all(np.array_equal(model.tensors[name], tensor) for name, tensor in tensors.items())
        for name in optional_shapes(config, 6):
            expected = tensors.get(name, np.zeros(optional_shapes(config, 6)[name]))
            assert np.array_equal(model.bias(name), expected)
    written = json.loads(split(path.read_bytes())[0]["__metadata__"]["config"])
    assert {
        name: value for name, value in written.items() if name not in CONFIG.as_dict()
    } == optional


def test_which_tensors_an_architecture_has() -> None:
    attention = {"blocks.0.attn.W_Q", "blocks.0.attn.W_K", "blocks.0.attn.W_V", "blocks.0.attn.W_O"}
    always = {"embed.W_E", "pos_embed.W_pos"}
    mlp = {"blocks.0.mlp.W_in", "blocks.0.mlp.W_out"}
    norms = {"blocks.0.ln1.w", "blocks.0.ln1.b", "ln_final.w", "ln_final.b"}
    general = general_config()
    assert set(required_shapes(general)) == {*always, *attention, *mlp, "unembed.W_U"}
    normalised = dataclasses.replace(general, **LN)
    with_mlp = {"blocks.0.ln2.w", "blocks.0.ln2.b"}
    assert set(required_shapes(normalised)) == {
        *always,
        *attention,
        *mlp,
        *norms,
        *with_mlp,
        "unembed.W_U",
    }
    without = dataclasses.replace(normalised, attn_only=True, d_mlp=None, readout="mean-pool-mlp")
    assert set(required_shapes(without)) == {*always, *attention, *norms, "head.W_1", "head.W_2"}
    pre = dataclasses.replace(without, normalization_type="LNPre")
    assert set(required_shapes(pre)) == {*always, *attention, "head.W_1", "head.W_2"}


@pytest.mark.parametrize(
    ("changes", "tensor", "shape", "message"),
    [
        (
            {},
            "blocks.0.mlp.W_in",
            (5, 4),
            "tensor blocks.0.mlp.W_in has shape [5, 4], the config asks for [4, 5]",
        ),
        ({}, "blocks.0.ln1.w", (4,), 'tensor "blocks.0.ln1.w" is not part of this architecture'),
        ({}, "head.W_1", (4, 6), 'tensor "head.W_1" is not part of this architecture'),
        (
            LN,
            "blocks.0.ln2.w",
            (5,),
            "tensor blocks.0.ln2.w has shape [5], the config asks for [4]",
        ),
        (
            {"readout": "sum-pool-mlp"},
            "unembed.W_U",
            (4, 3),
            'tensor "unembed.W_U" is not part of this architecture',
        ),
        (
            {"readout": "sum-pool-mlp"},
            "head.b_1",
            (7,),
            "tensor head.b_1 has shape [7], the config asks for [6]",
        ),
        (
            {"readout": "sum-pool-mlp"},
            "head.W_1",
            (24,),
            "tensor head.W_1 has shape [24], the config asks for [4, 1]",
        ),
    ],
)
def test_tensors_that_do_not_fit_are_named(
    tmp_path: Path, changes: dict[str, Any], tensor: str, shape: tuple[int, ...], message: str
) -> None:
    config = dataclasses.replace(general_config(), **changes)
    tensors = random_tensors(config) | {tensor: np.zeros(shape, dtype=np.float32)}
    with pytest.raises(BadInput) as refusal:
        save_model(tmp_path / "m.safetensors", tensors, config)
    assert str(refusal.value) == f"{tmp_path}/m.safetensors: {message}"


def test_a_head_without_hidden_neurons_is_refused(tmp_path: Path) -> None:
    config = dataclasses.replace(general_config(), readout="sum-pool-mlp")
    with pytest.raises(BadInput) as refusal:
        save_model(tmp_path / "m.safetensors", random_tensors(config, d_hidden=0), config)
    assert str(refusal.value).endswith("tensor head.W_1 has shape [4, 0], which is empty")


def test_missing_optional_fields_are_named() -> None:
    value = general_config().as_dict()
    del value["d_mlp"]
    with pytest.raises(BadInput) as refusal:
        config_from_dict(value, "here")
    assert str(refusal.value) == "here: config field d_mlp is missing, although attn_only is false"
    with pytest.raises(Unsupported) as unsupported:
        config_from_dict({**general_config().as_dict(), **LN, "eps": "0x1.0p+1024"}, "here")
    assert str(unsupported.value) == "here: config field eps is 0x1.0p+1024, supported is 0 to inf"


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"n_layers": 2}, "config field n_layers is 2, supported is 1"),
        ({"n_heads": 2}, "config field n_heads is 2, supported is 1"),
        (
            {"attn_only": False, "act_fn": "relu", "d_mlp": 3},
            "config field attn_only is false, supported is true",
        ),
        (LN, 'config field normalization_type is "LN", supported is null'),
        (
            {"readout": "sum-pool-mlp"},
            'config field readout is "sum-pool-mlp", supported is "last"',
        ),
        (
            {"attention_mix": (0.5).hex()},
            'config field attention_mix is "0x1.0000000000000p-1", supported is'
            ' "0x1.0000000000000p+0"',
        ),
    ],
)
def test_what_the_path_decomposition_does_not_cover(changes: dict[str, Any], message: str) -> None:
    with pytest.raises(Unsupported) as refusal:
        require_one_layer(dataclasses.replace(CONFIG, **changes), "m.safetensors")
    assert str(refusal.value) == f"m.safetensors: {message} (one layer, one head, attention only)"
    covered: list[dict[str, Any]] = [
        {},
        {"readout": "last"},
        {"attention_mix": (1.0).hex()},
        {"attention_dir": "bidirectional"},
    ]
    for same in covered:
        require_one_layer(dataclasses.replace(CONFIG, **same), "m.safetensors")
