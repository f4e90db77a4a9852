"""Caches that were written when format 1 was new are still read, and mean what they meant."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import verify_cache
from mixkd.shared.plan import pairs
from tests.goldens import make, reader

GOLDENS = Path(__file__).parent / "goldens"
SEALS = {
    "arrow": "74a97cfaaddffd27e3ed3ea993aff2d17a7e8154354f08dc8849cfb99b8fbc88",
    "hdf5": "abe237cf6de71f6a3c6a1253cb96423b746c22603b280bab53d236aff2fa8c4f",
}


@pytest.mark.parametrize("shard_format", make.FORMATS)
def test_a_golden_cache_is_read(shard_format: str) -> None:
    root = GOLDENS / f"format-1-{shard_format}"
    cache = Cache.open(root)
    assert cache.pin == SEALS[shard_format]
    assert cache.seal.length == (make.PAIRS, 28)
    cache.check_alignment()
    assert cache.student_folder(1).name == "layers-0"
    assert [f for f in verify_cache(root, deep=True) if not f.harmless] == []
    for record in cache.pair_records:
        columns = cache.read(record)
        planned = pairs(record.start, record.stop, examples=20, seed=0, beta=0.4)
        for name in ("left", "right", "lam"):
            np.testing.assert_array_equal(columns[name], getattr(planned, name))
        batch = cache.examples().mixes(planned, 0)
        np.testing.assert_allclose(columns["logits"], make.score(batch), rtol=1e-6)


@pytest.mark.parametrize("shard_format", make.FORMATS)
def test_the_same_job_gives_the_same_seal(shard_format: str, tmp_path: Path) -> None:
    """Shard bytes come from pyarrow and libhdf5, so this holds for the tested versions."""
    made = make.make(tmp_path / "cache", shard_format)
    golden = GOLDENS / f"format-1-{shard_format}" / "MANIFEST.json"
    assert (made / "MANIFEST.json").read_bytes() == golden.read_bytes()


@pytest.mark.parametrize("shard_format", make.FORMATS)
def test_a_reader_written_from_the_page_of_the_format_reads_the_same(shard_format: str) -> None:
    root = GOLDENS / f"format-1-{shard_format}"
    source = Path(reader.__file__).read_text(encoding="utf-8")
    assert len(source.splitlines()) <= 60
    assert "mixkd" not in re.sub(r'""".*?"""', "", source, flags=re.DOTALL)
    found, cache = reader.read(root), Cache.open(root)
    assert found["pin"] == cache.pin
    assert found["scores"] == cache.seal.scores
    assert found["header"] == json.loads(cache.header.to_bytes())
    pairs = cache.pairs()
    for name in ("left", "right", "lam", "logits"):
        np.testing.assert_array_equal(found["pairs"][name], getattr(pairs, name))
    for number, split in enumerate(cache.splits):
        logits = found["originals"]["logits"][found["originals"]["split"] == number]
        np.testing.assert_array_equal(logits, cache.logits(split))
        ids = cache.examples(split).input_ids
        listed = [ids[row].tolist() for row in range(len(cache.examples(split)))]
        assert found["examples"][split]["input_ids"].to_pylist() == listed
