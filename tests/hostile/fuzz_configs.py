"""Changes of what a student is loaded from, by what a config means: types, sizes, second files.

Each takes the files of a start and a tokenizer, and returns those that differ and what was done.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from mixkd.shared.models.config import MODEL_TYPES
from tests.hostile import fuzz_json, fuzz_settings
from tests.hostile.fuzz_settings import Files
from tests.hostile.student_registry import (
    CONFIG,
    START,
    TOKENIZER,
    TOKENIZER_CONFIG,
    VOCABULARY,
    WEIGHTS,
)

BAIT = "BAIT"  # stands for the path of a file outside the cache that nobody may open
Change = Callable[[Random, Files], tuple[dict[str, bytes], str]]

# What libraries look for, in any config: code, other files, other places, sizes, behaviour.
CONFIG_KEYS = (
    *("configuration_files", "auto_map", "quantization_config", "_attn_implementation"),
    *("attn_implementation", "_experts_implementation", "transformers_weights", "dtype"),
    *("torch_dtype", "architectures", "model_type", "transformers_version", "_commit_hash"),
    *("num_labels", "id2label", "label2id", "problem_type", "is_decoder", "add_cross_attention"),
    *("tie_word_embeddings", "tie_encoder_decoder", "is_encoder_decoder", "pruned_heads"),
    *("chunk_size_feed_forward", "output_attentions", "output_hidden_states", "return_dict"),
    *("use_cache", "torchscript", "pad_token_id", "bos_token_id", "eos_token_id", "sep_token_id"),
    *("rope_parameters", "rope_scaling", "layer_types", "sliding_window", "text_config"),
    *("vision_config", "base_config_key", "sub_configs", "reference_compile", "hidden_act"),
    *("gradient_checkpointing", "classifier_dropout", "classifier_pooling", "generation_config"),
    *("task_specific_params", "tokenizer_class", "name_or_path", "_name_or_path", "peft_config"),
)
# Methods and properties of the class of configs.
SHADOWED = (
    *("to_dict", "to_diff_dict", "to_json_string", "update", "save_pretrained", "from_dict"),
    *("num_labels", "use_return_dict", "output_attentions", "attribute_map", "get_text_config"),
    *("keys_to_ignore_at_inference", "base_model_tp_plan", "has_no_defaults_at_init", "model_type"),
    *("__class__", "__dict__", "__init__", "_auto_class", "validate", "standardize_rope_params"),
    *("convert_rope_params_to_dict", "name_or_path", "dict_dtype_to_str", "rope_parameters"),
)
TOKENIZER_KEYS = (
    *("tokenizer_file", "vocab_file", "merges_file", "chat_template", "fast_tokenizer_files"),
    *("tokenizer_class", "auto_map", "added_tokens_decoder", "extra_special_tokens"),
    *("additional_special_tokens", "special_tokens_map_file", "model_input_names", "backend"),
    *("model_max_length", "max_length", "stride", "pad_to_multiple_of", "padding_side"),
    *("truncation_side", "truncation_strategy", "clean_up_tokenization_spaces", "from_slow"),
    *("split_special_tokens", "do_lower_case", "strip_accents", "unk_token", "pad_token"),
    *("mask_token", "cls_token", "sep_token", "pad_token_type_id", "processor_class"),
    *("name_or_path", "is_local", "local_files_only", "init_inputs", "response_schema"),
    *("add_bos_token", "add_eos_token", "add_prefix_space", "trim_offsets", "tekken_file"),
)
PATHS = (BAIT, "../../bait", "/dev/zero", "a/b", "other.json", "tokenizer.json", "https://a.b/c")
ODD: tuple[Any, ...] = (
    *(None, True, False, 0, 1, -1, 7, 2**31, 2**62, 2**63, 10**30, 0.5, -1.5, 1e308, 5e-324),
    *(float("inf"), float("nan"), "", "x", "32", "\ud800", "\u202e", "a" * 300, *PATHS),
    *([], [1], [[]], [None], ["x"], [-1, 2**40], [0] * 1000, {}, {"a": 1}, {"x": {}}, {"0": "a"}),
    *({"content": "a"}, {"default": BAIT}, [{"name": "default", "template": "{{ 1 }}"}]),
)
SIZES = (1, 2, 3, 4, 8, 12, 32, 64, 100, 128, 256, 512, 1000, 1024, 4096, 2**14, 2**16, 2**17)
SIZE_KEYS = (
    *("num_hidden_layers", "num_attention_heads", "hidden_size", "intermediate_size", "dim"),
    *("num_hidden_groups", "inner_group_num", "embedding_size", "max_position_embeddings"),
    *("type_vocab_size", "vocab_size", "num_labels", "chunk_size_feed_forward", "n_layers"),
    *("max_relative_positions", "position_buckets", "relative_attention_num_buckets", "n_heads"),
    *("attention_window", "conv_kernel_size", "num_experts", "global_attn_every_n_layers"),
    *("local_attention", "head_dim", "num_key_value_heads", "hidden_dim", "d_model", "d_ff"),
)
# Sizes that some family multiplies by each other, or by themselves.
PRODUCTS: tuple[tuple[str, ...], ...] = (
    ("albert", "num_hidden_groups", "inner_group_num", "num_hidden_layers"),
    ("deberta-v2", "max_relative_positions", "position_buckets", "max_position_embeddings"),
    ("mpnet", "relative_attention_num_buckets", "max_position_embeddings", "num_attention_heads"),
    ("modernbert", "local_attention", "max_position_embeddings", "global_attn_every_n_layers"),
    ("fnet", "tpu_short_seq_length", "max_position_embeddings", "hidden_size"),
    ("gpt2", "n_positions", "n_embd", "n_head"),
    ("gpt_neo", "max_position_embeddings", "window_size", "num_layers"),
    ("codegen", "n_positions", "n_ctx", "n_head"),
    ("perceiver", "num_latents", "d_latents", "num_self_attends_per_block", "num_blocks"),
    ("funnel", "block_sizes", "block_repeats", "d_model"),
    ("longformer", "attention_window", "max_position_embeddings"),
    ("big_bird", "block_size", "num_random_blocks", "max_position_embeddings"),
    ("canine", "num_hash_functions", "num_hash_buckets", "upsampling_kernel_size"),
    ("mobilebert", "num_feedforward_networks", "num_hidden_layers"),
    ("nystromformer", "num_landmarks", "conv_kernel_size", "max_position_embeddings"),
    ("yoso", "num_hash", "hash_code_len"),
    ("mixtral", "num_local_experts", "num_hidden_layers", "intermediate_size"),
)
KERNELS = {"model_type": "bert", "_attn_implementation": "someone/evil"}
SECOND: tuple[Any, ...] = (
    {"auto_map": {"AutoConfig": "bait.Bait", "AutoTokenizer": ["bait.Bait", None]}},
    {"quantization_config": {"quant_method": "gptq", "bits": 4}},
    KERNELS,
    {"model_type": "bert", "num_hidden_layers": 10**9, "vocab_size": 10**9},
    {"base_model_name_or_path": BAIT, "peft_type": "LORA"},
    {"metadata": {}, "weight_map": {"a": BAIT}},
    {"tokenizer_file": BAIT, "tokenizer_class": "PreTrainedTokenizerFast"},
    {"chat_template": "{% for i in range(10**9) %}{{ i }}{% endfor %}"},
    {"default": BAIT},
    [],
    "text",
)
NAMES = (
    *("config.1.0.json", "config.4.0.0.json", "other.json", "adapter_config.json"),
    *("generation_config.json", "model.safetensors.index.json", "more.safetensors"),
    *("preprocessor_config.json", "processor_config.json", "special_tokens_map.json"),
    *("added_tokens.json", "tokenizer.1.0.json", "tokenizer.4.0.json", "vocab.json", "vocab.txt"),
    *("merges.txt", "tokenizer.model", "spiece.model", "sentencepiece.bpe.model", "tekken.json"),
    *("chat_template.jinja", "chat_template.json", "pytorch_model.bin", "model.gguf", "bait.py"),
    *("config.json", "tokenizer_config.json", "tokenizer.json", "model.safetensors"),
)
POINTERS = (
    *((CONFIG, "configuration_files"), (CONFIG, "transformers_weights")),
    *((TOKENIZER_CONFIG, "fast_tokenizer_files"), (TOKENIZER_CONFIG, "tokenizer_file")),
    *((TOKENIZER_CONFIG, "vocab_file"), (TOKENIZER_CONFIG, "chat_template")),
    *((TOKENIZER_CONFIG, "tekken_file"), (TOKENIZER_CONFIG, "special_tokens_map_file")),
)
BEYOND_JSON = (b"", b"\x80\x04cos\nsystem\n.", b"GGUF" + bytes(60), b"{{ 1 }}", b"a b\nc d\n")


def _read(files: Files, name: str) -> dict[str, Any]:
    value: dict[str, Any] = json.loads(files[name])
    return value


def typed(random: Random, files: Files) -> tuple[dict[str, bytes], str]:
    """A few keys of a config, existing or known to a library, of another type or at its ends."""
    name, known = random.choice(((CONFIG, CONFIG_KEYS), (TOKENIZER_CONFIG, TOKENIZER_KEYS)))
    value, steps = _read(files, name), []
    for _ in range(random.choice((1, 1, 1, 2, 3))):
        key = random.choice((*sorted(value), *known))
        value[key] = _odd(random)
        steps.append(f"{key}: {str(value[key])[:60]!r}")
    return {name: fuzz_json.spelled(value)}, f"{name}: {', '.join(steps)}"


def _odd(random: Random) -> Any:
    """Of any type; sometimes within lists or tables."""
    value = random.choice(ODD)
    if random.random() < 0.2:
        return fuzz_json.nested(value, random.choice((1, 2, 50)), random.random() < 0.5)
    return value


def sizes(random: Random, files: Files) -> tuple[dict[str, bytes], str]:
    """A few sizes at once, each of which a model may have; at times of another type."""
    value, steps = _read(files, CONFIG), []
    keys = sorted(key for key, number in value.items() if type(number) is int)
    known = [product for product in PRODUCTS if product[0] == value["model_type"]]
    if known and random.random() < 0.5:
        keys = list(known[0][1:])
    elif random.random() < 0.5:
        value["model_type"], *keys = random.choice(PRODUCTS)
    elif random.random() < 0.3:
        keys = [*keys, *SIZE_KEYS]
    steps.append(f"model_type: {value['model_type']}")
    for key in random.sample(keys, min(len(keys), random.choice((2, 2, 3, 4)))):
        value[key] = random.choice(SIZES)
        if key == "block_sizes" or random.random() < 0.02:
            value[key] = [value[key]] * random.choice((1, 3, 64))
        steps.append(f"{key}: {str(value[key])[:40]}")
    return {CONFIG: fuzz_json.spelled(value)}, ", ".join(steps)


def second_file(random: Random, files: Files) -> tuple[dict[str, bytes], str]:
    """One more file, or another in place of one, and at times a key that points to it."""
    folder = random.choice((START, TOKENIZER))
    name = f"{folder}/{random.choice(NAMES)}"
    like = CONFIG if folder == START else TOKENIZER_CONFIG
    data = random.choice(
        (
            fuzz_json.spelled({**_read(files, like), **_table(random)}),
            fuzz_json.spelled(random.choice(SECOND)),
            random.choice(BEYOND_JSON),
            files[random.choice((CONFIG, VOCABULARY, WEIGHTS))],
        )
    )
    changed, steps = {name: data}, f"{name} of {data[:80]!r}"
    if random.random() < 0.6:
        pointing, key = random.choice(POINTERS)
        value = _read({**files, **changed} if _is_table(changed.get(pointing)) else files, pointing)
        target = name.rpartition("/")[2]
        spelling = random.choice((target, f"./{target}", f"../../{name}", BAIT))
        value[key] = [spelling] if key.endswith("files") or random.random() < 0.2 else spelling
        changed[pointing] = fuzz_json.spelled(value)
        steps += f", {key} of {pointing}: {value[key]}"
    return changed, steps


def _table(random: Random) -> dict[str, Any]:
    return random.choice([value for value in SECOND if isinstance(value, dict)])


def _is_table(data: bytes | None) -> bool:
    try:
        return data is not None and isinstance(json.loads(data), dict)
    except ValueError:
        return False


def bounds(random: Random, files: Files) -> tuple[dict[str, bytes], str]:
    """A config of another allowed type, or with numbers next to what its weights explain."""
    value = _read(files, CONFIG)
    changes: dict[str, Any] = {}
    for _ in range(random.choice((1, 1, 2, 3))):
        changes |= _near(random, value)
    return {CONFIG: fuzz_json.spelled(value | changes)}, str(changes)[:400]


def _near(random: Random, value: dict[str, Any]) -> dict[str, Any]:
    kind = random.randrange(6)
    if kind == 0:
        return {"model_type": random.choice(MODEL_TYPES)}
    if kind == 1:
        groups = ("num_hidden_groups", "inner_group_num", "num_hidden_layers")
        counts = {key: random.choice((0, 1, 1, 2, 3, 64, 65)) for key in groups}
        return {**counts, **random.choice(({}, {"model_type": "albert"}))}
    if kind == 2:
        return {random.choice(("rope_parameters", "rope_scaling")): _rope(random)}
    if kind == 3:
        return {random.choice(SHADOWED): _odd(random)}
    key = random.choice(sorted(key for key, number in value.items() if type(number) is int))
    near = (0, 1, value[key] - 1, value[key] + 1, 2 * value[key], -1, 2**17 - 1, 2**17, 2**17 + 1)
    return {key: random.choice(near)}


def _rope(random: Random) -> Any:
    """Of one kind of layers, or of each."""
    one = {
        "rope_type": random.choice(
            ("default", "linear", "dynamic", "yarn", "longrope", "llama3", "x")
        ),
        "rope_theta": random.choice((0, 1, 10_000.0, -1.0, 10**30, 1e308, "10000", None)),
        "factor": random.choice((0, 1.0, 8.0, -1, 1e308)),
        "original_max_position_embeddings": random.choice((0, 1, 80, 2**17)),
        "partial_rotary_factor": random.choice((0, 0.5, 1.0, 2.0, 1e9)),
        **dict.fromkeys(("short_factor", "long_factor"), random.choice(([], [1.0] * 8, [0]))),
    }
    for key in random.sample(sorted(one), random.randrange(len(one))):
        del one[key]
    if random.random() < 0.5:
        return one
    return {
        kind: random.choice((one, {}, None)) for kind in ("full_attention", "sliding_attention")
    }


def two(random: Random, files: Files) -> tuple[dict[str, bytes], str]:
    """Changes of the model and of the tokenizer, or two of the tokenizer, at once."""
    pair = random.choice(
        (
            (bounds, fuzz_settings.settings),
            (bounds, fuzz_settings.other_class),
            (fuzz_settings.steps, fuzz_settings.settings),
            (fuzz_settings.definition, fuzz_settings.settings),
            (fuzz_settings.other_class, fuzz_settings.settings),
        )
    )
    changed: dict[str, bytes] = {}
    said = []
    for change in pair:
        more, what = change(random, {**files, **changed})
        changed |= more
        said.append(what)
    return changed, "; ".join(said)


# What most of the time is decoded, and reaches the bounds behind the decoder.
STRUCTURED: dict[str, Change] = {
    "bounds": bounds,
    "class": fuzz_settings.other_class,
    "settings": fuzz_settings.settings,
    "steps": fuzz_settings.steps,
    "tokenizer": fuzz_settings.definition,
    "two": two,
}
CHANGES: dict[str, Change] = {
    **STRUCTURED,
    "typed": typed,
    "sizes": sizes,
    "second file": second_file,
}
