"""TransformerLens's configuration: its defaults are taken over, and what changes the logits is
refused by name.
"""

from typing import Any

import pytest

from certify.errors import BadInput, CertifyError, Unsupported
from certify.model.config import Config
from certify.model.lens_config import names_an_architecture, translated_config

SIZES: dict[str, Any] = {"d_vocab": 4, "n_ctx": 3, "d_model": 8, "d_head": 2, "n_layers": 2}
ATTENTION: dict[str, Any] = {**SIZES, "attn_only": True, "normalization_type": None}
FULL: dict[str, Any] = {
    **SIZES,
    "n_heads": 4,
    "d_mlp": 6,
    "act_fn": "gelu_new",
    "eps": 1e-5,
    "d_vocab_out": 5,
    "normalization_type": "LNPre",
    "attention_dir": "causal",
    "attn_only": False,
    "positional_embedding_type": "standard",
    "model_name": "custom",
    "device": "cpu",
    "dtype": "torch.float32",
    "seed": 0,
    "attn_types": None,
    "initializer_range": 0.28,
    "use_attn_scale": True,
    "attn_scale": 2**0.5,
    "use_local_attn": False,
    "gated_mlp": False,
    "n_key_value_heads": None,
    "num_experts": None,
    "attn_scores_soft_cap": -1.0,
    "tie_word_embeddings": False,
}


def test_a_whole_configuration_is_translated() -> None:
    assert translated_config(FULL, "here") == Config(
        d_vocab=4,
        d_vocab_out=5,
        n_ctx=3,
        d_model=8,
        d_head=2,
        n_heads=4,
        n_layers=2,
        attn_only=False,
        act_fn="gelu_new",
        normalization_type="LNPre",
        d_mlp=6,
        eps="0x1.4f8b588e368f1p-17",
    )


def test_absent_fields_take_the_defaults() -> None:
    config = translated_config({**SIZES, "act_fn": "relu"}, "here")
    assert (config.n_heads, config.d_vocab_out, config.d_mlp) == (4, 4, 32)
    assert (config.normalization_type, config.variance_offset) == ("LN", 1e-5)
    assert (config.attention_dir, config.positional_embedding_type) == ("causal", "standard")


# What TransformerLens 3.9 and 4.3 write besides, for a model of one's own.
NEWER: dict[str, Any] = {
    "architecture": "TransformerLensNative",
    "attn_implementation": None,
    "clip_qkv": None,
    "default_padding_side": None,
    "is_audio_model": False,
    "is_multimodal": False,
    "is_stateful": False,
    "is_visual_model": False,
    "layer_norm_folding": False,
    "mm_tokens_per_image": None,
    "norm_topk_prob": False,
    "per_layer_head_dim": None,
    "per_layer_num_key_value_heads": None,
    "qk_norm_after_rope": False,
    "quantization_method": None,
    "rmsnorm_uses_offset": False,
    "rotary_base_local": None,
    "rotary_interleaved_cos_sin": False,
    "rotary_scaling_factor": 1.0,
    "scale_embedding": None,
    "split_attention_weights": False,
    "tokenizer_appends_eos": False,
    "train_seq_length": None,
    "use_attention_sinks": False,
    "use_dynamic_ntk_rope": False,
    "use_logn_attn": False,
    "use_yarn_rope": False,
    "uses_rms_norm": False,
    "vision_hidden_size": None,
    "vision_num_heads": None,
    "vision_num_layers": None,
    "yarn_attention_factor": 1.0,
    "yarn_beta_fast": 32.0,
    "yarn_beta_slow": 1.0,
    "yarn_factor": 1.0,
    "yarn_global_attn_only": False,
    "yarn_original_max_position_embeddings": 4096,
    "yarn_truncate": True,
}


def test_the_fields_of_newer_versions_are_known() -> None:
    assert translated_config({**FULL, **NEWER}, "here") == translated_config(FULL, "here")
    for name, value in [
        ("uses_rms_norm", True),
        ("use_attention_sinks", True),
        ("clip_qkv", 8.0),
        ("scale_embedding", 2.0),
        ("use_logn_attn", True),
        ("layer_norm_folding", True),
        ("per_layer_head_dim", [2, 2]),
    ]:
        with pytest.raises(Unsupported, match=f"here: config field {name} is "):
            translated_config({**FULL, **NEWER, name: value}, "here")


