"""The last level of trust: the teacher itself, run again on random rows of a cache."""

from __future__ import annotations

from pathlib import Path

from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.verify import Finding, rerun
from mixkd.shared.models.checkpoint import checkpoint_sha256
from mixkd.shared.models.locate import locate
from mixkd.shared.models.tokenizer import load_tokenizer
from mixkd.teacher_cache.teacher import Teacher

FLOAT32_TOLERANCE = 1e-4
LOW_PRECISION_FACTOR = 4


def verify_with_teacher(folder: Path, name: str, rows: int, device: str) -> list[Finding]:
    """Compare the stored logits of random rows with a rerun in float32.

    A cache made in a lower format may differ by four times what the format differed on the probe.
    """
    cache = Cache.open(folder)
    identity = cache.identity
    checkpoint = locate(name)
    found = checkpoint_sha256(checkpoint)
    if found != identity.teacher_sha256:
        return [
            Finding(
                f"{checkpoint.name}: expected the teacher {identity.teacher_sha256[:12]}, "
                f"found {found[:12]}; name the one the cache was made with"
            )
        ]
    teacher = Teacher.load(
        checkpoint,
        identity.teacher_columns,
        mask=identity.mask,
        max_length=max(int(cache.examples(s.name).lengths.max()) for s in identity.splits),
        tokenizer_pad_id=load_tokenizer(checkpoint).pad_token_id,
        device=device,
    )
    lower = any(record.made.get("dtype") != "float32" for record in cache.seal.shards)
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
