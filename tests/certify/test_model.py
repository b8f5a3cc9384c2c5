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
from small_models import random_tensors

from certify.errors import BadInput, CertifyError, Unsupported
from certify.model import Config, encode_model, load_model, optional_shapes, save_model

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
        "config": '{"act_fn":null,"attention_dir":"causal","attn_only":true,"d_head":2,"d_model":5,"d_vocab":3,'
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
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": [offset, offset + bits.nbytes]}
        chunks.append(bits.tobytes())
        offset += bits.nbytes
    model = load_model(write(tmp_path / "m.safetensors", header, b"".join(chunks)))
    for name, values in expected.items():
        assert model.tensors[name].dtype == np.float32
        assert np.array_equal(model.tensor(name), values)


def change_config(field: str, value: object) -> Callable[[dict[str, Any]], None]:
    """Return an edit of a header that sets one field of the configuration, or deletes it for ``...``."""

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
        (drop_metadata, Unsupported, "metadata field format is null, only certify.model/1 is supported"),
        (change_metadata("format", "certify.model/2"), Unsupported, 'metadata field format is "certify.model/2"'),
        (change_metadata("config", None), BadInput, "metadata field config is missing"),
        (change_metadata("config", "{"), BadInput, "metadata field config is not JSON: "),
        (change_metadata("config", "[" * 100000), BadInput, "metadata field config is not JSON: "),
        (change_metadata("config", "[]"), BadInput, "metadata field config must be a JSON object"),
        (change_metadata("config", " " + CONFIG.canonical_json()), BadInput, "metadata field config is not canonical"),
        (change_config("d_mlp", 8), Unsupported, 'config field "d_mlp" is not supported'),
        (change_config("n_ctx", ...), BadInput, "config field n_ctx is missing"),
        (change_config("n_ctx", 0), BadInput, "config field n_ctx must be a positive integer, not 0"),
        (change_config("n_ctx", True), BadInput, "config field n_ctx must be a positive integer, not true"),
        (change_config("d_head", 2.0), BadInput, "config field d_head must be a positive integer, not 2.0"),
        (change_config("d_head", "2"), BadInput, 'config field d_head must be a positive integer, not "2"'),
        (change_config("n_layers", 2), Unsupported, "config field n_layers is 2, supported is 1"),
        (change_config("n_heads", 4), Unsupported, "config field n_heads is 4, supported is 1"),
        (change_config("attn_only", False), Unsupported, "config field attn_only is false, supported is true"),
        (change_config("attn_only", 1), Unsupported, "config field attn_only is 1, supported is true"),
        (
            change_config("normalization_type", "LN"),
            Unsupported,
            'config field normalization_type is "LN", supported is null',
        ),
        (
            change_config("positional_embedding_type", "rotary"),
            Unsupported,
            'config field positional_embedding_type is "rotary", supported is "standard"',
        ),
        (change_config("d_vocab", 4), BadInput, "tensor embed.W_E has shape [3, 5], the config asks for [4, 5]"),
        (transpose, BadInput, "tensor embed.W_E has shape [5, 3], the config asks for [3, 5]"),
        (rename("embed.W_E", "embed.W_F"), BadInput, "tensor embed.W_E is missing"),
        (as_integers, Unsupported, 'tensor "embed.W_E" has dtype I32, only F64, F32, F16 and BF16 are supported'),
    ],
)
def test_bad_headers_are_refused_with_the_reason(
    tmp_path: Path, edit: Callable[[dict[str, Any]], None], failure: type[CertifyError], message: str
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
    assert str(refusal.value) == f'{path}: tensor "blocks.0.mlp.W_in" is not part of this architecture'


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
    header["embed.W_E"] = {"dtype": "F32", "shape": [1 << 40, 1 << 20], "data_offsets": [0, 1 << 62]}
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
        (tensors | {"embed.W_E": tensors["embed.W_E"] * np.float32(np.inf)}, BadInput, "holds NaN or infinity"),
        (tensors | {"embed.W_E": tensors["embed.W_E"].astype(np.longdouble)}, Unsupported, "cannot be stored"),
        (tensors | {"embed.W_E": tensors["embed.W_E"].T}, BadInput, "the config asks for [3, 5]"),
    ]:
        with pytest.raises(failure) as refusal, np.errstate(invalid="ignore"):
            save_model(path, broken, CONFIG)
        assert str(refusal.value).endswith(message)
    with pytest.raises(Unsupported) as refusal:
        save_model(path, tensors, dataclasses.replace(CONFIG, n_layers=2))
    assert str(refusal.value) == f"{path}: config field n_layers is 2, supported is 1"
    with pytest.raises(BadInput) as refusal:
        save_model(tmp_path / "none" / "m.safetensors", tensors, CONFIG)
    assert str(refusal.value) == f"{tmp_path}/none/m.safetensors: cannot be written: No such file or directory"
    assert path.read_bytes() == b"old"
    assert [p.name for p in tmp_path.iterdir()] == ["m.safetensors"]
