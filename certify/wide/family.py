"""The family of proofs of wide cells: Max-of-K on one layer of attention with several heads."""

from __future__ import annotations

from certify.cells.numbering import numbering_of
from certify.cells.show import SHOWING
from certify.errors import Unsupported
from certify.family import Family
from certify.model.config import Config, is_one_layer
from certify.question.question import Question
from certify.question.rules import MAX_OF_K
from certify.wide.draft import draft
from certify.wide.form import FORM
from certify.wide.strategies import STRATEGIES

MOST_HEADS = 4


def require(config: Config, question: Question, origin: str) -> None:
    """Refuse an architecture or a domain that wide cells are not proved for, and one that cells of
    one head are proved for.

    Errors: ``Unsupported``, one line.
    """
    due: dict[str, tuple[object, ...]] = {
        "n_layers": (1,),
        "n_heads": tuple(range(1, MOST_HEADS + 1)),
        "readout": (None, "last"),
        "attention_mix": (None, (1.0).hex()),
    }
    for name, values in due.items():
        if getattr(config, name) not in values:
            raise Unsupported(
                f"{origin}: proofs of wide cells do not support config field {name}: supported is"
                f" one layer with at most {MOST_HEADS} heads, and layer norm or a ReLU MLP"
            )
    if not config.attn_only and (config.act_fn, config.normalization_type) != ("relu", None):
        raise Unsupported(
            f"{origin}: proofs of wide cells need an MLP with relu in a model without normalisation"
        )
    if is_one_layer(config):
        raise Unsupported(f"{origin}: a model with one head and nothing else has proofs of cells")
    numbering_of(question.domain, config.d_vocab_out)


FAMILY = Family(
    kind="wide",
    tasks=(MAX_OF_K,),
    strategies=STRATEGIES,
    usual="exact",
    usual_for="Max-of-K on one layer with several heads, layer norm or a ReLU MLP",
    require=require,
    draft=draft,
    showing=SHOWING,
    ladder=FORM,
    title="several heads: H heads",
)
