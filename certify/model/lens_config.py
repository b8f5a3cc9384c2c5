"""Translate the configuration of a foreign model, TransformerLens's or our own, into ``Config``.

A dictionary that ``HookedTransformerConfig.to_dict`` returns, or a part of one:
absent fields take the defaults of ``HookedTransformerConfig``.  Fields without
effect on the logits are dropped; fields that could have one must have the value
without effect; a field that is not known is refused, since it might have one.
Our own fields ``attention_mix`` and ``readout`` are kept.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping

from certify.errors import BadInput, Unsupported
from certify.model.config import Config, config_from_dict

_DEFAULTS: Mapping[str, object] = {
    "n_heads": -1,
    "d_mlp": None,
    "act_fn": None,
    "eps": 1e-5,
    "normalization_type": "LN",
    "attention_dir": "causal",
    "attn_only": False,
    "positional_embedding_type": "standard",
    "d_vocab_out": -1,
}

# No effect on the logits of the stored weights: how they came about, where they are computed, which
# hooks there are.
_WITHOUT_EFFECT = frozenset(
    (
        "model_name",
        "original_architecture",
        "from_checkpoint",
        "checkpoint_index",
        "checkpoint_label_type",
        "checkpoint_value",
        "tokenizer_name",
        "tokenizer_prepends_bos",
        "default_prepend_bos",
        "window_size",
        "attn_types",
        "init_mode",
        "initializer_range",
        "init_weights",
        "seed",
        "device",
        "n_devices",
        "n_params",
        "dtype",
        "use_attn_result",
        "use_attn_in",
        "use_split_qkv_input",
        "use_hook_mlp_in",
        "use_hook_tokens",
        "ungroup_grouped_query_attention",
        "trust_remote_code",
        "rotary_dim",
        "rotary_base",
        "rotary_adjacent_pairs",
        "relative_attention_max_distance",
        "relative_attention_num_buckets",
        "decoder_start_token_id",
        "tie_word_embeddings",
        "NTK_by_parts_low_freq_factor",
        "NTK_by_parts_high_freq_factor",
        "NTK_by_parts_factor",
        "NTK_original_ctx_len",
        "use_NTK_by_parts_rope",
        "experts_per_token",
        "torch_dtype",
        "transformers_version",
        # Of TransformerLens 3, about positions or experts that are refused.
        "norm_topk_prob",
        "rotary_base_local",
        "rotary_scaling_factor",
        "train_seq_length",
        "use_dynamic_ntk_rope",
        "use_yarn_rope",
        "yarn_attention_factor",
        "yarn_beta_fast",
        "yarn_beta_slow",
        "yarn_factor",
        "yarn_original_max_position_embeddings",
        "yarn_truncate",
        # Of TransformerLens 4.
        "architecture",
        "attn_implementation",
        "default_padding_side",
        "tokenizer_appends_eos",
        "split_attention_weights",
        "rotary_interleaved_cos_sin",
        "rmsnorm_uses_offset",
        "vision_hidden_size",
        "vision_num_heads",
        "vision_num_layers",
        "mm_tokens_per_image",
    )
)
# What each of these must be, if it is there: anything else changes the logits.
_MUST_BE: Mapping[str, tuple[object, ...]] = {
    "use_attn_scale": (True,),
    "use_local_attn": (False,),
    "scale_attn_by_inverse_layer_idx": (False,),
    "parallel_attn_mlp": (False,),
    "gated_mlp": (False,),
    "final_rms": (False,),
    "post_embedding_ln": (False,),
    "load_in_4bit": (False,),
    "num_experts": (None,),
    "use_normalization_before_and_after": (False,),
    "attn_scores_soft_cap": (-1.0, None),
    "output_logits_soft_cap": (-1.0, None),
    "use_qk_norm": (False,),
    "qk_norm_after_rope": (False,),
    "clip_qkv": (None,),
    "quantization_method": (None,),
    "use_attention_sinks": (False,),
    "use_logn_attn": (False,),
    "yarn_global_attn_only": (False,),
    "layer_norm_folding": (False,),
    "uses_rms_norm": (False,),
    "scale_embedding": (None, False),
    "per_layer_head_dim": (None,),
    "per_layer_num_key_value_heads": (None,),
    "rope_scaling": (None,),
    "is_audio_model": (False,),
    "is_multimodal": (False,),
    "is_stateful": (False,),
    "is_visual_model": (False,),
}
_OURS = (
    *_DEFAULTS,
    "d_vocab",
    "n_ctx",
    "d_model",
    "d_head",
    "n_layers",
    "attention_mix",
    "readout",
)


def translated_config(value: object, origin: str) -> Config:
    """Return the configuration that a foreign one describes.

    Requires: ``origin`` names the file, for the messages.
    Errors:   ``BadInput`` if a size is missing or wrong; ``Unsupported`` naming a
              field that is not known or has a value that is not supported.
    """
    if not isinstance(value, dict):
        raise BadInput(f"{origin}: the config must be a JSON object")
    if "d_vocab" not in value and isinstance(value.get("model_type"), str):
        raise Unsupported(
            f"{origin}: the config describes a model of the type {json.dumps(value['model_type'])};"
            " supported are TransformerLens's fields (d_vocab, n_ctx, d_model, ...)"
        )
    given = {name: entry for name, entry in value.items() if name not in _WITHOUT_EFFECT}
    _require_without_effect(given, origin)
    found: dict[str, object] = {
        **_DEFAULTS,
        **{name: given[name] for name in _OURS if name in given},
    }
    d_model, d_head = found.get("d_model"), found.get("d_head")
    if found["n_heads"] == -1 and type(d_model) is int and type(d_head) is int and d_head > 0:
        found["n_heads"] = d_model // d_head
    if found["d_vocab_out"] == -1:
        found["d_vocab_out"] = found.get("d_vocab")
    if found["attn_only"] is True:
        del found["d_mlp"]
    elif found["d_mlp"] is None and type(d_model) is int:
        found["d_mlp"] = 4 * d_model
    if found["normalization_type"] is None:
        del found["eps"]
    for name in ("eps", "attention_mix"):
        number = found.get(name)
        if type(number) in (int, float):
            # an int or a float, as just found
            found[name] = float(number).hex()  # type: ignore[arg-type]
    return config_from_dict(
        {name: entry for name, entry in found.items() if name != "readout" or entry is not None},
        origin,
    )


def names_an_architecture(value: Mapping[object, object]) -> bool:
    """Return whether a dictionary has a single field of an architecture, so that it can be a
    configuration at all; a training record may have only a learning rate.
    """
    return bool({*_OURS, *_MUST_BE, "model_type", "attn_scale"} & set(value))


def _require_without_effect(given: Mapping[str, object], origin: str) -> None:
    """Refuse fields that are not known, or that mean an architecture that is not supported."""
    for name in sorted(set(given) - set(_OURS)):
        found = given[name]
        if name == "attn_scale":
            d_head = given.get("d_head")
            root = math.sqrt(d_head) if type(d_head) is int and d_head > 0 else math.nan
            allowed: tuple[object, ...] = (-1.0, root)
        elif name == "n_key_value_heads":
            allowed = (None, given.get("n_heads"))
        elif name in _MUST_BE:
            allowed = _MUST_BE[name]
        else:
            raise Unsupported(
                f"{origin}: config field {json.dumps(name)} is not known: leave it out if the"
                " logits do not depend on it"
            )
        if not any(
            found == one and isinstance(found, bool) == isinstance(one, bool) for one in allowed
        ):
            shown = " or ".join(json.dumps(one) for one in allowed)
            raise Unsupported(
                f"{origin}: config field {name} is {json.dumps(found, default=repr)}, supported is"
                f" {shown}"
            )
