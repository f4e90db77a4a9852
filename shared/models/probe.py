"""Probe whether a model can be mixed, with four examples, in place of a list of names.

A model is usable if, in float32 and within 1e-4 x max(1, |logit|), (a) its logits from embeddings
equal its logits from ids in one right-padded batch, and (b) an example alone gives the logits that
it gives in the batch. Decoders fail (a); models whose attention or convolution sees padding fail
(b).
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from mixkd.shared.arrays import Logits
from mixkd.shared.errors import MixkdError, ModelError, PaddingDependentError
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import MixBatch
from mixkd.shared.models.quietly import PROPOSAL, first_line, quiet

PROBE_ROWS = 4
TOLERANCE = 1e-4


def relative_difference(logits: Logits, reference: Logits) -> float:
    """Compute the largest |logits - reference| / max(1, |reference|); infinite where one is not
    finite."""
    with np.errstate(invalid="ignore"):  # infinity minus infinity
        difference = np.abs(logits - reference) / np.maximum(1, np.abs(reference))
    return float(difference.max()) if np.isfinite(difference).all() else float("inf")


def probe_rows(examples: Examples) -> npt.NDArray[np.int64]:
    """Choose four examples of lengths as different as the split has, shortest and longest too."""
    by_length = np.argsort(examples.lengths, kind="stable")
    return by_length[np.linspace(0, len(by_length) - 1, PROBE_ROWS).astype(np.int64)]


def probe(
    name: str,
    examples: Examples,
    pad_id: int,
    from_ids: Callable[[MixBatch], Logits],
    from_mix: Callable[[MixBatch], Logits],
) -> None:
    """Refuse a model whose logits depend on padding, or differ between embeddings and ids.

    Args:
        name: The model, for the message.
        from_ids: Left ids, types and mask of a batch -> float32 [B, C], the model's usual way.
        from_mix: A batch -> float32 [B, C], through `mixed_inputs`.

    Raises:
        PaddingDependentError: With the actual difference.
        ModelError: If the model cannot take the examples at all.
    """
    rows = probe_rows(examples)
    batch = examples.originals(rows, pad_id)
    try:
        with quiet():
            together = from_mix(batch)  # [4, C]
            with_ids = from_ids(batch)  # [4, C]
            one_by_one = [from_mix(examples.originals([row], pad_id)) for row in rows]
        alone = np.concatenate(one_by_one)  # [4, C]
    except (MixkdError, MemoryError):
        raise
    except Exception as error:  # of whatever kind a model raises
        raise ModelError(
            name,
            expected="a model that takes inputs_embeds, a mask of zeros and ones, and "
            f"{int(examples.lengths.max())} positions",
            found=first_line(error),
            do=f"{PROPOSAL}, or a smaller --max-length",
        ) from error
    by_ids = relative_difference(together, with_ids)
    by_padding = relative_difference(alone, together)
    for what, difference in (
        ("from embeddings equal to logits from ids", by_ids),
        ("of an example alone equal to those in a padded batch", by_padding),
    ):
        if difference > TOLERANCE:
            raise PaddingDependentError(
                name,
                expected=f"logits {what} within {TOLERANCE:g} x max(1, |logit|)",
                found=f"a difference of {difference:.2g}: logits depend on padding",
                do=PROPOSAL,
            )