def test_a_training_record_need_not_name_an_architecture() -> None:
    assert not names_an_architecture({"lr": 0.001, "p": 113, "weight_decay": 1.0, "seed": 0})
    for field in ("d_model", "act_fn", "model_type", "readout"):
        assert names_an_architecture({"lr": 0.001, field: None})


def test_fields_without_meaning_are_dropped() -> None:
    config = translated_config({**ATTENTION, "d_mlp": 32, "eps": 1e-5, "act_fn": "relu"}, "here")
    assert (config.d_mlp, config.eps, config.act_fn) == (None, None, "relu")


def test_our_own_fields_are_kept() -> None:
    ours = {"attention_mix": 0.5, "readout": "last"}
    config = translated_config({**ATTENTION, **ours}, "here")
    assert (config.mix, config.readout) == (0.5, "last")
    assert translated_config(config.as_dict(), "here") == config
    assert (
        translated_config({**ATTENTION, "attention_mix": (0.25).hex(), "readout": None}, "here").mix
        == 0.25
    )
    whole = translated_config({**SIZES, "act_fn": "relu", "readout": "sum-pool-mlp"}, "here")
    assert translated_config(whole.as_dict(), "here") == whole


@pytest.mark.parametrize(
    ("changes", "failure", "message"),
    [
        (
            {"use_attn_scale": False},
            Unsupported,
            "config field use_attn_scale is false, supported is true",
        ),
        ({"use_attn_scale": 1}, Unsupported, "config field use_attn_scale is 1, supported is true"),
        (
            {"attn_scale": 8.0},
            Unsupported,
            "config field attn_scale is 8.0, supported is -1.0 or 1.4142135623730951",
        ),
        (
            {"use_local_attn": True},
            Unsupported,
            "config field use_local_attn is true, supported is false",
        ),
        (
            {"parallel_attn_mlp": True},
            Unsupported,
            "config field parallel_attn_mlp is true, supported is false",
        ),
        (
            {"scale_attn_by_inverse_layer_idx": True},
            Unsupported,
            "scale_attn_by_inverse_layer_idx is true",
        ),
        ({"final_rms": True}, Unsupported, "config field final_rms is true, supported is false"),
        ({"gated_mlp": True}, Unsupported, "config field gated_mlp is true, supported is false"),
        ({"num_experts": 4}, Unsupported, "config field num_experts is 4, supported is null"),
        (
            {"n_key_value_heads": 2},
            Unsupported,
            "config field n_key_value_heads is 2, supported is null or 4",
        ),
        (
            {"attn_scores_soft_cap": 50.0},
            Unsupported,
            "config field attn_scores_soft_cap is 50.0, supported is -1.0 or null",
        ),
        (
            {"surprise": None},
            Unsupported,
            'config field "surprise" is not known: leave it out if the logits do not depend on it',
        ),
        (
            {"positional_embedding_type": "rotary"},
            Unsupported,
            'config field positional_embedding_type is "rotary"',
        ),
        ({"normalization_type": "RMS"}, Unsupported, 'config field normalization_type is "RMS"'),
        ({"act_fn": "gelu"}, Unsupported, 'config field act_fn is "gelu"'),
        ({"act_fn": None}, Unsupported, "config field act_fn is null"),
        ({"d_vocab": None}, BadInput, "config field d_vocab must be a positive integer, not null"),
        (
            {"d_vocab_out": 0},
            BadInput,
            "config field d_vocab_out must be a positive integer, not 0",
        ),
        ({"eps": "small"}, BadInput, "config field eps must be a hexadecimal float"),
        ({"eps": -1.0}, BadInput, "config field eps must be a hexadecimal float"),
        ({"eps": float("nan")}, BadInput, "config field eps must be a hexadecimal float"),
    ],
)
def test_what_changes_the_logits_is_refused(
    changes: dict[str, Any], failure: type[CertifyError], message: str
) -> None:
    with pytest.raises(failure) as refusal:
        translated_config({**FULL, **changes}, "here")
    assert str(refusal.value).startswith("here: ")
    assert message in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_other_configurations_are_refused() -> None:
    for value, failure, message in [
        ([], BadInput, "here: the config must be a JSON object"),
        (
            {"model_type": "gpt2", "n_embd": 8},
            Unsupported,
            'here: the config describes a model of the type "gpt2";',
        ),
        ({"n_embd": 8}, Unsupported, 'here: config field "n_embd" is not known'),
        ({}, BadInput, "here: config field d_head is missing"),
    ]:
        with pytest.raises(failure) as refusal:
            translated_config(value, "here")
        assert str(refusal.value).startswith(message)
