"""Two repositories for the stand-in: `nyu-mll/glue` with a tiny rte, and rte's default teacher.

The data set has the layout, the columns and the card of the real one; its rows are `tiny_data` of
two classes and two texts. The teacher has learnt such rows, and like its model on the real Hub it
does not name its labels.
"""

from __future__ import annotations

import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from mixkd.teacher_cache.data.tasks import TASKS
from tests import miniature

RTE = TASKS["rte"]
TRAIN_ROWS = 48

CARD = """---
license: other
dataset_info:
- config_name: rte
  features:
  - name: sentence1
    dtype: string
  - name: sentence2
    dtype: string
  - name: label
    dtype:
      class_label:
        names:
          '0': entailment
          '1': not_entailment
  - name: idx
    dtype: int32
configs:
- config_name: rte
  data_files:
  - split: test
    path: rte/test-*
  - split: train
    path: rte/train-*
  - split: validation
    path: rte/validation-*
---
# GLUE in miniature
"""


def write(folder: Path) -> Path:
    """Write both repositories below `folder`, as `standin.serve` reads them."""
    glue(folder / "datasets" / RTE.hub)
    teacher(folder / "models" / RTE.teacher)
    return folder


def glue(folder: Path) -> None:
    source = miniature.tiny_data(folder.parent / "rows", rows=TRAIN_ROWS, classes=2, pairs=True)
    (folder / "rte").mkdir(parents=True)
    (folder / "README.md").write_text(CARD, encoding="utf-8")
    for split in ("train", "validation"):
        texts, labels = miniature.read_texts(source / f"{split}.tsv")
        _write_parquet(folder, split, texts, [int(label) for label in labels])
        if split == "validation":
            _write_parquet(folder, "test", texts, [-1] * len(labels))  # GLUE hides its answers


def _write_parquet(folder: Path, split: str, texts: list[list[str]], labels: list[int]) -> None:
    columns = {name: pa.array(texts[side]) for side, name in enumerate(RTE.text_columns)}
    columns["label"] = pa.array(labels, pa.int64())
    columns["idx"] = pa.array(range(len(labels)), pa.int32())
    pq.write_table(pa.table(columns), folder / "rte" / f"{split}-00000-of-00001.parquet")


def teacher(folder: Path) -> None:
    miniature.trained_teacher(folder, classes=2, pairs=True)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    for name in ("id2label", "label2id", "problem_type"):
        config.pop(name, None)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
