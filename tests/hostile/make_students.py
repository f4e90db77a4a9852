"""Caches whose student or tokenizer attacks who trains from them, with valid digests and seal.

Each starts from a real sealed cache. `STUDENTS` must be refused. `LOADED` are suspicious but
harmless: a student is loaded, and nothing outside the cache is opened.
"""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import safetensors.numpy

from mixkd.teacher_cache.starts import student_start
from tests.hostile import (
    make_students_steps,
    make_students_tokenizer,
    make_students_weights,
)
from tests.hostile.sign import sign, unlist
from tests.hostile.student_registry import (
    CONFIG,
    LOADED,
    MALFORMED,
    MEMORY_BYTES,
    MODEL,
    START,
    STUDENTS,
    TOKENIZER,
    UNSAFE,
    WEIGHTS,
    edit_json,
    put,
    read_json,
    student,
    table,
)
from tests.miniature import tiny_model

__all__ = [
    "LOADED",
    "MEMORY_BYTES",
    "STUDENTS",
    "make_students_steps",
    "make_students_tokenizer",
    "make_students_weights",
]

# A config that lies about its weights.

table(
    "config",
    CONFIG,
    {
        "wider": ({"hidden_size": 64, "intermediate_size": 96}, (UNSAFE,)),
        "narrower": ({"hidden_size": 16}, (UNSAFE,)),
        "width_zero": ({"hidden_size": 0}, (UNSAFE, MALFORMED)),
        "width_negative": ({"hidden_size": -32}, (UNSAFE, MALFORMED)),
        "width_huge": ({"hidden_size": 2**60}, (UNSAFE,)),
        "width_beyond_64_bits": ({"hidden_size": 10**400}, (UNSAFE,)),
        "width_text": ({"hidden_size": "32"}, (MALFORMED,)),
        "width_float": ({"hidden_size": 1e12}, (MALFORMED,)),
        "width_list": ({"hidden_size": [32] * 100_000}, (UNSAFE, MALFORMED)),
        "heads_zero": ({"num_attention_heads": 0}, (MALFORMED,)),
        "heads_that_do_not_divide": ({"num_attention_heads": 3}, (MALFORMED,)),
        "deeper": ({"num_hidden_layers": 2}, (MODEL,)),
        "deep_64": ({"num_hidden_layers": 64}, (UNSAFE,)),
        "deep_by_16": ({"num_hidden_layers": 16}, (UNSAFE, MODEL)),
        "deep_billion": ({"num_hidden_layers": 10**9}, (UNSAFE,)),
        "vocabulary_huge": ({"vocab_size": 10**12}, (UNSAFE,)),
        "vocabulary_larger": ({"vocab_size": 161}, (UNSAFE,)),
        "vocabulary_none": ({"vocab_size": 0}, (UNSAFE, MALFORMED)),
        "types_many": ({"type_vocab_size": 10**9}, (UNSAFE,)),
        "positions_many": ({"max_position_embeddings": 2**40}, (UNSAFE,)),
        "pad_beyond_the_vocabulary": ({"pad_token_id": 10**5}, (MODEL, MALFORMED)),
        "pad_negative": ({"pad_token_id": -5}, (MODEL, MALFORMED)),
        "pad_text": ({"pad_token_id": "0"}, (MODEL, MALFORMED)),
        "chunks": ({"chunk_size_feed_forward": 7}, (MODEL, MALFORMED)),
        "activation_unknown": ({"hidden_act": "__import__('os').system"}, (MALFORMED,)),
        "dropout_five": ({"hidden_dropout_prob": 5.0}, (MALFORMED,)),
        "dtype_unknown": ({"dtype": "os.system"}, (MALFORMED,)),
        # Code and files from elsewhere.
        "auto_map": ({"auto_map": {"AutoModel": "bait.Bait"}}, (UNSAFE,)),
        "auto_map_of_a_repository": ({"auto_map": {"AutoConfig": "some/one--b.B"}}, (UNSAFE,)),
        "quantization": ({"quantization_config": {"quant_method": "gptq"}}, (UNSAFE,)),
        "quantization_null": ({"quantization_config": {}}, (UNSAFE,)),
        "attention_kernels": ({"_attn_implementation": "someone/kernels"}, (UNSAFE,)),
        "attention_kernels_below": ({"text_config._attn_implementation": "a/b"}, (UNSAFE,)),
        "weights_elsewhere": ({"transformers_weights": "../../../bait"}, (UNSAFE,)),
        "weights_absolute": ({"transformers_weights": "BAIT"}, (UNSAFE,)),
        "type_unknown": ({"model_type": "unheard-of"}, (UNSAFE,)),
        "type_of_foreign_code": ({"model_type": "chatglm"}, (UNSAFE,)),
        "type_of_images": ({"model_type": "timm_wrapper"}, (UNSAFE,)),
        "type_of_decoders": (
            {"model_type": "gpt2", "n_positions": 2**17, "n_ctx": 2**17, "n_layer": 48},
            (UNSAFE,),
        ),
        "type_of_transforms": (
            {
                "model_type": "fnet",
                "use_tpu_fourier_optimizations": True,
                "tpu_short_seq_length": 2**17,
            },
            (UNSAFE,),
        ),
        "groups_of_groups": (
            {"model_type": "albert", "num_hidden_groups": 2000, "inner_group_num": 2000},
            (UNSAFE,),
        ),
        "second_config": ({"configuration_files": ["config.4.0.0.json"]}, (UNSAFE,)),
        "fusions": ({"fusion_config": {"patch_embeddings": True}}, (UNSAFE,)),
        "layers_of_their_own": ({"per_layer_config": {"0": {"hidden_size": 2}}}, (UNSAFE,)),
        "saving_replaced": ({"save_pretrained": 1}, (MODEL, MALFORMED)),
        "conversion_replaced": ({"to_dict": "x"}, (MODEL, MALFORMED)),
        "names_replaced": (
            {"attribute_map": {"hidden_size": "vocab_size"}},
            (MODEL, MALFORMED, UNSAFE),
        ),
        "type_list": ({"model_type": ["bert"]}, (UNSAFE,)),
        "type_none": ({"model_type": None, "architectures": None}, (UNSAFE,)),
        "type_path": ({"model_type": "../../bait"}, (UNSAFE,)),
    },
)
table(
    "config",
    CONFIG,
    {
        "harmless_labels_billion": ({"num_labels": 10**9, "id2label": None}, ()),
        "harmless_labels_no_numbers": ({"id2label": {"9" * 5000: "a"}}, ()),
        "harmless_attention": ({"_attn_implementation": "eager"}, ()),
        "harmless_attention_noted": ({"_attn_implementation_autoset": True}, ()),
        "harmless_quantization_null": ({"quantization_config": None}, ()),
        "harmless_architecture": ({"architectures": ["os.system"]}, ()),
        "harmless_architectures_number": ({"architectures": 5}, ()),
        "harmless_depth": ({"num_hidden_layers": -1}, ()),
        "harmless_decoder": ({"is_decoder": True}, ()),
        "harmless_name_or_path": ({"_name_or_path": "BAIT"}, ()),
        "harmless_tokenizer_class": ({"tokenizer_class": "os.system"}, ()),
        "harmless_pruned_heads": ({"pruned_heads": {"0": [0]}}, ()),
    },
)

