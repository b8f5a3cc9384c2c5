"""The inputs that a statement is about, what their tokens stand for, and where answers are read.
(SPEC-5.7)
"""

from hashlib import sha256

from checker.ground import paired, record
from checker.ground.decode import fields, integer, integers, listing, pairs, typed
from checker.ground.errors import require_form
from checker.statement.model import Model

MOST_TEXT = 400
"""Longer texts are shown by their hash.  (SPEC-9.1)"""
OWN = "own"
"""How a certificate says that tokens, or outputs, stand for their own numbers."""
LARGEST = 2**31 - 1
"""No value is larger, or smaller than minus this.  (SPEC-5.7)"""

LETTERS = [chr(ord("a") + number) for number in range(26)] + [
    f"x{number}" for number in range(26, 64)
]
"""What operands are called in English, in their order."""

Numbers = tuple[int, ...]


@record
class Domain:
    """The inputs: at every position one of the allowed tokens.

    ``tokens``:  per position the allowed tokens, ascending.
    ``values``:  per position what they stand for; nothing where the position is context.
    ``outputs``: by the answer that it stands for, an output of the model.
    ``read``:    the positions whose outputs have to be right, ascending; none where the readout
                 pools them.
    ``parts``:   by option, how a verdict spells each part; ``usual``: how it spells the usual one.
    """

    tokens: tuple[Numbers, ...]
    values: tuple[Numbers, ...]
    outputs: dict[int, int]
    read: Numbers
    parts: dict[str, str]
    usual: dict[str, str]

    @property
    def operands(self) -> list[int]:
        """The positions that are not context, of which tasks speak."""
        return [position for position, values in enumerate(self.values) if values]

    @property
    def unusual(self) -> dict[str, str]:
        """The parts that are not the usual ones, as a verdict spells them."""
        parts = self.parts.items()
        return {part: text for part, text in parts if text != self.usual[part]}

    def words(self) -> str:
        """Return the inputs in English: letters stand for operands, in their order."""
        texts = self.parts["domain"].split("/")
        if len(texts) < len(self.tokens):
            return f"for the domain {texts[0]}"
        names = dict(zip(self.operands, LETTERS, strict=False))
        ranges = [f"{name} in {texts[place]}" for place, name in names.items()]
        context = [names.get(place, text[1:]) for place, text in enumerate(texts)]
        return f"for all {', '.join(ranges)} in the context {' '.join(context)}"

    def ends(self) -> list[int]:
        """Return, per position that is read, how many operands stand there or before it."""
        last = len(self.tokens) - 1
        reads = self.read or (last,)
        return [sum(place <= read for place in self.operands) for read in reads]


def shown(text: str) -> str:
    """Return a text as verdicts show it: by its hash where it is long.  (SPEC-9.1)"""
    if len(text) <= MOST_TEXT:
        return text
    return f"sha256:{sha256(text.encode('ascii')).hexdigest()}"


def parse_ranges(value: object, where: str, size: int) -> tuple[Numbers, str]:
    """Return the members of ascending ranges below ``size`` that do not touch, at least one, and
    how a verdict spells them.

    Raises: Malformed (SPEC-3.x, SPEC-5.7).
    """
    found = list[int]()
    texts = list[str]()
    for first, last in pairs(value, where, 0, LARGEST):
        apart = not found or found[-1] + 1 < first
        ascending = apart and first <= last
        require_form(ascending, "SPEC-5.7", f"the ranges of {where} do not ascend")
        below = last < size
        require_form(below, "SPEC-5.7", f"{where}: {last} is not below {size}")
        found.extend(range(first, last + 1))
        texts.append(f"{first}-{last}" if first < last else f"{first}")
    require_form(bool(found), "SPEC-5.7", f"{where}: nothing is named")
    return tuple(found), "*" if len(found) == size else ",".join(texts)


def _parse_numbers(value: object, own: Numbers, where: str) -> tuple[Numbers, str]:
    """Return what tokens or outputs stand for, and how a verdict spells it: their own numbers;
    those from a number on, where they are one range; or as listed.

    Raises: Malformed (SPEC-3.x, SPEC-5.7).
    """
    if value == OWN:
        return own, OWN
    if isinstance(value, list):
        found = integers(value, where, -LARGEST, LARGEST)
        different = len(set(found)) == len(found) == len(own)
        require_form(
            different,
            "SPEC-5.7",
            f"{where} is not a list of {len(own)} numbers, all different",
        )
        return found, ",".join(map(str, found))
    first = integer(value, where, -LARGEST, LARGEST)
    one_range = own[-1] - own[0] + 1 == len(own)
    require_form(one_range, "SPEC-5.7", f"{where} is one number for several ranges")
    return tuple(range(first, first + len(own))), str(first)


def _parse_position(value: object, vocab: int) -> tuple[Numbers, Numbers, str, str]:
    """Return the tokens and the values of one position, and how a verdict spells both."""
    written = typed(value, dict, "a position of the domain")
    if "context" in written:
        (token,) = fields(written, "a context position", "context").values()
        only, _ = parse_ranges([[token, token]], "a context position", vocab)
        return only, (), f"@{only[0]}", ""
    found = fields(written, "a position of the domain", "tokens values")
    tokens, told = parse_ranges(found["tokens"], "tokens of the domain", vocab)
    values, text = _parse_numbers(found["values"], tokens, "values of the domain")
    return tokens, values, told, text


def _parse_read(value: object, model: Model) -> tuple[Numbers, str]:
    """Return the positions that are read, and how a verdict spells them."""
    n = model.sizes["n_ctx"]
    read = integers(value, "read of the domain", 0, LARGEST)
    ascending = list(read) == sorted(set(read)) and all(place < n for place in read)
    require_form(
        ascending and model.pooled == (not read),
        "SPEC-5.7",
        "read does not name positions of the model in their order, or is not empty "
        "where the readout pools all of them",
    )
    if read == (n - 1,) or model.pooled:
        return read, "last"
    return read, "all" if len(read) == n else ",".join(map(str, read))


def parse_domain(value: object, model: Model) -> Domain:
    """Return the domain that a certificate names.  (SPEC-5.7)

    Raises: Malformed (SPEC-3.x, SPEC-5.7), Declined (SPEC-3.5).
    """
    written = fields(value, "domain", "answers outputs positions read")
    sizes = model.sizes
    n = sizes["n_ctx"]
    listed = listing(written["positions"], "positions of the domain")
    require_form(
        len(listed) == n, "SPEC-5.7", f"the domain does not have {n} positions"
    )
    positions = [_parse_position(item, sizes["d_vocab"]) for item in listed]
    tokens, values, token_texts, value_texts = zip(*positions, strict=True)
    spelled = list(filter(None, value_texts))
    require_form(bool(spelled), "SPEC-5.7", "every position of the domain is context")
    width = sizes["d_vocab_out"]
    outputs, told = parse_ranges(written["outputs"], "outputs of the domain", width)
    answers, answer_text = _parse_numbers(
        written["answers"], outputs, "answers of the domain"
    )
    read, read_text = _parse_read(written["read"], model)
    parts = {
        "domain": shown("/".join(token_texts)),
        "values": shown("/".join(spelled)),
        "outputs": shown(told),
        "answers": shown(answer_text),
        "read": shown(read_text),
    }
    usual = {
        "domain": "/".join("*" * n),
        "values": "/".join([OWN] * len(spelled)),
        "outputs": "*",
        "answers": OWN,
        "read": "last",
    }
    named = dict(paired(answers, outputs))
    return Domain(tokens, values, named, read, parts, usual)
