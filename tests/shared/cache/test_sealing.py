"""A seal covers what is complete and nothing else; the longest one is the MANIFEST."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.seal import Seal
from mixkd.shared.cache.sealing import publish_longest
from mixkd.shared.cache.writer import records
from mixkd.shared.errors import CacheError, DamagedFileError, UnsealedError
from mixkd.shared.examples import Examples
from mixkd.shared.json_values import dumps
from mixkd.shared.metrics import CLASSIFICATION, metrics
from mixkd.shared.plan import complete_prefix
from tests.caches import build, seal
from tests.hostile.sign import write_seal
from tests.numpy_caches import FORMATS, Scorer, accept, contents, job, sealed


def seals(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "seals").iterdir())


def test_what_a_seal_says(tmp_path: Path) -> None:
    made = job(tmp_path / "cache")
    build(made, Scorer(), accept)
    found = seal(made.root)
    assert found.length == (40, 42)
    assert [file.file for file in found.files] == [
        "cache.json",
        "examples/train.arrow",
        "examples/validation.arrow",
        "student_init/1-layers/config.json",
        "student_init/2-layers/config.json",
        "tokenizer/tokenizer.json",
    ]
    logits = Cache.open(made.root).originals()
    for split, examples in made.examples.items():
        expected = metrics(logits[split], examples.labels, made.identity.problem_type)
        assert found.scores[split] == expected
    assert seals(made.root) == [f"{found.digest[:12]}.json"]
    manifest = (made.root / "MANIFEST.json").read_bytes()
    assert manifest == (made.root / found.name).read_bytes() == found.to_bytes()


def test_sealing_again_writes_nothing(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache")
    files = [root / "MANIFEST.json", root / "README.md", *(root / "seals").iterdir()]
    before = [path.stat().st_ino for path in files]
    seal(root)
    assert [path.stat().st_ino for path in files] == before


def test_the_longest_seal_is_the_manifest(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 20)
    short = Cache.open(root).seal
    sealed(root, 40)
    long = Cache.open(root).seal
    assert len(seals(root)) == 2
    assert (long.pairs, Cache.open(root, short.digest).seal) == (40, short)
    (root / "MANIFEST.json").write_bytes(short.to_bytes())
    assert publish_longest(root) == long
    assert Cache.open(root).seal == long


def test_of_equally_long_seals_every_builder_publishes_the_same(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache")
    value = json.loads((root / "MANIFEST.json").read_bytes())
    for number in range(8):
        value["shards"][0]["made"] = {"device": str(number)}
        write_seal(root, value)
    found = [Seal.from_bytes(path.read_bytes(), path) for path in (root / "seals").iterdir()]
    assert publish_longest(root).digest == max(each.digest for each in found)


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("student_init/2-layers/config.json", lambda file: file.write_bytes(b"{}\n"), "3 bytes"),
        ("tokenizer/tokenizer.json", lambda file: file.unlink(), "no file"),
        ("tokenizer/more.json", lambda file: file.write_bytes(b"{}\n"), "3 bytes"),
    ],
)
def test_a_longer_seal_does_not_bless_damage(
    tmp_path: Path, name: str, change: Callable[[Path], object], found: str
) -> None:
    """What a first seal covers must be the same in the next one."""
    root = sealed(tmp_path / "cache", 20)
    before = (root / "MANIFEST.json").read_bytes()
    change(root / name)
    with pytest.raises(DamagedFileError, match=f"{name}: expected .*says, found {found}"):
        sealed(root, 40)
    assert (root / "MANIFEST.json").read_bytes() == before


def test_a_longer_seal_does_not_bless_another_record(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 20)
    build(job(root, 40), Scorer(), accept)
    record = root / records(root, "pairs", job(root).identity)[0].name
    value = json.loads(record.read_bytes())
    record.write_bytes(dumps({**value, "made": {"device": "another"}}))
    before = contents(root)
    with pytest.raises(DamagedFileError, match=f"{record.name}: expected the record that seals/"):
        seal(root)
    assert contents(root) == before


def test_examples_that_are_not_those_of_the_identity(tmp_path: Path) -> None:
    """A build that was stopped before its first seal finds other ids or texts when it goes on."""
    root = sealed(tmp_path / "cache", 20)
    shutil.rmtree(root / "seals")
    (root / "MANIFEST.json").unlink()
    file = root / "examples/train.arrow"
    good = file.read_bytes()
    rows = Examples.from_bytes(good, 30, CLASSIFICATION, file)
    texts = rows.text_a.to_pylist()
    for other in (
        replace(rows, text_a=pa.array(["another", *texts[1:]])),
        replace(rows, labels=rows.labels[::-1].copy()),
        replace(rows, input_ids=replace(rows.input_ids, flat=rows.input_ids.flat[::-1].copy())),
    ):
        file.write_bytes(other.to_bytes())
        with pytest.raises(DamagedFileError, match=r"train\.arrow: expected sha256"):
            seal(root)
    file.write_bytes(replace(rows, text_a=None, text_b=None).to_bytes())
    seal(root)  # as with --no-text
    assert verify(root) == []


def test_only_a_complete_prefix_is_sealed(tmp_path: Path) -> None:
    made = job(tmp_path / "cache", 80)
    build(made, Scorer(), accept)
    (made.root / "commits" / "pairs-000000032.json").unlink()
    found = seal(made.root)
    assert found.pairs == 32
    ranges = [(record.start, record.stop) for record in records(made.root, "pairs", made.identity)]
    assert complete_prefix(ranges) == 32
    assert build(made, Scorer(), accept).rows == 16
    assert seal(made.root).pairs == 80


def test_without_all_originals_there_is_no_seal(tmp_path: Path) -> None:
    made = job(tmp_path / "cache", 20)
    build(made, Scorer(), accept)
    (made.root / "commits" / "originals-000000016.json").unlink()
    with pytest.raises(UnsealedError, match="all 42 originals committed before a seal, found 16"):
        seal(made.root)
    assert not (made.root / "MANIFEST.json").exists()
    (made.root / "commits" / "originals-000000000.json").unlink()
    with pytest.raises(UnsealedError, match="found 0; run the build again"):
        seal(made.root)


@pytest.mark.parametrize("damage", ["missing", "cut"])
def test_a_record_without_its_shard(tmp_path: Path, damage: str) -> None:
    made = job(tmp_path / "cache", 20)
    build(made, Scorer(), accept)
    path = made.root / records(made.root, "pairs", made.identity)[0].file
    data = path.read_bytes()
    path.unlink()
    if damage == "cut":
        path.write_bytes(data[:-1])
    with pytest.raises(DamagedFileError, match=f"{path.name}: expected {len(data)} bytes"):
        seal(made.root)
    assert not (made.root / "MANIFEST.json").exists()


def test_altered_originals_are_not_sealed(tmp_path: Path) -> None:
    made = job(tmp_path / "cache", 20)
    build(made, Scorer(), accept)
    path = made.root / records(made.root, "originals", made.identity)[0].file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=f"{path.name}: expected sha256"):
        seal(made.root)


def test_a_record_of_another_cache(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 20)
    other = sealed(tmp_path / "other", 20, seed=1)
    shutil.copy(other / "commits" / "pairs-000000000.json", root / "commits")
    with pytest.raises(CacheError, match=r"pairs-000000000\.json: expected a record of the cache"):
        seal(root)


def test_files_that_no_reader_uses_are_not_covered(tmp_path: Path) -> None:
    made = job(tmp_path / "cache", 20)
    build(made, Scorer(), accept)
    for name in ("tokenizer/code.py", "tokenizer/x.json.tmp-0123", "student_init/1-layers/.json"):
        (made.root / name).write_bytes(b"{}\n")
    files = [file.file for file in seal(made.root).files]
    assert not [name for name in files if "code" in name or "tmp" in name or "/." in name]


@pytest.mark.parametrize("shard_format", FORMATS)
def test_the_card_lists_the_sealed_shards_and_no_others(tmp_path: Path, shard_format: str) -> None:
    root = sealed(tmp_path / "cache", shard_format=shard_format)
    (root / "data" / "pairs-000000999-0123456789ab.arrow").write_bytes(b"of a killed builder")
    sealed(root, 60, shard_format)
    text = (root / "README.md").read_text(encoding="utf-8")
    found = Cache.open(root).seal
    listed = [line.strip("- ") for line in text.splitlines() if line.startswith("    - data/")]
    assert sorted(listed) == sorted(record.file for record in found.shards)
    assert found.digest in text
    assert ("config_name: examples" in text) == (shard_format == "arrow")
    assert str(tmp_path) not in text


def test_seals_of_separate_builds_are_equal(tmp_path: Path) -> None:
    one, other = (sealed(tmp_path / name / "cache") for name in ("one", "other"))
    assert (one / "MANIFEST.json").read_bytes() == (other / "MANIFEST.json").read_bytes()
    assert json.loads((one / "MANIFEST.json").read_bytes())["rows"] == {
        "originals": 42,
        "pairs": 40,
    }