for key, content in {
    "empty": b"",
    "list": b"[]",
    "cut": b'{"model_type": "bert"',
    "deep": b'{"a":' + b"[" * 200_000 + b"]" * 200_000 + b"}",
    "deep_by_900": b'{"model_type": "bert", "a":' + b"[" * 900 + b"]" * 900 + b"}",
    "digits": b'{"hidden_size": ' + b"9" * 5000 + b"}",
    "utf_16": '{"model_type": "bert"}'.encode("utf-16"),
    "not_utf_8": b'{"model_type": "\xff"}',
    "surrogate": b'{"model_type": "\\ud800"}',
    "nan": b'{"model_type": "bert", "hidden_size": NaN}',
}.items():
    student(f"config_{key}", UNSAFE if key == "deep_by_900" else MALFORMED)(put(CONFIG, content))


@student("config_twice")
def config_twice(root: Path, bait: Path) -> None:
    """The last of two equal keys wins in Python, the first elsewhere."""
    text = json.dumps(read_json(root, CONFIG))
    sign(
        root, {CONFIG: ('{"auto_map": {"AutoModel": "b.B"}, "auto_map": null,' + text[1:]).encode()}
    )


@student("config_of_many_blocks", UNSAFE)
def config_of_many_blocks(root: Path, bait: Path) -> None:
    """Each number is small, but there are as many as one likes."""
    value = read_json(root, CONFIG) | {"model_type": "funnel", "block_sizes": [64] * 10_000}
    del value["num_hidden_layers"]
    sign(root, {CONFIG: json.dumps(value).encode()})


@student("config_of_many_lists", UNSAFE, MALFORMED)
def config_of_many_lists(root: Path, bait: Path) -> None:
    value = read_json(root, CONFIG)
    sign(root, {CONFIG: json.dumps({**value, "more": [[]] * 2_000_000}).encode()})


@student("config_of_many_keys", UNSAFE, MALFORMED)
def config_of_many_keys(root: Path, bait: Path) -> None:
    value = read_json(root, CONFIG)
    more = {f"key {number}": number for number in range(300_000)}
    sign(root, {CONFIG: json.dumps({**value, **more}).encode()})


