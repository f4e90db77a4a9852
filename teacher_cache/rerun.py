"""The last level of trust: the teacher itself, run again on random rows of a cache."""

from __future__ import annotations

from pathlib import Path

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.rerun import rerun
from mixkd.shared.cache.verify import Finding
from mixkd.shared.models.locate import locate
from mixkd.teacher_cache.origin import SavedTeacher

FLOAT32_TOLERANCE = 1e-4
LOW_PRECISION_FACTOR = 4


def verify_with_teacher(root: Path, name: str, rows: int, device: str) -> list[Finding]:
    """Compare the stored logits of random rows with a rerun in float32.

    A cache made in a lower format may differ by four times what the format differed on the probe.
    """
    cache = Cache.open(root)
    identity = cache.identity
    origin = SavedTeacher(locate(name))
    sha256 = origin.sha256()
    if sha256 != identity.teacher.sha256:
        return [
            Finding(
                f"{origin.name}: expected the teacher {identity.teacher.sha256[:12]}, "
                f"found {sha256[:12]}; name the one the cache was made with"
            )
        ]
    longest = max(int(cache.examples(split).lengths.max()) for split in cache.splits)
    teacher = origin.load(identity.teacher.columns, identity.mixup.mask, longest, device)
    lower = any(record.made.dtype != "float32" for record in cache.seal.shards)
    stated = cache.about.get("dtype_difference", 0.0)
    difference = float(stated) if lower and isinstance(stated, int | float) else 0.0
    return rerun(
        cache,
        teacher.score,
        teacher.pad_id,
        rows,
        FLOAT32_TOLERANCE,
        LOW_PRECISION_FACTOR * difference,
    )
