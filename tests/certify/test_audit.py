"""The scan of a library's exp: the reference, planted defects, and which record is accepted."""

import dataclasses
import json
import math
import sys
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import mpmath
import numpy as np
import pytest
from click.testing import CliRunner, Result

from certify.audit import record as exp_record
from certify.audit import scan
from certify.audit.record import INPUTS, INPUTS_BELOW, Record
from certify.audit.scan import Function, Single
from certify.canonical import canonical
from certify.command.group import main
from certify.errors import BadInput, Unsupported

SAMPLE = 1 << 20


@pytest.fixture(autouse=True)
def _precision() -> None:
    """Let mpmath compute with 200 bits."""
    mpmath.mp.prec = 200


def exactly(value: float) -> mpmath.mpf:
    return mpmath.exp(mpmath.mpf(value))


def some_inputs() -> Single:
    """Return inputs of [-104, 0]: both ends, uniform ones, and every order of magnitude."""
    generator = np.random.default_rng(1)
    uniform = -104 * generator.random(3000)
    small = -np.exp2(-150 * generator.random(3000))
    edges = [
        -104.0,
        -0.0,
        0.0,
        -(2.0**-149),
        -(2.0**-8),
        -np.nextafter(2.0**-8, 0),
        -87.33654475,
        -103.99999,
    ]
    found: Single = np.maximum(np.concatenate([uniform, small, edges]), -104).astype(np.float32)
    return found


def planted(where: float, wrong: float) -> Function:
    """Return an exp, rounded from the reference, that is wrong at one input."""

    def evaluate(x: Single) -> Single:
        y = np.where(x >= -104, scan.reference(np.maximum(x, np.float32(-104))), 0).astype(
            np.float32
        )
        y[x == np.float32(where)] = np.float32(wrong)
        return y

    return Function("planted", "planted", "1", "none", evaluate)


def is_within(record: Record, x: float, y: float) -> bool:
    eps, eta = (
        mpmath.mpf(f.numerator) / f.denominator
        for f in map(Fraction, (record.eps_exp, record.eta_exp))
    )
    return bool(abs(mpmath.mpf(y) - exactly(x)) <= eps * exactly(x) + eta)


def complete(**changes: object) -> Record:
    """Return the record of a scan that claims to be exhaustive."""
    record = scan.scan(planted(0, 1), sample=4096)
    return dataclasses.replace(record, inputs=INPUTS, inputs_below=INPUTS_BELOW, **changes)  # type: ignore[arg-type]


def run(*arguments: object) -> Result:
    return CliRunner().invoke(main, [str(argument) for argument in arguments], prog_name="certify")


def test_reference_is_as_close_as_stated() -> None:
    x = some_inputs()
    bound = mpmath.mpf(1) / (1 << 50)
    assert Fraction(1, 1 << 50) == exp_record.REFERENCE_ERROR
    for value, result in zip(x.tolist(), scan.reference(x).tolist(), strict=True):
        assert abs(mpmath.mpf(result) / exactly(value) - 1) < bound


def test_table_is_as_close_as_stated() -> None:
    table = scan._table().tolist()
    assert len(table) == 104 * 256 + 1
    bound = mpmath.mpf(2) ** -53 + mpmath.mpf(2) ** -84
    assert all(
        abs(mpmath.mpf(entry) / exactly(-i / 256) - 1) <= bound
        for i, entry in enumerate(table)
        if i % 7 == 0
    )
    assert abs(mpmath.mpf(table[-1]) / exactly(-104) - 1) <= bound


def test_the_inputs_are_all_floats_up_to_zero() -> None:
    assert np.float32(104).view(np.uint32) + 2 == INPUTS
    assert np.float32(np.inf).view(np.uint32) + 2 == INPUTS + INPUTS_BELOW
    chunks = list(scan._inputs(5000))
    above = np.concatenate([x for inside, x in chunks if inside])
    below = np.concatenate([x for inside, x in chunks if not inside])
    assert above[:2].tolist() == [0.0, 0.0]
    assert np.signbit(above[:2]).tolist() == [False, True]
    assert above[-1] == -104
    assert below[0] == np.nextafter(np.float32(-104), np.float32(-np.inf))
    assert below[-1] == -np.inf
    assert np.all(np.diff(np.concatenate([above, below])) <= 0)


def test_consecutive_inputs_are_scanned_without_a_sample() -> None:
    chunks = scan._inputs(None)
    parts = [next(chunks)[1] for _ in range(3)]
    assert np.array_equal(
        -np.concatenate(parts[1:]).view(np.float32),
        np.arange(2 << 14, dtype=np.uint32).view(np.float32),
    )


@pytest.mark.parametrize("index", range(3), ids=["numpy.exp", "torch.exp", "torch.softmax"])
def test_installed_functions_are_within_their_bounds(index: int) -> None:
    if index:
        pytest.importorskip("torch")
    function = scan.functions("all")[index]
    record = scan.scan(function, SAMPLE)
    assert abs(record.inputs + record.inputs_below - SAMPLE) < 4
    assert 2.0**-25 < record.relative_error < 2.0**-22
    assert record.largest_below == 0.0
    assert Fraction(record.eta_exp) >= Fraction(1, 1 << 149)
    for at in (record.relative_at, record.absolute_at):
        y = float(function.evaluate(np.full(1, at, dtype=np.float32))[0])
        assert is_within(record, at, y)
    at = record.relative_at
    y = float(function.evaluate(np.full(1, at, dtype=np.float32))[0])
    assert abs(float(abs(mpmath.mpf(y) / exactly(at) - 1)) - record.relative_error) < 2.0**-50


