"""Own rows with labels: the README's own section, line by line."""

from __future__ import annotations

import re
from pathlib import Path

from mixkd.shared.cache.reader import Cache
from tests.commands import run
from tests.miniature import read_texts, tiny_data
from tests.pages import blocks, lines, read

README, SECTION = "README.md", "Your own data"
FASTER = {"finetune": " --lr 3e-3 --batch-size 8", "shards/mood": " --epochs 4 --lr 3e-3"}


def test_from_own_data_to_labels(desk: Path) -> None:
    tiny_data(desk / "mood", rows=96)
    held_out = desk / "mood" / "validation.tsv"
    rows = held_out.read_text(encoding="utf-8")
    (desk / "mood" / "test.csv").write_text(rows.replace("\t", ","), encoding="utf-8")
    (texts,), _ = read_texts(held_out)
    (desk / "new.csv").write_text("\n".join(["sentence", *texts]), encoding="utf-8")
    (commands,) = blocks(README, "bash", under=SECTION)
    printed = ""
    for line in lines(commands):
        word = line.split()[1]
        printed = run(line.replace("--pairs 20000", "--pairs 200") + FASTER.get(word, ""))
    assert printed == ""  # predictions went to a file
    assert len((desk / "labels.csv").read_text(encoding="utf-8").splitlines()) == 1 + len(texts)

    (few,) = re.findall(r"`(cache-teacher [^`]*--unlabelled\s+rest)`", read(README))
    run(few.replace("--pairs 5000", "--pairs 50") + " --out few")
    assert Cache.open("few").examples("train").labelled.sum() == 10
