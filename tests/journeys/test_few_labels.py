"""Own rows, of which a tenth has a label: `docs/few_labels.md` from its first line to its last."""

from __future__ import annotations

import csv
from pathlib import Path

import mixkd
from tests.commands import run
from tests.miniature import label_names, read_texts, tiny_data
from tests.pages import blocks, lines

PAGE = "docs/few_labels.md"
FASTER = " --lr 3e-3 --batch-size 8 --device cpu"  # for a tiny model


def write(file: Path, texts: list[str], labels: list[str]) -> None:
    with file.open("w", encoding="utf-8", newline="") as stream:
        csv.writer(stream).writerows([("text", "label"), *zip(texts, labels, strict=True)])


def test_a_tenth_of_the_labels(desk: Path) -> None:
    tiny_data(desk / "raw", rows=300)
    (texts,), numbers = read_texts(desk / "raw" / "train.tsv")
    names = [label_names(2)[int(number)] for number in numbers]
    write(desk / "reviews.csv", texts, [name if row < 30 else "" for row, name in enumerate(names)])
    write(desk / "test.csv", texts[30:], names[30:])

    (divide,) = blocks(PAGE, "python")
    exec(compile(divide, PAGE, "exec"), {})
    (commands,) = blocks(PAGE, "bash")
    finetune, build, train, evaluate, predict = lines(commands)
    run(finetune + FASTER)
    built = run(build)
    assert "examples     296 train (26 labelled), 4 validation" in built
    run(train + FASTER)
    run(evaluate)
    run(predict)

    measured = mixkd.evaluate("students/mood", "test.csv", cache="shards/mood")
    assert measured.metrics["accuracy"] > 0.8
    assert measured.against_teacher is not None
    assert measured.against_teacher.examples == 270
    with (desk / "labels.csv").open(encoding="utf-8", newline="") as stream:
        found = [row["prediction"] for row in csv.DictReader(stream)]
    assert len(found) == 270 and {*found} == {*label_names(2)}
