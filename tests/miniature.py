"""Real things in miniature: tokenizers, models of many families, text, teachers that learnt it.

    folder = tiny_data(tmp_path / "data", rows=48, classes=2, pairs=False)
    teacher = tiny_teacher(tmp_path / "teacher", "mpnet", labels=label_names(2))
    teacher = trained_teacher(tmp_path / "teacher", classes=2, pairs=False)   # takes about a second

The text is separable: each class has words of its own, in the last text column. For regression
(`classes=1`) the label is the share of one such word.
"""

from __future__ import annotations

import random
import shutil
import string
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from mixkd.shared.metrics import CLASSIFICATION, REGRESSION

CUES = ("dull", "bright", "odd", "warm", "cold", "loud", "quiet", "sharp")
FILLERS = (
    "the a film story scene actor plot song that this was is seems with and of very rather "
    "almost then never once more about two three"
).split()

# The nine families that teachers of a cache are tested with, and two that the probe refuses.
ENCODERS = (
    "bert",
    "roberta",
    "distilbert",
    "electra",
    "albert",
    "deberta-v2",
    "mpnet",
    "xlm-roberta",
    "modernbert",
)
REFUSED = ("gpt2", "xlnet")
# Families whose tokenizers give no token types, and those that number <s>, <pad>, </s> first.
WITHOUT_TYPES = ("roberta", "distilbert", "mpnet", "xlm-roberta", "modernbert", *REFUSED)
ROBERTA_STYLE = ("roberta", "mpnet", "xlm-roberta")

Style = Literal["bert", "roberta"]


def label_names(classes: int) -> tuple[str, ...]:
    """Names of the classes of `tiny_data`; one class stands for regression."""
    return ("score",) if classes == 1 else CUES[:classes]


