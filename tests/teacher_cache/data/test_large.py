"""A large file is streamed: what a build holds of it grows by little more than its content."""

from __future__ import annotations

import random
import subprocess
import sys
from pathlib import Path

import pytest

FEW, ROWS = 2**15, 300_000  # a few batches, so that what one of them takes is there before
# Of about 55 in the file and 13 ids. 5 million rows take 1.65 GB, which leaves the libraries almost
# half of the second GiB.
LIMIT_BYTES_PER_ROW = 330
CHILD = """
import resource, sys
from pathlib import Path
import pyarrow.compute, pyarrow.parquet
from mixkd.shared.cache.header import Split
from mixkd.shared.cache.writer import CacheWriter
from mixkd.teacher_cache.data.encode import tokenise
from mixkd.teacher_cache.data.load import DataSpec, load
from tests import caches

class Tokenizer:
    model_input_names = ["input_ids", "token_type_ids"]
    model_max_length = 64

    def num_special_tokens_to_add(self, pair):
        return 2

    def __call__(self, texts, **settings):
        ids = [[1, *(300 + len(word) for word in text.split()), 2] for text in texts]
        return {"input_ids": ids, "token_type_ids": [[0] * len(row) for row in ids]}

def peak():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024

def run(file, out):
    data = load(DataSpec(task="mood", data=file, keep_columns=("id",)))
    digests = data.texts_sha256()
    examples = tokenise(data, Tokenizer(), 32)
    del data
    caches.split = lambda name, rows: Split(
        name=name, rows=len(rows), labelled=int(rows.labelled.sum()),
        texts_sha256=digests[name], ids_sha256=rows.ids_sha256()
    )
    made = caches.job(Path(out), examples, classes=2)
    CacheWriter.create(made.root, made.draft, made.examples, made.files)
    return sum(map(len, examples.values()))

small, large, out = sys.argv[1:]
run(small, out + "/small")
before = peak()
rows = run(large, out + "/large")
print(rows, peak() - before)
"""


def write(file: Path, rows: int) -> str:
    """Rows of an id, eleven words and a label of two."""
    choose = random.Random(0)
    words = [f"w{number:03d}" for number in range(100)]
    with file.open("w", encoding="utf-8") as stream:
        if file.suffix == ".csv":
            stream.write("id,utterance,intent\n")
        for row in range(rows):
            text = " ".join(choose.choices(words, k=11))
            if file.suffix == ".csv":
                stream.write(f"{row},{text},{'yes' if row % 3 else 'no'}\n")
            else:
                stream.write(f'{{"id": {row}, "utterance": "{text}", "intent": {row % 2}}}\n')
    return str(file)


@pytest.mark.slow
@pytest.mark.parametrize("extension", ["csv", "jsonl"])
def test_memory_grows_with_the_content_alone(tmp_path: Path, extension: str) -> None:
    small = write(tmp_path / f"small.{extension}", FEW)
    large = write(tmp_path / f"large.{extension}", ROWS)
    command = [sys.executable, "-c", CHILD, small, large, str(tmp_path)]
    found = subprocess.run(command, check=True, capture_output=True, text=True, timeout=240)
    rows, grown_bytes = map(int, found.stdout.split())
    assert rows == ROWS
    assert grown_bytes < LIMIT_BYTES_PER_ROW * (ROWS - FEW), f"{grown_bytes / ROWS:.0f} per row"
