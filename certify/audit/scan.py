"""Measure how far the float32 exp of an installed library is from e^x, over every input that
softmax can feed it.

The float32 profile assumes of exp, for d <= 0, that the result is not negative and that ``|exp(d) -
e^d| <= eps_exp e^d + eta_exp``.  Here both numbers are measured and rounded up: ``eps_exp`` from
the inputs with e^d >= 2^-126 (relative error), ``eta_exp`` from all others (absolute error), at
least 2^-149. Softmax subtracts the maximum, so only d <= 0 counts: 1 120 927 746 inputs of [-104,
0] (both zeros), and 1 018 167 296 below -104, minus infinity included, where e^d < 2^-150 and the
result itself is taken for the error.

The reference.  For x in [-104, 0] let i = floor(-256 x) and r = x + i/256, so that -2^-8 < r <= 0
and e^x = e^(-i/256) e^r. Both are exact in float64: scaling by 256 is; if i = 0 then r = x; else x
is a multiple of 2^-31 and so is r, |r| < 2^-8.  Then

* the table holds e^(-i/256) from integer arithmetic (``_table``), relative error at most 2^-53 +
  2^-84;
* the Taylor polynomial of degree 5 leaves out at most |r|^6/720 < 2^-57;
* Horner's rule in float64: the last addition errs by at most 2^-53, everything before it is
  multiplied by r, and
  its at most ten roundings, those of the coefficients 1/6, 1/24 and 1/120 included, cost less than
  2^-53 10/256;
  no intermediate value is below 2^-160, so nothing underflows;
* e^r > 0.996 makes these relative errors, at most 1.01 times as large, and the product with the
  table adds 2^-53.

Together less than 3.2 * 2^-53 < REFERENCE_ERROR = 2^-50, which rests only on correctly rounded +
and * of float64, never on a library's exp.  A measured error m of a result y, computed from the
reference R as |y - R| / R or as |y - R| in float64 (two roundings), gives ``|y - e^x| <= (m (1 +
2^-49) + 2^-50) e^x``, and the same with absolute errors.

What softmax computes is not what exp computes: PyTorch's ``torch.exp`` may call another library
than its softmax kernel. The exp of that kernel is isolated as follows (``_numerators``).  A row is
filled up until its sum S is a power of two, which the weight of its entry 0 shows: 1/S rounds to
2^-m only for S = 2^m.  Then e/S and e (1/S) are exact, and the weights times S are what the
kernel's exp returned.  This assumes that its exp(0) is 1, that S is a float32, and that the weights
are e/S or e times 1/S.

Not done here: other kernels (fused or flash attention, autocast, other devices), or a proof that a
library uses the same code for every array; the record says what was called.  A scan binds one build
on one processor.
"""

from __future__ import annotations

import functools
import math
import platform
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
from numpy.typing import NDArray

from certify.audit.record import (
    _FIRST,
    _INFINITY,
    _LAST,
    INPUTS,
    INPUTS_BELOW,
    SMALLEST_NORMAL,
    Record,
    bounds_of,
    spelled,
)
from certify.errors import Unsupported
from certify.progress import Progress, silent

LIBRARIES = ("numpy", "torch")

_CHUNK = 1 << 14
_SPACING = 256
_TABLE_BITS = 256
_ROW = 4096
_ROW_SUM = 8192
_ROW_TRIES = 64
_PATIENCE = 16
_TINY = np.float32(-40)

Single: TypeAlias = NDArray[np.float32]
Double: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Function:
    """One float32 exp: where it comes from, and how to call it on an array."""

    name: str
    called: str
    version: str
    device: str
    evaluate: Callable[[Single], Single]


def functions(library: str) -> list[Function]:
    """Return what there is to scan: of ``numpy``, of ``torch``, or of ``all`` that are installed.

    Errors: ``Unsupported`` if PyTorch is asked for and not installed.
    """
    found = [] if library == "torch" else [_numpy_exp()]
    if library == "numpy":
        return found
    try:
        import torch  # noqa: PLC0415  (optional, and slow to import)
    except ImportError as error:
        if library == "all":
            return found
        raise Unsupported("audit-exp: --library torch needs PyTorch: pip install torch") from error
    device = f"{_processor()}, {torch.backends.cpu.get_cpu_capability()}"
    version = str(torch.__version__)
    exp = Function(
        "torch.exp", "torch.exp(x), contiguous", version, device, lambda x: _torch_exp(torch, x)
    )
    called = f"torch.softmax(x, -1), rows of {_ROW} inputs filled up to a sum of 1 or {_ROW_SUM}"
    return [
        *found,
        exp,
        Function("torch.softmax", called, version, device, lambda x: _softmax_exp(torch, x)),
    ]