def tiny_data(
    folder: Path, rows: int = 48, classes: int = 2, pairs: bool = False, seed: int = 0
) -> Path:
    """Write train.tsv with `rows` and validation.tsv with half as many; integer or float labels."""
    folder.mkdir(parents=True, exist_ok=True)
    choose = random.Random(seed)
    for split, count in (("train", rows), ("validation", max(rows // 2, 2 * classes))):
        lines = ["sentence1\tsentence2\tlabel" if pairs else "sentence\tlabel"]
        for row in range(count):
            text, label = _row(choose, row, classes)
            columns = [_fillers(choose, 2, 9), text, label] if pairs else [text, label]
            lines.append("\t".join(columns))
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def _row(choose: random.Random, row: int, classes: int) -> tuple[str, str]:
    words = _fillers(choose, 3, 12).split()
    if classes == 1:
        marks = row % 6
        words = [CUES[1]] * marks + [CUES[0]] * (5 - marks) + words[:4]
        choose.shuffle(words)
        return " ".join(words), f"{marks}.0"
    label = row % classes
    words.insert(choose.randrange(len(words) + 1), CUES[label])
    return " ".join(words), str(label)


def _fillers(choose: random.Random, fewest: int, most: int) -> str:
    return " ".join(choose.choices(FILLERS, k=choose.randint(fewest, most)))


def tiny_tokenizer(folder: Path, style: Style = "bert", *, token_types: bool = True) -> Path:
    """Save a fast WordPiece tokenizer that knows the words of `tiny_data` and single characters.

    Args:
        style: "bert" is [PAD]=0 [UNK] [CLS] [SEP] with token types, "roberta" is <s>=0 <pad>=1
            </s>=2 <unk>=3 without.
        token_types: False leaves them out of a BERT-like tokenizer, as DistilBERT's does.
    """
    from tokenizers import Tokenizer, normalizers, pre_tokenizers, processors
    from tokenizers.models import WordPiece
    from transformers import PreTrainedTokenizerFast

    bert = style == "bert"
    first, last, pad, unknown, mask = (
        ("[CLS]", "[SEP]", "[PAD]", "[UNK]", "[MASK]")
        if bert
        else ("<s>", "</s>", "<pad>", "<unk>", "<mask>")
    )
    special = [pad, unknown, first, last, mask] if bert else [first, pad, last, unknown, mask]
    characters = [*string.ascii_lowercase, *string.digits, *".,!?'-"]
    pieces = [*special, *CUES, *FILLERS, *characters, *(f"##{c}" for c in characters)]
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(WordPiece(vocabulary, unk_token=unknown))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    middle = f"{last}:0" if bert else f"{last}:0 {last}:0"
    second = 1 if bert else 0
    tokenizer.post_processor = processors.TemplateProcessing(
        single=f"{first}:0 $A:0 {last}:0",
        pair=f"{first}:0 $A:0 {middle} $B:{second} {last}:{second}",
        special_tokens=[(first, vocabulary[first]), (last, vocabulary[last])],
    )
    types = ["token_type_ids"] if bert and token_types else []
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        cls_token=first,
        sep_token=last,
        pad_token=pad,
        unk_token=unknown,
        mask_token=mask,
        bos_token=first,
        eos_token=last,
        model_input_names=["input_ids", *types, "attention_mask"],
        model_max_length=64,
    )
    fast.save_pretrained(folder)
    return folder


def tiny_model(
    family: str = "bert",
    labels: Sequence[str] = ("dull", "bright"),
    problem_type: str = CLASSIFICATION,
    *,
    layers: int = 2,
    seed: int = 0,
    initializer_range: float = 0.3,
) -> Any:
    """A small random classification model in eval mode, with logits of order 1."""
    import torch
    from transformers import AutoModelForSequenceClassification

    torch.manual_seed(seed)
    config = _config(family, layers, initializer_range)
    config.id2label = dict(enumerate(labels))
    config.label2id = {name: number for number, name in enumerate(labels)}
    config.problem_type = problem_type
    return AutoModelForSequenceClassification.from_config(config).eval()


def tiny_teacher(
    folder: Path,
    family: str = "bert",
    labels: Sequence[str] = ("dull", "bright"),
    problem_type: str = CLASSIFICATION,
    seed: int = 0,
    *,
    layers: int = 2,
    head: bool = True,
    initializer_range: float = 0.3,
) -> Path:
    """Save a random `tiny_model` with its tokenizer; `head=False` saves the encoder without one."""
    model = tiny_model(
        family,
        labels,
        problem_type,
        layers=layers,
        seed=seed,
        initializer_range=initializer_range,
    )
    (model if head else model.base_model).save_pretrained(folder)
    return tiny_tokenizer(folder, _style(family), token_types=family not in WITHOUT_TYPES)


def trained_teacher(
    folder: Path, family: str = "bert", classes: int = 2, pairs: bool = False, *, steps: int = 60
) -> Path:
    """Save a tiny model trained on `tiny_data` of that shape (`classes=1`: regression)."""
    import torch
    from transformers import AutoTokenizer

    problem_type = REGRESSION if classes == 1 else CLASSIFICATION
    model = tiny_model(family, label_names(classes), problem_type, initializer_range=0.1).train()
    tiny_tokenizer(folder, _style(family), token_types=family not in WITHOUT_TYPES)
    tokenizer = AutoTokenizer.from_pretrained(folder)
    data = tiny_data(folder / "data", 256, classes, pairs, seed=1)
    texts, labels = read_texts(data / "train.tsv")
    inputs = tokenizer(*texts, padding=True, return_tensors="pt")
    answers = torch.tensor(labels, dtype=torch.float32 if classes == 1 else torch.int64)
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3)
    generator = torch.Generator().manual_seed(0)
    for _ in range(steps):
        rows = torch.randint(len(answers), (32,), generator=generator)
        batch = {name: values[rows] for name, values in inputs.items()}
        model(**batch, labels=answers[rows]).loss.backward()
        optimizer.step()
        optimizer.zero_grad()
    model.eval().save_pretrained(folder)
    shutil.rmtree(data)
    return folder


def read_texts(file: Path) -> tuple[list[list[str]], list[float]]:
    """Text columns and labels of a file that `tiny_data` wrote."""
    lines = file.read_text(encoding="utf-8").splitlines()[1:]
    *texts, labels = zip(*(line.split("\t") for line in lines), strict=True)
    return [list(column) for column in texts], [float(label) for label in labels]


def _style(family: str) -> Style:
    return "roberta" if family in ROBERTA_STYLE else "bert"


def _config(family: str, layers: int, initializer_range: float) -> Any:
    """The configuration of a model of width 32 whose vocabulary covers the tiny tokenizers."""
    from transformers import AutoConfig

    usual = {
        "vocab_size": 160,
        "hidden_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "intermediate_size": 48,
        "max_position_embeddings": 80,
        "initializer_range": initializer_range,
        "pad_token_id": 1 if family in ROBERTA_STYLE else 0,
    }
    # The same sizes under other names.
    decoder = {
        "vocab_size": 160,
        "n_layer": layers,
        "n_head": 2,
        "initializer_range": initializer_range,
        "pad_token_id": 0,
        "bos_token_id": 2,
        "eos_token_id": 3,
    }
    special: dict[str, dict[str, Any]] = {
        "distilbert": {
            "vocab_size": 160,
            "dim": 32,
            "n_layers": layers,
            "n_heads": 2,
            "hidden_dim": 48,
            "max_position_embeddings": 80,
            "initializer_range": initializer_range,
            "pad_token_id": 0,
        },
        "electra": usual | {"embedding_size": 16},
        "albert": usual | {"embedding_size": 16},
        "deberta-v2": usual
        | {
            "relative_attention": True,
            "position_buckets": 16,
            "max_relative_positions": 32,
            "pos_att_type": ["c2p", "p2c"],
            "position_biased_input": False,
            "norm_rel_ebd": "layer_norm",
            "share_att_key": True,
            "type_vocab_size": 0,
        },
        "roberta": usual | {"type_vocab_size": 1},
        "xlm-roberta": usual | {"type_vocab_size": 1},
        "modernbert": usual
        | {
            "local_attention": 8,
            "global_attn_every_n_layers": 2,
            "cls_token_id": 2,
            "sep_token_id": 3,
            "bos_token_id": 2,
            "eos_token_id": 3,
        },
        "gpt2": decoder | {"n_embd": 32, "n_positions": 80},
        "xlnet": decoder | {"d_model": 32, "d_inner": 48},
    }
    return AutoConfig.for_model(family, **special.get(family, usual))
