"""Domains: which inputs are meant, what their tokens and the outputs stand for, where answers are
read.

Five texts say it, on the command line and on verdict lines::

    --domain 0-112/0-112/@113    the tokens allowed at each position: ranges by commas, positions by
                                 slashes, * for all tokens, @t for a context token, or a JSON file
    --values 0/-9/3,1,2          what the tokens of each operand stand for: own, a number to count
                                 from, or a list
    --outputs 0-112              the outputs that stand for an answer
    --answers own                what they stand for
    --read last                  the positions that have to be right: last, all, or 0,1

Operands are the positions that are not context.  What is left out is the usual thing: every token
at every position, which stands for its own number, and the last position is read.

The JSON file is ``{"answers":…,"format":"certify.domain/1","outputs":…,"positions":…,"read":…}``,
with the values that a certificate has (SPEC-5.7).
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from certify.errors import BadInput
from certify.files import read_bytes
from certify.model.config import Config

FORMAT = "certify.domain/1"
MAXIMUM_FILE_BYTES = 1 << 24
MOST_QUOTED = 60
"""A message shows so much of what the user wrote."""
MOST_TEXT = 400
"""A verdict shows a longer text by its hash."""
LARGEST = 2**31 - 1
OWN, ALL, LAST = "own", "*", "last"
PARTS = ("domain", "values", "outputs", "answers", "read")
"""The parts of a domain, by the options that say them."""

Places = NDArray[np.int64]
"""Inputs, [batch, n_ctx]: the number of each token among those allowed at its position."""
Tokens = NDArray[np.int64]
Ranges = list[list[int]]

_RANGE = re.compile(r"(0|[1-9][0-9]{0,8})(?:-(0|[1-9][0-9]{0,8}))?")
_NUMBER = re.compile(r"0|-?[1-9][0-9]{0,9}")


@dataclass(frozen=True, slots=True)
class Domain:
    """The inputs that a claim is about.

    ``tokens``:   per position the allowed tokens, ascending.
    ``values``:   per position what they stand for, None where the position is context.
    ``outputs``, ``answers``: the outputs that stand for an answer, and which.
    ``read``:     the positions that have to be right; none where the readout pools all of them.
    ``texts``:    how each part is spelled, in full.
    ``spelled``:  how a certificate's statement spells the domain.
    """

    tokens: tuple[tuple[int, ...], ...]
    values: tuple[tuple[int, ...] | None, ...]
    outputs: tuple[int, ...]
    answers: tuple[int, ...]
    read: tuple[int, ...]
    texts: dict[str, str]
    spelled: dict[str, Any]

    @property
    def sizes(self) -> tuple[int, ...]:
        """Return how many tokens are allowed at each position."""
        return tuple(map(len, self.tokens))

    @property
    def inputs(self) -> int:
        """Return how many inputs there are: an exact integer."""
        return math.prod(self.sizes)

    @property
    def ranges(self) -> list[Ranges]:
        """Return the allowed tokens of each position as ranges."""
        return [
            [[position["context"]] * 2] if "context" in position else position["tokens"]
            for position in self.spelled["positions"]
        ]

    @property
    def operands(self) -> tuple[int, ...]:
        """Return the positions that are not context."""
        return tuple(place for place, values in enumerate(self.values) if values is not None)

    @property
    def unusual(self) -> dict[str, str]:
        """Return the parts that are not the usual ones, as a verdict shows them."""
        operands = len(self.operands)
        usual = {
            "domain": "/".join([ALL] * len(self.tokens)),
            "values": "/".join([OWN] * operands),
            "outputs": ALL,
            "answers": OWN,
            "read": LAST,
        }
        return {part: shown(text) for part, text in self.texts.items() if text != usual[part]}

    def ends(self) -> tuple[int, ...]:
        """Return, per position that is read, how many operands stand there or before it."""
        reads = self.read or (len(self.tokens) - 1,)
        return tuple(sum(place <= read for place in self.operands) for read in reads)

    def places_between(self, start: int, stop: int) -> Places:
        """Return the inputs with these numbers in lexicographic order, [stop - start, n_ctx]."""
        return np.stack(np.unravel_index(np.arange(start, stop), self.sizes), axis=1)

    def tokens_at(self, places: Places) -> Tokens:
        """Return the tokens of inputs, [batch, n_ctx]."""
        columns = [
            np.array(allowed)[places[:, position]] for position, allowed in enumerate(self.tokens)
        ]
        return np.stack(columns, axis=1)

    def values_at(self, places: Places) -> NDArray[np.int64]:
        """Return the values of the operands of inputs, [batch, operands]."""
        columns = [
            np.array(self.values[position], dtype=np.int64)[places[:, position]]
            for position in self.operands
        ]
        return np.stack(columns, axis=1)

    def words(self) -> str:
        """Return the domain in English, for a reader."""
        names = dict(zip(self.operands, _letters(), strict=False))
        texts = self.texts["domain"].split("/")
        alike = len({texts[place] for place in names}) == 1
        several = ", ".join(names.values())
        ranges = (
            f"{several} in {_in_words(texts[self.operands[0]])}"
            if alike
            else ", ".join(f"{name} in {_in_words(texts[place])}" for place, name in names.items())
        )
        context = " ".join(names.get(place, text[1:]) for place, text in enumerate(texts))
        told = [f"for all {ranges} in the context {context}"]
        unusual = self.unusual
        if "values" in unusual:
            told.append(f"where tokens stand for {unusual['values']}")
        if "outputs" in unusual:
            told.append(f"with the outputs {unusual['outputs']}, any other being wrong")
        if "answers" in unusual:
            told.append(f"which stand for {unusual['answers']}")
        if "read" in unusual:
            told.append(f"read at the positions {', '.join(map(str, self.read))}")
        return ", ".join(told)


def shown(text: str) -> str:
    """Return a text as verdicts show it: by its hash where it is long."""
    if len(text) <= MOST_TEXT:
        return text
    return f"sha256:{hashlib.sha256(text.encode('ascii')).hexdigest()}"


def brief(text: str) -> str:
    """Return a text that the user gave in quotes, cut where it is long, for a message."""
    return repr(text if len(text) <= MOST_QUOTED else f"{text[: MOST_QUOTED - 3]}...")


def _letters() -> list[str]:
    return [chr(ord("a") + number) for number in range(26)] + [f"x{n}" for n in range(26, 64)]


def _in_words(text: str) -> str:
    return "all tokens" if text == ALL else text.replace("-", "..")


# --- from the command line --------------------------------------------------------


def read_domain(
    config: Config,
    domain: str | None = None,
    values: str | None = None,
    outputs: str | None = None,
    answers: str | None = None,
    read: str | None = None,
) -> Domain:
    """Return the domain that these texts say of a model, None being the usual thing.

    Requires: ``domain`` may name a JSON file, which then says all parts.
    Errors:   ``BadInput``, one line that names the option.
    """
    if domain is not None and names_file(domain):
        others = {"values": values, "outputs": outputs, "answers": answers, "read": read}
        given = [f"--{name}" for name, text in others.items() if text is not None]
        if given:
            raise BadInput(f"--domain {domain}: the file already says {', '.join(given)}")
        return domain_of(_spelled_in(Path(domain)), config, domain)
    whole = "/".join([ALL] * config.n_ctx)
    positions = (whole if domain is None else domain).split("/")
    if len(positions) != config.n_ctx:
        raise BadInput(
            f"--domain {domain}: {_counted(len(positions), 'position')}, the model has"
            f" {config.n_ctx} (a slash stands between two)"
        )
    operands = [place for place, text in enumerate(positions) if not text.startswith("@")]
    own = "/".join([OWN] * len(operands))
    stand_for = (own if values is None else values).split("/")
    if operands and len(stand_for) != len(operands):
        raise BadInput(
            f"--values {values}: {_counted(len(stand_for), 'operand')}, the domain has"
            f" {len(operands)} (a slash stands between two)"
        )
    meant = dict(zip(operands, stand_for, strict=False))
    written = {
        "answers": _numbers_spelled(OWN if answers is None else answers, "--answers"),
        "outputs": _ranges_spelled(
            ALL if outputs is None else outputs, config.d_vocab_out, "--outputs"
        ),
        "positions": [
            _position_spelled(text, meant.get(place), config.d_vocab)
            for place, text in enumerate(positions)
        ],
        "read": _read_spelled(LAST if read is None else read, config),
    }
    return domain_of(written, config, None)


def _counted(many: int, what: str) -> str:
    return f"{many} {what}" if many == 1 else f"{many} {what}s"


def names_file(domain: str | None) -> bool:
    """Return whether ``--domain`` names a file."""
    if domain is None or domain.endswith(".json"):
        return domain is not None
    try:
        return Path(domain).is_file()
    except OSError:
        # A list of tokens may be longer than any name.
        return False


def _spelled_in(path: Path) -> dict[str, Any]:
    """Return the parts of a domain that a JSON file holds."""
    data = read_bytes(path, MAXIMUM_FILE_BYTES)
    try:
        value = json.loads(data.decode("ascii"))
    except (ValueError, RecursionError) as error:
        raise BadInput(f"{path}: not JSON: {error}") from error
    due = {"answers", "format", "outputs", "positions", "read"}
    if not isinstance(value, dict) or set(value) != due or value["format"] != FORMAT:
        raise BadInput(f"{path}: the fields must be {', '.join(sorted(due))}, format {FORMAT}")
    return {name: part for name, part in value.items() if name != "format"}


def _ranges_spelled(text: str, size: int, option: str) -> Ranges:
    if text == ALL:
        return [[0, size - 1]]
    found = []
    for part in text.split(","):
        match = _RANGE.fullmatch(part)
        if match is None:
            raise BadInput(f"{option}: {brief(part)} is no token, no range first-last, and not *")
        first = int(match[1])
        found.append([first, first if match[2] is None else int(match[2])])
    return found


def _numbers_spelled(text: str, option: str) -> str | int | list[int]:
    if text == OWN:
        return OWN
    parts = text.split(",")
    wrong = [part for part in parts if _NUMBER.fullmatch(part) is None]
    if wrong:
        raise BadInput(f"{option}: {brief(wrong[0])} is no number, no list of numbers, and not own")
    return int(text) if len(parts) == 1 else [int(part) for part in parts]


def require_numbers(text: str, option: str) -> None:
    """Refuse a text that does not say what tokens or outputs stand for, operands by slashes.

    Errors: ``BadInput``, one line that names the option.
    """
    for part in text.split("/"):
        _numbers_spelled(part, option)


def _position_spelled(text: str, values: str | None, vocab: int) -> dict[str, Any]:
    if values is None:
        if _RANGE.fullmatch(text[1:]) is None or "-" in text:
            raise BadInput(f"--domain: {brief(text)} is no context token @t")
        return {"context": int(text[1:])}
    return {
        "tokens": _ranges_spelled(text, vocab, "--domain"),
        "values": _numbers_spelled(values, "--values"),
    }


def _read_spelled(text: str, config: Config) -> list[int]:
    if config.pooled:
        if text != LAST:
            raise BadInput(f"--read {text}: the model's readout {config.read} pools all positions")
        return []
    if text == LAST:
        return [config.n_ctx - 1]
    if text == "all":
        return list(range(config.n_ctx))
    parts = text.split(",")
    if not all(re.fullmatch(r"0|[1-9][0-9]?", part) for part in parts):
        raise BadInput(f"--read {text}: neither last nor all nor positions such as 0,1")
    return [int(part) for part in parts]


# --- as a certificate spells it ---------------------------------------------------


@dataclass(frozen=True, slots=True)
class _Origin:
    """Where a domain is written, for messages: a file that has fields, or None for the options."""

    file: str | None

    def part(self, name: str) -> str:
        """Return what a message calls a part."""
        if self.file is None:
            return f"--{'domain' if name == 'positions' else name}"
        return f"{self.file}: field {name}"

    def position(self, place: int, part: str = "") -> str:
        """Return what a message calls a position, or its tokens or values."""
        if self.file is None:
            return f"--{'values' if part == 'values' else 'domain'}: position {place}"
        return f"{self.file}: field positions[{place}] {part}".rstrip()


def domain_of(written: dict[str, Any], config: Config, file: str | None) -> Domain:
    """Return the domain that a statement or a file spells, or that the options do.

    Errors: ``BadInput``, one line that names the file and the field, or the option.
    """
    origin = _Origin(file)
    positions = _listed(written.get("positions"), origin.part("positions"))
    if len(positions) != config.n_ctx:
        raise BadInput(
            f"{origin.part('positions')} has {len(positions)} items, the model has {config.n_ctx}"
        )
    tokens: list[tuple[int, ...]] = []
    values: list[tuple[int, ...] | None] = []
    texts: list[str] = []
    value_texts: list[str] = []
    for place, position in enumerate(positions):
        if isinstance(position, dict) and set(position) == {"context"}:
            token = position["context"]
            allowed, _ = _members([[token, token]], config.d_vocab, origin.position(place))
            tokens.append(allowed)
            values.append(None)
            texts.append(f"@{allowed[0]}")
            continue
        if not isinstance(position, dict) or set(position) != {"tokens", "values"}:
            raise BadInput(
                f"{origin.position(place)} must have the keys tokens and values, or context"
            )
        allowed, text = _members(
            position["tokens"], config.d_vocab, origin.position(place, "tokens")
        )
        meant, value_text = _numbers(
            position["values"], allowed, origin.position(place, "values"), "tokens"
        )
        tokens.append(allowed)
        values.append(meant)
        texts.append(text)
        value_texts.append(value_text)
    if not value_texts:
        raise BadInput(f"{origin.part('positions')}: every position is context")
    outputs, output_text = _members(
        written.get("outputs"), config.d_vocab_out, origin.part("outputs")
    )
    answers, answer_text = _numbers(
        written.get("answers"), outputs, origin.part("answers"), "outputs"
    )
    read, read_text = _read(written.get("read"), config, origin.part("read"))
    parts = ("/".join(texts), "/".join(value_texts), output_text, answer_text, read_text)
    return Domain(
        tuple(tokens),
        tuple(values),
        outputs,
        answers,
        read,
        dict(zip(PARTS, parts, strict=True)),
        written,
    )


def _listed(value: object, field: str) -> list[Any]:
    if not isinstance(value, list):
        raise BadInput(f"{field} must be a list")
    return value


def _is_number(value: object) -> bool:
    return type(value) is int and abs(value) <= LARGEST


def _members(value: object, size: int, field: str) -> tuple[tuple[int, ...], str]:
    """Return the members of ranges, and how they are spelled."""
    found: list[int] = []
    texts = []
    for pair in _listed(value, field):
        if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_number, pair)):
            raise BadInput(f"{field} must be a list of pairs [first, last]")
        first, last = pair
        if not (0 <= first <= last) or (found and found[-1] + 1 >= first):
            raise BadInput(f"{field}: ranges must ascend, with a gap between them")
        if last >= size:
            raise BadInput(f"{field} names {last}, the model has 0 to {size - 1}")
        found.extend(range(first, last + 1))
        texts.append(f"{first}" if first == last else f"{first}-{last}")
    if not found:
        raise BadInput(f"{field} names nothing")
    return tuple(found), ALL if len(found) == size else ",".join(texts)


def _numbers(
    value: object, own: Sequence[int], field: str, what: str
) -> tuple[tuple[int, ...], str]:
    """Return what tokens or outputs stand for, and how that is spelled."""
    if value == OWN:
        return tuple(own), OWN
    if any(type(number) is int and abs(number) > LARGEST for number in _entries(value)):
        raise BadInput(f"{field} is beyond {LARGEST}")
    if isinstance(value, list):
        if not all(map(_is_number, value)) or len(set(value)) != len(value):
            raise BadInput(f"{field} must be different integers")
        if len(value) != len(own):
            raise BadInput(f"{field} has {len(value)} numbers for {len(own)} {what}")
        return tuple(value), ",".join(map(str, value))
    if not _is_number(value):
        raise BadInput(f'{field} must be "own", an integer or a list of integers')
    if own[-1] - own[0] + 1 != len(own):
        raise BadInput(f"{field} is one number for several ranges: a list says what each means")
    first = int(str(value))
    return tuple(range(first, first + len(own))), str(first)


def _entries(value: object) -> list[object]:
    return value if isinstance(value, list) else [value]


def _read(value: object, config: Config, field: str) -> tuple[tuple[int, ...], str]:
    """Return the positions that are read, and how they are spelled."""
    places = _listed(value, field)
    numbers = all(map(_is_number, places))
    if not numbers or places != sorted(set(places)) or not _within(places, config.n_ctx):
        raise BadInput(f"{field} must be ascending positions of 0 to {config.n_ctx - 1}")
    if config.pooled != (not places):
        raise BadInput(f"{field} must name positions, and none where the readout pools them")
    if config.pooled or places == [config.n_ctx - 1]:
        return tuple(places), LAST
    text = "all" if len(places) == config.n_ctx else ",".join(map(str, places))
    return tuple(places), text


def _within(places: Iterable[int], n: int) -> bool:
    return all(0 <= place < n for place in places)