@student("config_of_shared_layers", UNSAFE)
def config_of_shared_layers(root: Path, bait: Path) -> None:
    """ALBERT's layers share their weights: they cost time, but no tensors."""
    files = student_start(tiny_model("albert"), (0,))
    sign(root, {f"{START}/{name}": content for name, content in files.items()})
    edit_json(root, CONFIG, {"num_hidden_layers": 100_000})


@student("config_of_positions_by_formula")
def config_of_positions_by_formula(root: Path, bait: Path) -> None:
    """DistilBERT computes them one by one, in Python."""
    files = student_start(tiny_model("distilbert"), (0,))
    sign(root, {f"{START}/{name}": content for name, content in files.items()})
    data = (root / WEIGHTS).read_bytes()
    tensors = safetensors.numpy.load(data)
    name = next(name for name in tensors if name.endswith("position_embeddings.weight"))
    tensors[name] = np.zeros((2**14, 32), np.float32)
    changes = {"sinusoidal_pos_embds": True, "max_position_embeddings": 2**14}
    sign(root, {WEIGHTS: safetensors.numpy.save(tensors, {"format": "pt"})})
    edit_json(root, CONFIG, changes)


@student("config_of_a_head_per_column")
def config_of_a_head_per_column(root: Path, bait: Path) -> None:
    """Attention has a square of scores for each head."""
    config = read_json(root, CONFIG)
    edit_json(root, CONFIG, {"num_attention_heads": config["hidden_size"]})


@student("config_second", UNSAFE)
def config_second(root: Path, bait: Path) -> None:
    """transformers reads another config where the first one lists it."""
    second = read_json(root, CONFIG) | {"_attn_implementation": "someone/kernels"}
    first = read_json(root, CONFIG) | {"configuration_files": ["config.4.0.0.json"]}
    sign(
        root,
        {
            CONFIG: json.dumps(first).encode(),
            f"{START}/config.4.0.0.json": json.dumps(second).encode(),
        },
    )


# More files than a start has.

FILES: dict[str, tuple[str, bytes, tuple[str, ...]]] = {
    "adapter": (f"{START}/adapter_config.json", b'{"base_model_name_or_path": "a/b"}', (UNSAFE,)),
    "added_tokens_no_json": (f"{TOKENIZER}/added_tokens.json", b"\x80\x04.", (MALFORMED,)),
}
for key, (name, data, expected_errors) in FILES.items():
    student(f"file_{key}", *expected_errors)(put(name, data))

INDEX = f"{START}/model.safetensors.index.json"
INDEXES = {
    "up": b'{"metadata": {}, "weight_map": {"a": "../../../bait"}}',
    "absolute": b'{"metadata": {}, "weight_map": {"a": "/etc/passwd"}}',
    "no_table": b'{"weight_map": []}',
    "of_lists": b'{"weight_map": {"a": ["model.safetensors"]}}',
    "no_json": b"\x80\x04.",
}
for key, data in INDEXES.items():
    # Beside the weights it is not used.
    student(f"file_index_{key}")(put(INDEX, data))

    @student(f"file_only_index_{key}", MALFORMED)
    def only_index(root: Path, bait: Path, data: bytes = data) -> None:
        (root / WEIGHTS).unlink()
        sign(root, {INDEX: data}, edit_header=unlist(WEIGHTS))


HARMLESS_FILES = {
    "second_weights_broken": (f"{START}/more.safetensors", b"\0" * 100),
    "tokenizer_adapter": (f"{TOKENIZER}/adapter_config.json", b"{}"),
    "tokenizer_config_code": (
        f"{TOKENIZER}/config.json",
        b'{"model_type": "bert", "auto_map": {"AutoConfig": "bait.Bait"}}',
    ),
    "tokenizer_second_config": (
        f"{TOKENIZER}/config.json",
        b'{"model_type": "bert", "configuration_files": ["tokenizer.json"]}',
    ),
    "generation_config_of_tokenizer": (f"{TOKENIZER}/generation_config.json", b"[]"),
    "generation": (f"{START}/generation_config.json", b'{"auto_map": {"a": "bait.Bait"}}'),
    "custom": (f"{START}/custom_generate.json", b"{}"),
    "tokenizer_model": (f"{TOKENIZER}/tokenizer.model", b"\x80\x04cos\nsystem\n."),
    "tekken": (f"{TOKENIZER}/tekken.json", b"{}"),
    "vocab": (f"{TOKENIZER}/vocab.txt", b"a\nb\n"),
    "chat_template": (f"{TOKENIZER}/chat_template.json", b'{"chat_template": "{{ 1 }}"}'),
    "special_tokens": (f"{TOKENIZER}/special_tokens_map.json", b'{"unk_token": "[UNK]"}'),
}
for key, (name, data) in HARMLESS_FILES.items():
    student(f"file_{key}")(put(name, data))
