"""Caches that were written when format 1 was new are still read, and mean what they meant."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from mixkd.shared.cache.reader import Cache
from mixkd.shared.plan import pairs
from tests.goldens import make

GOLDENS = Path(__file__).parent / "goldens"
SEALS = {
    "arrow": "5989d4032910b3a430ca14eecd86297794b0021a20d2a45939a6b0af16b9c455",
    "hdf5": "1460eb7b04684d2c0daa7181f3b46d3617ed753388b17ab4ebc4236f89c2d058",
}


@pytest.mark.parametrize("shard_format", make.FORMATS)
def test_a_golden_cache_is_read(shard_format: str) -> None:
    root = GOLDENS / f"format-1-{shard_format}"
    cache = Cache.open(root)
    assert cache.pin == SEALS[shard_format]
    assert cache.seal.length == (make.PAIRS, 28)
    cache.check_alignment()
    assert cache.student_folder(1).name == "1-layers"
    assert [f for f in verify(root, deep=True) if not f.harmless] == []
    for record in cache.pair_records:
        columns = cache.read(record)
        planned = pairs(record.start, record.stop, examples=20, seed=0, beta=0.4)
        for name in ("left", "right", "lam"):
            np.testing.assert_array_equal(columns[name], getattr(planned, name))
        batch = cache.train.mixes(planned, 0)
        np.testing.assert_allclose(columns["logits"], make.score(batch), rtol=1e-6)


@pytest.mark.parametrize("shard_format", make.FORMATS)
def test_the_same_job_gives_the_same_seal(shard_format: str, tmp_path: Path) -> None:
    """Shard bytes come from pyarrow and libhdf5, so this holds for the tested versions."""
    made = make.make(tmp_path / "cache", shard_format)
    golden = GOLDENS / f"format-1-{shard_format}" / "MANIFEST.json"
    assert (made / "MANIFEST.json").read_bytes() == golden.read_bytes()
