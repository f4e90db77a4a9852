"""Validation: a student's logits on each split but train, and their metrics."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from accelerate import Accelerator

from mixkd.shared.arrays import Logits
from mixkd.shared.examples import Examples
from mixkd.shared.mixup import MixBatch
from mixkd.shared.models.model import to_array, to_tensors
from mixkd.shared.progress import progress
from mixkd.shared.training import counted, predictions
from mixkd.student_train.evaluate import evaluation, teacher_metrics
from mixkd.student_train.losses import check_finite
from mixkd.student_train.memory import memory_for_validation
from mixkd.student_train.results import Metrics, Validation
from mixkd.student_train.student import Student


@dataclass(frozen=True, slots=True)
class Validator:
    """What a student is validated on.

    Attributes:
        examples: Split -> examples in the student's ids.
        teacher: Split -> the teacher's logits, float32 [n, C].
        at_once: Rows of a batch, at most.
    """

    student: Student
    examples: Mapping[str, Examples]
    teacher: Mapping[str, Logits]
    problem_type: str
    at_once: int

    def __call__(self, accelerator: Accelerator, model: Any) -> Validation:
        """Compute the metrics of each split, its batches shared among the processes.

        Args:
            model: The student as the accelerator wraps it.

        Raises:
            LogitsError: If a logit is not finite.
        """
        model.eval()
        return {split: self._metrics(accelerator, split) for split in self.examples}

    def teacher_metrics(self) -> Validation:
        """Compute the teacher's metrics from the cached logits."""
        return {
            split: teacher_metrics(self.teacher[split], examples.labels, self.problem_type)
            for split, examples in self.examples.items()
        }

    def _metrics(self, accelerator: Accelerator, split: str) -> Metrics:
        logits = self._logits(accelerator, split)  # [n, C]
        check_finite(f"the student's logits on {split}", logits)
        labels = self.examples[split].labels
        return evaluation(logits, self.teacher[split], labels, self.problem_type)

    def _logits(self, accelerator: Accelerator, split: str) -> Logits:
        """Return float32 [n, C], computed in batches of similar length."""
        examples = self.examples[split]

        def score(batch: MixBatch) -> Logits:
            memory = memory_for_validation(batch, self.at_once, accelerator.device)
            with torch.inference_mode(), accelerator.autocast(), memory:
                return to_array(self.student.from_ids(to_tensors(batch, accelerator.device)))

        # Rows of other processes stay 0, so that the sum over processes is whole.
        share = len(examples) // accelerator.num_processes
        with progress(share, f"  {split}", "examples") as bar:
            part = predictions(
                counted(score, bar),
                examples,
                self.student.pad_id,
                self.teacher[split].shape[1],
                accelerator.process_index,
                accelerator.num_processes,
                self.at_once,
            )  # [n, C]
        return to_array(accelerator.reduce(torch.from_numpy(part).to(accelerator.device), "sum"))
