"""What labels are, as transformers calls it in a model's config. It imports nothing."""

from __future__ import annotations

CLASSIFICATION = "single_label_classification"
MULTI_LABEL = "multi_label_classification"
REGRESSION = "regression"
# Problem type -> the metric that it is judged by, where the task has no other.
HEADLINES = {CLASSIFICATION: "accuracy", MULTI_LABEL: "micro_f1", REGRESSION: "pearson"}
PROBLEM_TYPES = tuple(HEADLINES)
