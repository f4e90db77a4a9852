"""Ready batches of a cache as a PyTorch data set, for a plain loop or `transformers.Trainer`.

    batches = Batches("shards/rte", batch_size=32, pad_id=model.config.pad_token_id)
    for batch in batches:
        logits = model(**mix_inputs(model, batch, batches.mask_rule)).logits
        loss = mse_loss(logits, batch["teacher_logits"])

The batches are those of `train-student`: the same order, the same mixes, originals first. The model
must read the cache's ids, as the starting points in the cache do.
Shapes: B rows per batch, T positions, D embedding width, C classes (1 for regression).
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import IterableDataset, get_worker_info

from mixkd.shared.cache.reader import Cache
from mixkd.shared.mixup import InputEmbeddings, MaskRule, MixBatch, mixed_inputs
from mixkd.student_train.batches import Batch, Source, batches
from mixkd.student_train.joined import JoinedPairs, check_same, teacher_logits
from mixkd.student_train.order import Order

INPUTS = tuple(field.name for field in fields(MixBatch))


class Batches(IterableDataset[dict[str, Tensor]]):
    """Batches of originals and their mixes, with the labels and the teacher's logits.

    Each batch is a dictionary of tensors:

        left_ids, right_ids, left_mask, right_mask: int64 [B, T].
        left_types, right_types: int64 [B, T], where the cache has token types.
        lam: float32 [B], the weight of the left side; 1 for originals.
        targets: float32 [B, C], one-hot labels, or 0 and 1 per label for multi-label, mixed for
            mixes; numbers for regression.
        labelled: bool [B], whether a row has a label; where it has none, its targets are 0.
        teacher_logits: float32 [B, C].

    With a `DataLoader`, pass `batch_size=None`; with `Trainer`, `per_device_train_batch_size=1`,
    `data_collator=collate` and `remove_unused_columns=False`. `Trainer` distributes whole batches
    among its processes itself: there, pass `rank=0, world=1`. Loader workers must be forked.

    Args:
        caches: A folder or an opened cache, or several, whose logits are averaged.
        batch_size: Originals per batch, over all processes; mixes come on top.
        pad_id: The model's id for padding.
        mix_ratio: Mixes per original; 0 for none.
        seed: Of the order.
        epochs: Passes over the train split in one iteration.
        rank, world: This process among all; by default what `torch.distributed` says. A process
            without a row in the last batch gets one original of that batch.

    Raises:
        MixkdError: Of a class that names what is wrong with a cache.
    """

    def __init__(
        self,
        caches: str | Path | Cache | Sequence[str | Path | Cache],
        *,
        batch_size: int,
        pad_id: int,
        mix_ratio: float = 1.0,
        seed: int = 0,
        epochs: int = 1,
        rank: int | None = None,
        world: int | None = None,
    ) -> None:
        given = [caches] if isinstance(caches, str | Path | Cache) else caches
        opened = [cache if isinstance(cache, Cache) else Cache.open(cache) for cache in given]
        check_same(opened)
        for cache in opened:
            cache.check_alignment()
        identity, pairs = opened[0].identity, JoinedPairs(opened)
        examples = opened[0].examples("train")
        teacher = teacher_logits(opened)["train"]  # [n, C]
        shards = pairs.shards if mix_ratio else ()
        self.mask_rule: MaskRule = identity.mixup.mask
        self.epochs = epochs
        self.source = Source(examples, teacher, pairs, identity.problem_type, pad_id)
        self.order = Order(len(examples), shards, batch_size, mix_ratio, seed)
        self.rank, self.world = _rank_and_world(rank, world)

    def __len__(self) -> int:
        """Return the number of steps in one iteration."""
        return self.epochs * self.order.steps_per_epoch

    def __iter__(self) -> Iterator[dict[str, Tensor]]:
        """Yield this process's batches of all epochs."""
        steps = (
            batch
            for epoch in range(self.epochs)
            for batch in batches(self.source, self.order, epoch, 0, self.rank, self.world)
        )
        # A DataLoader takes one batch from each worker in turn, which gives the order back.
        worker = get_worker_info()
        first, stride = (worker.id, worker.num_workers) if worker else (0, 1)
        return map(_tensors, itertools.islice(steps, first, None, stride))


def collate(batches: Sequence[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Return the one batch of a list of one, for loaders that insist on a collator."""
    (batch,) = batches
    return batch


def mix_inputs(model: Any, batch: dict[str, Tensor], mask_rule: MaskRule) -> dict[str, Tensor]:
    """Mix the input embeddings of a batch with the model's own tables.

    Args:
        model: A `transformers` model, or what wraps it for several processes.
        mask_rule: The cache's, `Batches.mask_rule`.

    Returns:
        inputs_embeds: float32 [B, T, D]. attention_mask: int64 [B, T].
    """
    embeddings = InputEmbeddings.of(getattr(model, "module", model))
    mixes = MixBatch(**{name: batch.get(name) for name in INPUTS})
    return mixed_inputs(embeddings, mixes, mask_rule)


def _tensors(batch: Batch) -> dict[str, Tensor]:
    arrays = {name: getattr(batch.inputs, name) for name in INPUTS}
    arrays |= {
        "targets": batch.targets,
        "labelled": batch.labelled,
        "teacher_logits": batch.teacher,
    }
    return {name: torch.from_numpy(array) for name, array in arrays.items() if array is not None}


def _rank_and_world(rank: int | None, world: int | None) -> tuple[int, int]:
    distributed = torch.distributed
    known = distributed.is_available() and distributed.is_initialized()
    return (
        (distributed.get_rank() if known else 0) if rank is None else rank,
        (distributed.get_world_size() if known else 1) if world is None else world,
    )
