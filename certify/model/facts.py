"""What somebody says of a file beside its tensors, and what a file leaves open.

The tensors of a network do not show the activation of its MLP, a layer norm without weights, what
layer norm adds to the variance, the share of softmax in a mixed attention pattern, or, where heads
are fused, how many they are.  ``Told`` holds what the caller knows of these; a ``Fact`` is one that
nobody has told.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from certify.errors import WrongOption
from certify.model.config import MLP_ACTIVATIONS, quoted

NORMALIZATIONS = ("none", "LN", "LNPre")
DIRECTIONS = ("causal", "bidirectional")


@dataclass(frozen=True, slots=True)
class Told:
    """What the caller says of a file; None and empty where nothing is said.

    ``act``, ``normalization`` (``none``, ``LN`` or ``LNPre``), ``eps``, ``heads``,
    ``attention_dir`` and ``attention_mix`` are fields of the architecture.  ``positions`` is how
    many of the positions are kept, ``layout`` the name of a layout, ``skip`` holds names of entries
    to leave out, and ``entry`` says which of several state dicts is meant.
    """

    act: str | None = None
    normalization: str | None = None
    eps: float | None = None
    heads: int | None = None
    attention_dir: str | None = None
    attention_mix: float | None = None
    positions: int | None = None
    tied_unembed: bool = False
    layout: str | None = None
    skip: tuple[str, ...] = ()
    entry: str | None = None

    def fields(self) -> dict[str, object]:
        """Return what is said of the architecture, under the names of a configuration."""
        normalization = None if self.normalization == "none" else self.normalization
        said = {
            "act_fn": self.act,
            "eps": self.eps,
            "n_heads": self.heads,
            "attention_dir": self.attention_dir,
            "attention_mix": self.attention_mix,
        }
        found: dict[str, object] = {
            name: value for name, value in said.items() if value is not None
        }
        if self.normalization is not None:
            found["normalization_type"] = normalization
        return found


@dataclass(frozen=True, slots=True)
class Fact:
    """Something that a file does not say, the option that says it, and an option to try."""

    what: str
    option: str
    usual: str


ACTIVATION = Fact(
    "the activation of the MLP", f"--act {'|'.join(MLP_ACTIVATIONS)}", f"--act {MLP_ACTIVATIONS[0]}"
)
VARIANCE_OFFSET = Fact("what layer norm adds to the variance", "--eps E, often 1e-5", "--eps 1e-5")
DIRECTION = Fact(
    "which keys a position sees",
    f"--attention-dir {'|'.join(DIRECTIONS)}",
    f"--attention-dir {DIRECTIONS[0]}",
)
HEADS = Fact("the number of heads", "--heads H", "--heads H")
TIED = Fact(
    "the unembedding, which may be the embedding transposed", "--tied-unembed", "--tied-unembed"
)


def require_told(missing: Iterable[Fact], origin: str) -> None:
    """Refuse a file that leaves facts open, naming all of them in one line.

    Errors: ``WrongOption``.
    """
    texts = [f"{fact.what} ({fact.option})" for fact in missing]
    if texts:
        raise WrongOption(f"{origin}: the file does not say: {'; '.join(texts)}")


def with_told(config: Mapping[str, object], told: Told, origin: str) -> dict[str, object]:
    """Return the fields of a configuration and those that the caller adds.

    Errors: ``WrongOption`` if both say something, and not the same.
    """
    merged = dict(config)
    for name, value in told.fields().items():
        there = merged.get(name)
        unsaid = name not in merged or (there is None and name != "normalization_type")
        if not unsaid and _number(there) != value:
            raise WrongOption(
                f"{origin}: the configuration has {name} {quoted(there)}, the options say"
                f" {quoted(value)}"
            )
        merged[name] = value
    return merged


def _number(value: object) -> object:
    """Return a value of a configuration, hexadecimal floats as numbers."""
    if isinstance(value, str) and value.startswith("0x"):
        try:
            return float.fromhex(value)
        except (ValueError, OverflowError):
            return value
    return value