def test_the_exp_of_softmax_is_what_short_rows_show() -> None:
    torch = pytest.importorskip("torch")
    softmax = scan.functions("torch")[1]
    generator = np.random.default_rng(2)
    for length in (2, 3, 7, 8, 15, 16, 17, 31, 33):
        # Up to -21, the sum of a short row rounds to one, and its weights are what exp returned.
        x = -(21 + 80 * generator.random((200, length))).astype(np.float32)
        x[:, generator.integers(length)] = 0
        weights = torch.softmax(torch.from_numpy(x), -1).numpy()
        assert np.array_equal(weights.ravel(), softmax.evaluate(x.ravel()))


def test_softmax_that_cannot_be_isolated_is_refused() -> None:
    torch = pytest.importorskip("torch")

    class Blunt:
        from_numpy = staticmethod(torch.from_numpy)

        @staticmethod
        def softmax(x: object, axis: int) -> object:
            return torch.softmax(x, axis) * 0.75

    with pytest.raises(Unsupported, match="cannot be isolated"):
        scan._softmax_exp(Blunt, np.full(3, -1, dtype=np.float32))


@pytest.mark.parametrize("where", [-1.0, -70.0, 0.0])
def test_one_wrong_normal_result_is_found(where: float) -> None:
    x = next(float(v) for _, part in scan._inputs(4096) for v in part if v <= where)
    wrong = math.exp(x) * 1.001
    record = scan.scan(planted(x, wrong), sample=4096)
    assert record.relative_at == x
    assert record.relative_error == pytest.approx(0.001, rel=1e-3)
    assert is_within(record, x, float(np.float32(wrong)))


def test_one_wrong_subnormal_result_is_found() -> None:
    x = next(float(v) for _, part in scan._inputs(4096) for v in part if v <= -90)
    record = scan.scan(planted(x, 0.0), sample=4096)
    assert record.absolute_at == x
    assert record.absolute_error == pytest.approx(math.exp(x) * 2.0**149, rel=1e-12)
    assert is_within(record, x, 0.0)
    assert record.relative_error < 2.0**-24


def test_one_wrong_result_below_the_range_is_found() -> None:
    record = scan.scan(planted(-math.inf, 2.0**-130), sample=4096)
    assert record.largest_below == 2.0**-130
    assert Fraction(record.eta_exp) == Fraction(1, 1 << 130)


@pytest.mark.parametrize("wrong", [math.nan, -(2.0**-149), math.inf])
@pytest.mark.parametrize("where", [-104.0, -math.inf])
def test_results_that_no_bound_covers_are_refused(where: float, wrong: float) -> None:
    with pytest.raises(Unsupported, match=f"planted is {wrong} at input {where}, "):
        scan.scan(planted(where, wrong), sample=4096)


def test_a_record_comes_back(tmp_path: Path) -> None:
    path = tmp_path / "exp.json"
    records = [complete(), dataclasses.replace(complete(), function="another")]
    path.write_bytes(exp_record.as_json(records))
    eps, eta = exp_record.read_record(path)
    assert Fraction(*eps) == Fraction(records[0].eps_exp)
    assert Fraction(*eta) == Fraction(records[0].eta_exp) == Fraction(1, 1 << 149)
    assert eps[1].bit_count() == 1


def test_the_worst_function_of_a_record_counts(tmp_path: Path) -> None:
    worse = scan.scan(planted(-math.inf, 2.0**-130), sample=4096)
    worse = dataclasses.replace(worse, inputs=INPUTS, inputs_below=INPUTS_BELOW)
    path = tmp_path / "exp.json"
    for records in ([complete(), worse], [worse, complete()]):
        path.write_bytes(exp_record.as_json(records))
        assert exp_record.read_record(path)[1] == (1, 1 << 130)


def test_bounds_are_rounded_up() -> None:
    for relative, absolute in ((2.0**-23.5, 1.7), (1e-7, 0.3), (0.0, 0.0)):
        eps, eta = exp_record.bounds_of(relative, absolute, 0.0)
        assert eps >= Fraction(relative) + exp_record.REFERENCE_ERROR
        assert eps < Fraction(relative) * (1 + Fraction(1, 1 << 40)) + Fraction(1, 1 << 49)
        assert eta >= Fraction(max(absolute, 1.0)) / (1 << 149)
        assert eta < Fraction(max(absolute, 1.0)) / (1 << 149) + Fraction(1, 1 << 170)


