"""A seal covers what is complete and nothing else; the longest one is the MANIFEST."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pyarrow as pa
import pytest

from mixkd.shared.cache import sealing
from mixkd.shared.cache.facts import cache_facts
from mixkd.shared.cache.folder import CacheFolder
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.repair import repair_cache
from mixkd.shared.cache.seal import RowCounts, seal_name
from mixkd.shared.cache.sealing import publish_longest
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.errors import DamagedFileError, MixkdError, OutputError, UnsealedError
from mixkd.shared.examples import Examples
from mixkd.shared.json_values import dumps, sha256_hex
from mixkd.shared.metrics import CLASSIFICATION, metrics
from mixkd.shared.plan import complete_prefix
from tests.caches import build, committed, seal
from tests.hostile.sign import write_seal
from tests.numpy_caches import FORMATS, Scorer, accept, contents, job, sealed


def list_in_header(root: Path, name: str) -> None:
    """Give `cache.json` the digest that a file has now."""
    header = json.loads((root / "cache.json").read_bytes())
    data = (root / name).read_bytes()
    entry = {"path": name, "bytes": len(data), "sha256": sha256_hex(data)}
    header["files"] = [entry if file["path"] == name else file for file in header["files"]]
    (root / "cache.json").write_bytes(dumps(header))


def seals(root: Path) -> list[str]:
    return sorted(path.name for path in (root / "seals").iterdir())


def test_what_a_seal_says(tmp_path: Path) -> None:
    made = job(tmp_path / "cache")
    build(made, Scorer(), accept)
    found = seal(made.root)
    assert found.length == (40, 42)
    assert [file.path for file in found.files] == [
        "cache.json",
        "examples/train.arrow",
        "examples/validation.arrow",
        "student_init/layers-0-1/config.json",
        "student_init/layers-0/config.json",
        "tokenizer/tokenizer.json",
    ]
    cache = Cache.open(made.root)
    for split, examples in made.examples.items():
        expected = metrics(cache.logits(split), examples.labels, made.identity.problem_type)
        assert found.scores[split] == expected
    assert seals(made.root) == [f"{cache.pin}.json"]
    manifest = (made.root / "MANIFEST.json").read_bytes()
    assert cache.pin == sha256_hex(manifest)
    assert manifest == (made.root / seal_name(cache.pin)).read_bytes() == found.to_bytes()


def test_sealing_again_writes_nothing(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache")
    files = [root / "MANIFEST.json", root / "README.md", *(root / "seals").iterdir()]
    before = [path.stat().st_ino for path in files]
    seal(root)
    assert [path.stat().st_ino for path in files] == before


def test_the_longest_seal_is_the_manifest(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 20)
    short = Cache.open(root)
    sealed(root, 40)
    long = Cache.open(root)
    assert len(seals(root)) == 2
    assert (long.seal.rows.pairs, Cache.open(root, short.pin).seal) == (40, short.seal)
    (root / "MANIFEST.json").write_bytes(short.seal.to_bytes())
    assert publish_longest(CacheFolder(root)).pin == long.pin
    assert Cache.open(root).seal == long.seal


def test_of_equally_long_seals_every_builder_publishes_the_same(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache")
    value = json.loads((root / "MANIFEST.json").read_bytes())
    for number in range(8):
        value["shards"][0]["made"]["device"] = str(number)
        write_seal(root, value)
    assert publish_longest(CacheFolder(root)).pin == max(
        path.stem for path in (root / "seals").iterdir()
    )


@pytest.mark.parametrize(
    ("name", "change", "found"),
    [
        ("student_init/layers-0-1/config.json", lambda file: file.write_bytes(b"{}\n"), "3 bytes"),
        ("tokenizer/tokenizer.json", lambda file: file.unlink(), "none"),
        ("tokenizer/more.json", lambda file: file.write_bytes(b"{}\n"), "one that it does not"),
    ],
)
def test_a_longer_seal_does_not_bless_damage(
    tmp_path: Path, name: str, change: Callable[[Path], object], found: str
) -> None:
    """What a first seal covers must be the same in the next one."""
    root = sealed(tmp_path / "cache", 20)
    before = (root / "MANIFEST.json").read_bytes()
    change(root / name)
    with pytest.raises(DamagedFileError, match=f"{name}: expected .*, found {found}"):
        sealed(root, 40)
    assert (root / "MANIFEST.json").read_bytes() == before


def test_a_longer_seal_does_not_bless_another_record(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 20)
    build(job(root, 40), Scorer(), accept)
    record = root / "commits" / "pairs-000000000.json"
    value = json.loads(record.read_bytes())
    record.write_bytes(dumps({**value, "made": {**value["made"], "device": "another"}}))
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
        with pytest.raises(DamagedFileError, match=r"train\.arrow: expected"):
            seal(root)
        list_in_header(root, "examples/train.arrow")
        with pytest.raises(DamagedFileError, match=r"train\.arrow: expected sha256"):
            seal(root)
        file.write_bytes(good)
    file.write_bytes(replace(rows, text_a=None, text_b=None).to_bytes())
    list_in_header(root, "examples/train.arrow")
    seal(root)  # as with --no-text
    assert verify_cache(root) == []


def test_only_a_complete_prefix_is_sealed(tmp_path: Path) -> None:
    made = job(tmp_path / "cache", 80)
    build(made, Scorer(), accept)
    (made.root / "commits" / "pairs-000000032.json").unlink()
    found = seal(made.root)
    assert found.rows.pairs == 32
    assert complete_prefix(committed(made.root, "pairs")) == 32
    assert build(made, Scorer(), accept).rows == 16
    assert seal(made.root).rows.pairs == 80


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
    path = made.root / CacheWriter.open(made.root).records("pairs")[0].file
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
    path = made.root / CacheWriter.open(made.root).records("originals")[0].file
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(data)
    with pytest.raises(DamagedFileError, match=f"{path.name}: expected sha256"):
        seal(made.root)


def test_a_record_of_another_cache(tmp_path: Path) -> None:
    root = sealed(tmp_path / "cache", 20)
    other = sealed(tmp_path / "other", 20, seed=1)
    shutil.copy(other / "commits" / "pairs-000000000.json", root / "commits")
    with pytest.raises(MixkdError, match=r"pairs-000000000\.json: expected a record of the cache"):
        seal(root)


def test_files_that_no_reader_uses_are_not_covered(tmp_path: Path) -> None:
    made = job(tmp_path / "cache", 20)
    build(made, Scorer(), accept)
    for name in ("tokenizer/code.py", "tokenizer/x.json.tmp-0123", "student_init/layers-0/.json"):
        (made.root / name).write_bytes(b"{}\n")
    files = [file.path for file in seal(made.root).files]
    assert not [name for name in files if "code" in name or "tmp" in name or "/." in name]


@pytest.mark.parametrize("shard_format", FORMATS)
def test_the_card_lists_the_sealed_shards_and_no_others(tmp_path: Path, shard_format: str) -> None:
    root = sealed(tmp_path / "cache", shard_format=shard_format)
    (root / "data" / "pairs-000000999-0123456789ab.arrow").write_bytes(b"of a killed builder")
    sealed(root, 60, shard_format)
    text = (root / "README.md").read_text(encoding="utf-8")
    cache = Cache.open(root)
    listed = [line.strip("- ") for line in text.splitlines() if line.startswith("    - data/")]
    shards = sorted(record.file for record in cache.seal.shards)
    assert sorted(listed) == (shards if shard_format == "arrow" else [])
    assert cache.pin in text
    assert ("config_name: examples" in text) == (shard_format == "arrow")
    assert str(tmp_path) not in text


@pytest.mark.parametrize(
    "change",
    [
        {"scores": {}},
        {"scores": {"train": {"accuracy": 0.5}, "validation": {"accuracy": 0.5}}},
        {"fingerprint": "f" * 64},
        {"files": ()},
        {"rows": RowCounts(originals=42, pairs=1)},
    ],
    ids=lambda change: next(iter(change)),
)
def test_a_seal_that_no_reader_takes_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: dict[str, Any]
) -> None:
    root = sealed(tmp_path / "cache", 20)
    build(job(root, 40), Scorer(), accept)
    before = contents(root)
    real = sealing.make
    monkeypatch.setattr(
        sealing, "make", lambda *given: msgspec.structs.replace(real(*given), **change)
    )
    with pytest.raises(MixkdError):
        seal(root)
    assert contents(root) == before


def test_a_seal_of_too_large_shards_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sealed(tmp_path / "cache", 20)
    build(job(root, 40), Scorer(), accept)
    before = contents(root)
    monkeypatch.setattr("mixkd.shared.cache.folder.SHARD_LIMIT_BYTES", 100)
    with pytest.raises(MixkdError, match="between .* and 100 bytes for its rows"):
        seal(root)
    assert contents(root) == before


def test_a_longer_seal_that_no_reader_takes_is_put_aside(tmp_path: Path) -> None:
    """Of an earlier version, or of somebody else: MANIFEST.json stays, and a repair ends it."""
    root = sealed(tmp_path / "cache", 20)
    before = (root / "MANIFEST.json").read_bytes()
    sealed(root, 40)
    value = json.loads((root / "MANIFEST.json").read_bytes())
    for path in (root / "seals").iterdir():
        path.unlink()
    write_seal(root, {**value, "scores": {}})
    bad = (root / "MANIFEST.json").read_bytes()
    (root / f"seals/{sha256_hex(before)}.json").write_bytes(before)
    (root / "MANIFEST.json").write_bytes(before)
    with pytest.raises(MixkdError, match="sealed accuracy of"):
        publish_longest(CacheFolder(root))
    assert (root / "MANIFEST.json").read_bytes() == before
    assert [step.file for step in repair_cache(root)] == [f"seals/{sha256_hex(bad)}.json"]
    assert (root / "MANIFEST.json").read_bytes() == before
    seal(root)
    assert Cache.open(root).seal.rows.pairs == 40


def test_a_folder_of_too_many_seals_is_refused_before_one_is_added(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = sealed(tmp_path / "cache", 20)
    monkeypatch.setattr(sealing, "SEALS_LIMIT", 1)
    seal(root)  # the same one
    build(job(root, 40), Scorer(), accept)
    before = contents(root)
    with pytest.raises(OutputError, match="seals: expected fewer than 1 seals before another one"):
        seal(root)
    assert contents(root) == before


def test_the_card_shows_what_a_stranger_wrote_as_text(tmp_path: Path) -> None:
    names = ("![](https://x.org/a.png)", "<img src=x> | a | b")
    about = {"task": "a\n# heading", "<b>": "**bold**", "teacher": 3, "whole": 1.5, "yes": True}
    root = sealed(tmp_path / "cache", label_names=names, about=about)
    prose = (root / "README.md").read_text(encoding="utf-8").split("---\n", 2)[2]
    assert "\n# heading" not in prose
    for markup in ("<", "![", "**bold", "https://"):
        assert markup not in prose
    assert prose.count("|") - prose.count("\\|") == 16  # of the table of splits alone
    assert "teacher: 3" in prose


def test_a_card_of_many_labels_is_short(tmp_path: Path) -> None:
    made = job(tmp_path / "cache", 0, classes=300, train=2)
    build(made, Scorer(300), accept)
    seal(made.root)
    text = (made.root / "README.md").read_text(encoding="utf-8")
    assert "class 199 and 100 more" in text


@pytest.mark.parametrize("value", [1, True, 1.5, "text", -(2**53)])
@pytest.mark.parametrize("key", ["task", "teacher", "dtype_difference"])
def test_any_value_of_about_is_shown(tmp_path: Path, key: str, value: object) -> None:
    root = sealed(tmp_path / "cache", 16, about={key: value})
    facts = cache_facts(Cache.open(root))
    assert all(facts.lines())
    assert json.loads(dumps(facts.to_json()))["about"] == {key: value}
    assert verify_cache(root) == []
    assert repair_cache(root) == []
    sealed(root, 32)
    shown = {"dtype_difference": "largest difference of a logit from float32's, in a sample"}
    assert f"- {shown.get(key, key)}: " in (root / "README.md").read_text(encoding="utf-8")


def test_seals_of_separate_builds_are_equal(tmp_path: Path) -> None:
    one, other = (sealed(tmp_path / name / "cache") for name in ("one", "other"))
    assert (one / "MANIFEST.json").read_bytes() == (other / "MANIFEST.json").read_bytes()
    assert json.loads((one / "MANIFEST.json").read_bytes())["rows"] == {
        "originals": 42,
        "pairs": 40,
    }