def reference(x: Single) -> Double:
    """Return e^x in float64, relative error below ``REFERENCE_ERROR`` (module docstring).

    Requires: -104 <= x <= 0.
    """
    table, exact = _table(), x.astype(np.float64)
    steps = np.floor(exact * -_SPACING)
    r = exact + steps * (1 / _SPACING)
    result = r * (1 / 120)
    for coefficient in (1 / 24, 1 / 6, 0.5, 1.0):
        result += coefficient
        result *= r
    result += 1.0
    result *= table[steps.astype(np.intp)]
    return result


def scan(
    function: Function,
    sample: int | None = None,
    progress: Progress = silent,
) -> Record:
    """Return the worst errors of one function over every input d <= 0, or over ``sample`` evenly
    spread ones.

    Errors:   ``Unsupported`` at a result that no bounds cover: NaN, infinite or
              negative.
    Cost:     5 to 20 ns an input: half a minute to a minute for all of them.
    """
    worst = {"relative": (0.0, 0.0), "absolute": (0.0, 0.0), "below": (0.0, 0.0)}
    counts = {True: 0, False: 0}
    whole = INPUTS + INPUTS_BELOW
    for above, x in _inputs(sample):
        y = function.evaluate(x).astype(np.float64)
        _require_usable(function.name, x, y)
        for kind, errors in _errors(x, y) if above else (("below", y),):
            i = int(np.argmax(errors))
            if errors[i] > worst[kind][0]:
                worst[kind] = (float(errors[i]), float(x[i]))
        counts[above] += len(x)
        progress(sum(counts.values()), min(sample, whole) if sample else whole, "")
    (relative, relative_at), (absolute, absolute_at), (below, _) = worst.values()
    absolute *= 2.0**149
    eps, eta = bounds_of(relative, absolute, below)
    return Record(
        function=function.name,
        called=function.called,
        version=function.version,
        device=function.device,
        inputs=counts[True],
        inputs_below=counts[False],
        relative_error=relative,
        relative_at=relative_at,
        absolute_error=absolute,
        absolute_at=absolute_at,
        largest_below=below,
        eps_exp=spelled(eps),
        eta_exp=spelled(eta),
    )