Damage = Callable[[dict[str, object]], object]
DAMAGES: dict[str, tuple[Damage, str]] = {
    "sample": (
        lambda f: f.update(inputs=INPUTS - 1),
        "field inputs says .*: a sample bounds nothing",
    ),
    "sample-below": (
        lambda f: f.update(inputs_below=0),
        "field inputs says .*: a sample bounds nothing",
    ),
    "smaller-eps": (
        lambda f: f.update(eps_exp="1/1152921504606846976"),
        "field eps_exp does not follow",
    ),
    "smaller-eta": (lambda f: f.update(eta_exp="0/1"), "field eta_exp does not follow"),
    "smaller-error": (lambda f: f.update(relative_error=0.0), "field eps_exp does not follow"),
    "larger-below": (lambda f: f.update(largest_below=1.0), "field eta_exp does not follow"),
    "negative-error": (
        lambda f: f.update(absolute_error=-1.0),
        "field absolute_error must be a number",
    ),
    "missing": (lambda f: f.pop("version"), "field version is missing"),
    "unknown": (lambda f: f.update(note="x"), "field 'note' is not known"),
    "bool": (lambda f: f.update(inputs=True), "field inputs is missing or no int"),
    "text": (lambda f: f.update(relative_error="0"), "field relative_error is missing or no float"),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_scan_is_refused(tmp_path: Path, damage: str) -> None:
    change, message = DAMAGES[damage]
    value = json.loads(exp_record.as_json([complete()]))
    change(value["functions"][0])
    path = tmp_path / "exp.json"
    path.write_bytes(canonical(value))
    with pytest.raises(BadInput, match=rf"^{path}: functions\[0\]: {message}"):
        exp_record.read_record(path)


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"x", "not JSON"),
        (b"[" * 100_000, "not JSON"),
        (b"[]\n", "field format is not"),
        (b'{"format":"certify.exp-audit/2","functions":[]}\n', "field format is not"),
        (b'{"format":"certify.exp-audit/1","functions":[]}\n', "field functions must be a list"),
        (b'{"format":"certify.exp-audit/1","functions":{}}\n', "field functions must be a list"),
        (
            b'{"extra":1,"format":"certify.exp-audit/1","functions":[1]}\n',
            "field functions must be a list",
        ),
        (
            b'{"format":"certify.exp-audit/1","functions":[1]}\n',
            r"functions\[0\] must be an object",
        ),
        (b'{"format": "certify.exp-audit/1","functions":[1]}\n', "not canonical JSON"),
        (
            b'{"format":"certify.exp-audit/1","format":"certify.exp-audit/1","functions":[1]}\n',
            "not canonical JSON",
        ),
        (b'{"format":"certify.exp-audit/1","functions":[NaN]}\n', "not JSON"),
        (b"", "the file is empty"),
    ],
)
def test_a_damaged_file_is_refused(tmp_path: Path, data: bytes, message: str) -> None:
    path = tmp_path / "exp.json"
    path.write_bytes(data)
    with pytest.raises(BadInput, match=f"^{path}: {message}"):
        exp_record.read_record(path)


@pytest.mark.parametrize("text", ["1/4194304", "0/1", "17/2", "2/4"])
def test_fractions_are_read(text: str) -> None:
    p, q = exp_record.parse_fraction(text)
    assert f"{p}/{q}" == text


@pytest.mark.parametrize(
    "text",
    [
        "",
        "1",
        "1/0",
        "1/2/3",
        "-1/2",
        "+1/2",
        "01/2",
        "1/02",
        " 1/2",
        "1 /2",
        "1_0/2",
        "7/８",
        "1e3/2",
        "9" * 500,
    ],
)
def test_what_is_no_fraction_is_refused(text: str) -> None:
    with pytest.raises(BadInput, match="is not a fraction P/Q"):
        exp_record.parse_fraction(text)


def test_the_command_writes_a_record_and_says_that_a_sample_bounds_nothing(tmp_path: Path) -> None:
    out = tmp_path / "exp.json"
    result = run("audit-exp", "--library", "numpy", "--sample", 5000, "--out", out)
    assert (result.exit_code, result.stderr) == (0, "")
    lines = result.stdout.splitlines()
    assert lines[0].startswith(f"numpy.exp(x), contiguous, version {np.__version__}, on ")
    assert "a sample, which bounds nothing" in lines[1]
    assert lines[-1] == f"wrote {out}"
    value = json.loads(out.read_bytes())
    assert out.read_bytes() == canonical(value)
    assert [entry["function"] for entry in value["functions"]] == ["numpy.exp"]
    with pytest.raises(BadInput, match="a sample bounds nothing"):
        exp_record.read_record(out)


def test_the_command_without_pytorch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "torch", None)
    out = tmp_path / "exp.json"
    result = run("audit-exp", "--library", "torch", "--out", out)
    assert result.stderr == "certify: audit-exp: --library torch needs PyTorch: pip install torch\n"
    assert result.exit_code == 20
    assert not out.exists()
    assert run("audit-exp", "--sample", 100, "--out", out).exit_code == 0
    assert len(json.loads(out.read_bytes())["functions"]) == 1


def test_the_command_refuses_a_missing_folder_at_once(tmp_path: Path) -> None:
    result = run("audit-exp", "--out", tmp_path / "none" / "exp.json")
    assert result.exit_code == 20
    assert "no folder" in result.stderr
