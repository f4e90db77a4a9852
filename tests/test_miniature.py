"""The miniature makers are themselves right: models load, answers are learnt, text is separable."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import miniature

torch = pytest.importorskip("torch")


@pytest.mark.parametrize("family", [*miniature.ENCODERS, *miniature.REFUSED])
def test_a_tiny_teacher_loads_with_its_tokenizer_and_names(tmp_path: Path, family: str) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    names = miniature.label_names(3)
    folder = miniature.tiny_teacher(tmp_path, family, names)
    model = AutoModelForSequenceClassification.from_pretrained(folder)
    inputs = AutoTokenizer.from_pretrained(folder)("a dull film", "a song", return_tensors="pt")
    assert model.config.id2label == dict(enumerate(names))
    assert inputs["input_ids"].max() < model.config.vocab_size
    assert model(**inputs).logits.shape == (1, 3)
    assert (tmp_path / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("classes", "pairs", "least"), [(1, True, 0.9), (2, False, 0.9), (2, True, 0.9), (3, True, 0.9)]
)
def test_a_trained_teacher_has_learnt_the_text(
    tmp_path: Path, classes: int, pairs: bool, least: float
) -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    from mixkd.shared.metrics import CLASSIFICATION, REGRESSION, metrics

    folder = miniature.trained_teacher(tmp_path / "teacher", classes=classes, pairs=pairs)
    data = miniature.tiny_data(tmp_path / "data", 96, classes, pairs)
    texts, labels = miniature.read_texts(data / "validation.tsv")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder).eval()
    with torch.no_grad():
        logits = model(**tokenizer(*texts, padding=True, return_tensors="pt")).logits.numpy()
    kind = REGRESSION if classes == 1 else CLASSIFICATION
    found = metrics(logits, torch.tensor(labels).numpy(), kind)
    assert found["pearson" if classes == 1 else "accuracy"] > least