def _inputs(sample: int | None) -> Iterator[tuple[bool, Single]]:
    """Yield every input, or a sample, in chunks; each with whether it lies in [-104, 0]."""
    yield True, np.zeros(1, dtype=np.float32)
    ranges = ((True, _FIRST, _LAST + 1), (False, _LAST + 1, _INFINITY + 1))
    whole = INPUTS + INPUTS_BELOW
    for above, first, end in ranges:
        count = end - first
        wanted = count if sample is None else min(count, max(1, sample * count // whole))
        for start in range(0, wanted, _CHUNK):
            places = np.arange(start, min(start + _CHUNK, wanted), dtype=np.uint64)
            # Both ends are in the sample.
            bits = first + (
                places
                if wanted == count
                else places * np.uint64(count - 1) // np.uint64(max(1, wanted - 1))
            )
            yield above, bits.astype(np.uint32).view(np.float32)


def _require_usable(name: str, x: Single, y: Double) -> None:
    """Refuse a result that is NaN, infinite or negative."""
    # Written so that NaN is refused.
    if not (y.min() >= 0 and y.max() < math.inf):
        i = int(np.argmin((y >= 0) & (y < math.inf)))
        raise Unsupported(
            f"audit-exp: {name} is {float(y[i])} at input {float(x[i])!r}, which no eps_exp and"
            " eta_exp allow"
        )


def _errors(x: Single, y: Double) -> tuple[tuple[str, Double], tuple[str, Double]]:
    """Return the relative errors where e^x >= 2^-126 and the absolute errors elsewhere, zero in the
    other places.
    """
    exact = reference(x)
    absolute = np.abs(y - exact)
    normal = exact >= SMALLEST_NORMAL
    relative = np.where(normal, absolute / exact, 0.0)
    absolute[normal] = 0.0
    return ("relative", relative), ("absolute", absolute)


@functools.cache
def _table() -> Double:
    """Return e^(-i/256) for i = 0 .. 104 * 256, relative error at most 2^-53 + 2^-84.

    In units of 2^-256: the alternating series of e^(-1/256) is cut off at its
    first term below one unit, each of its fewer than 28 terms errs by at most two units,
    and each product with it adds at most 58 more.  After 26 624 products that
    is below 2^21 units, less than 2^-84 of e^-104 > 2^-151; int / int rounds
    correctly.
    """
    one = 1 << _TABLE_BITS
    term, base, n = one, 0, 0
    while term:
        base += term if n % 2 == 0 else -term
        n += 1
        term //= n * _SPACING
    values, power = [], one
    for _ in range(104 * _SPACING + 1):
        values.append(power / one)
        power = power * base >> _TABLE_BITS
    return np.array(values)


def _numpy_exp() -> Function:
    """Return numpy's exp; the device names the variant that numpy chose for float32."""
    chosen = (
        np.lib.introspect.opt_func_info(func_name="^exp$", signature="float32")
        .get("exp", {})
        .get("ff", {})
    )
    device = f"{_processor()}, {chosen.get('current', 'unknown')}"
    return Function("numpy.exp", "numpy.exp(x), contiguous", np.__version__, device, _quiet_exp)


def _quiet_exp(x: Single) -> Single:
    """Return numpy's exp without warnings about underflow."""
    with np.errstate(all="ignore"):
        return np.exp(x)


def _processor() -> str:
    """Return the kind of processor: the instruction set, and the name where the system tells it."""
    name = platform.processor()
    return f"{platform.machine()} {name}".strip() if name != platform.machine() else name


def _torch_exp(torch: Any, x: Single) -> Single:
    """Return ``torch.exp`` of an array."""
    result: Single = torch.exp(torch.from_numpy(x)).numpy()
    return result


def _softmax_exp(torch: Any, x: Single) -> Single:
    """Return what the exp inside PyTorch's softmax over the last axis gives."""
    result = np.empty_like(x)
    for chosen, total in ((x < _TINY, 1), (x >= _TINY, _ROW_SUM)):
        if chosen.any():
            result[chosen] = _numerators(torch, x[chosen], total)
    return result


def _numerators(torch: Any, x: Single, total: int) -> Single:
    """Return the numerators of softmax, exactly, from rows whose sum is the power of two ``total``.

    Requires: total = 1 and x < -40, so that 4096 entries do not change a sum of
              one; or total = 8192 and x >= -40, so that no weight underflows.
    Errors:   ``Unsupported`` if no filling makes the sum a power of two.

    A row is 0, then four entries for the fractional part of what the sum lacks,
    redrawn and corrected until the weight of entry 0 is exactly 1/total, then
    4096 inputs, then zeros for the integer part.
    """
    rows = np.full(
        (-(-len(x) // _ROW), 1 + _ROW + (total if total > 1 else 0) + 4), -np.inf, dtype=np.float32
    )
    rows[:, 0] = 0
    results = np.full((len(rows), _ROW), -np.inf, dtype=np.float32)
    results.ravel()[: len(x)] = x
    rows[:, 5 : _ROW + 5] = results
    missing = np.zeros(len(rows))
    if total > 1:
        missing = total - 1 - _quiet_exp(results).sum(axis=1, dtype=np.float64)
        whole = np.floor(missing - 0.5)
        missing -= whole
        rows[:, _ROW + 5 :][np.arange(total) < whole[:, None]] = 0
    pending, generator = np.arange(len(rows)), np.random.default_rng(0)
    for attempt in range(_ROW_TRIES):
        with np.errstate(divide="ignore", invalid="ignore"):
            rows[pending, 1:5] = np.log(
                missing[pending, None] * generator.dirichlet((9, 9, 9, 9), len(pending))
            )
        # In some orders of the entries no filling gives the sum that is wanted.
        order = (
            np.arange(rows.shape[1])
            if attempt < _PATIENCE
            else generator.permutation(rows.shape[1])
        )
        weights = np.empty_like(rows[pending])
        weights[:, order] = torch.softmax(torch.from_numpy(rows[pending][:, order]), -1).numpy()
        excess = 1 / weights[:, 0].astype(np.float64) - total
        found = excess == 0
        results[pending[found]] = weights[found, 5 : _ROW + 5] * np.float32(total)
        missing[pending] -= excess / 2
        pending = pending[~found]
        if not len(pending):
            return results.ravel()[: len(x)]
    raise Unsupported(
        "audit-exp: the exp of torch.softmax cannot be isolated: no row sums to a power of two"
    )
