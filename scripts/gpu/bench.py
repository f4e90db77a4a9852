"""What the steps work on: random text, random weights, and the product's own functions on them."""

from __future__ import annotations

import gc
import random
import re
import signal
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from scripts.gpu.outcome import Failed, NotTested, require

if TYPE_CHECKING:
    import torch

    from mixkd.shared.cache.reader import Cache
    from mixkd.shared.examples import Examples
    from mixkd.student_train.options import TrainOptions
    from mixkd.student_train.results import TrainResult
    from mixkd.teacher_cache.results import RunFacts
    from mixkd.teacher_cache.teacher import Teacher

T = TypeVar("T")
CLASSES = 3
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]")
# BertConfig's own defaults are BERT-base.
BASE: dict[str, int] = {"vocab_size": 30522}
TINY: dict[str, int] = {
    "vocab_size": 500,
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 64,
}
STEPS = 8  # of a student, at least
ATTEMPTS = 10  # of following the advice of a full memory


@dataclass
class Bench:
    """A folder with data and a teacher, made when they are first asked for.

    Attributes:
        sizes: Of the teacher, as `BertConfig` names them.
    """

    folder: Path
    pairs: int
    rows: int
    sizes: dict[str, int]
    made: dict[str, RunFacts] = field(default_factory=dict)

    @cached_property
    def device(self) -> torch.device:
        from mixkd.shared.models.device import resolve_device

        return resolve_device("auto")

    @property
    def on_card(self) -> bool:
        return self.device.type == "cuda"

    def needs_card(self) -> None:
        """Skip a step on a machine without a CUDA device."""
        if not self.on_card:
            raise NotTested("there is no CUDA device")

    @cached_property
    def data(self) -> Path:
        return write_texts(self.folder / "data", self.rows, self.sizes["vocab_size"] - len(SPECIAL))

    @cached_property
    def teacher(self) -> Path:
        return write_teacher(self.folder / "teacher", self.sizes)

    def loaded(self, device: str = "auto") -> Teacher:
        """Load the teacher as a build does."""
        from mixkd.shared.models.locate import locate
        from mixkd.teacher_cache.origin import SavedTeacher

        origin = SavedTeacher(locate(str(self.teacher)))
        return origin.load(tuple(range(CLASSES)), "union", 64, device)

    @cached_property
    def train(self) -> Examples:
        """The train split, tokenised."""
        return self.cache("float32").examples("train")

    def build(self, name: str, **changes: Any) -> RunFacts:
        """Build a cache in `cache-NAME`, and return what the pass did."""
        from mixkd.teacher_cache.options import BuildOptions
        from mixkd.teacher_cache.run import build_cache

        usual = {"min_teacher_score": 0.0, "teacher": str(self.teacher)}  # a random one
        done = build_cache(
            BuildOptions(
                task="synthetic",
                data=str(self.data),
                text_columns=("text",),
                out=self.root(name),
                **{"pairs": self.pairs, **usual, **changes},
            )
        )
        if done is None or done.run is None:
            raise Failed("a build of a new cache returned no numbers")
        return done.run

    def root(self, name: str) -> Path:
        return self.folder / f"cache-{name}"

    def verify(self, name: str) -> None:
        """Compare all that a cache says with the teacher, which runs on the CPU."""
        from mixkd.teacher_cache.verify import verify_claims

        found = verify_claims(self.root(name), teacher=str(self.teacher), rows=64, device="cpu")
        require(not found.wrong, "; ".join(finding.message for finding in found.wrong[:3]))

    def built(self, dtype: str) -> RunFacts:
        """Build the cache of a number format, once."""
        if dtype not in self.made:
            self.made[dtype] = self.build(dtype, dtype=dtype)
        return self.made[dtype]

    def cache(self, dtype: str) -> Cache:
        from mixkd.shared.cache.reader import Cache

        self.built(dtype)
        return Cache.open(self.root(dtype))

    def student(self, name: str, losses: list[float] | None = None, **changes: Any) -> TrainResult:
        """Train a student in `student-NAME`, half as deep as the teacher.

        Args:
            losses: Is given the loss of every step.
        """
        from mixkd.student_train.train import train

        seen: list[float] = [] if losses is None else losses
        done = train(self._options(name, changes), lambda step, terms: seen.append(terms["loss"]))
        if done is None:
            raise Failed("run gpu_check in one process: the others return nothing")
        return done

    def stopped_student(self, name: str, at: int, **changes: Any) -> None:
        """Train a student in `student-NAME`, and interrupt it after so many steps."""
        from mixkd.student_train.train import train

        def observe(step: int, terms: Mapping[str, float]) -> None:
            if step == at:
                signal.raise_signal(signal.SIGINT)

        try:
            train(self._options(name, changes), observe)
        except KeyboardInterrupt:
            return
        raise Failed(f"the run ended before step {at}")

    def _options(self, name: str, changes: Mapping[str, Any]) -> TrainOptions:
        from mixkd.student_train.options import TrainOptions

        usual = {"epochs": 1, "log_steps": 1, "dtype": "float32"}
        usual["batch_size"] = min(32, self.rows // STEPS)
        self.built("float32")
        out = self.folder / f"student-{name}"
        return TrainOptions(cache=(self.root("float32"),), out=out, **{**usual, **changes})


def follow_advice(option: str, run: Callable[[int | None], T]) -> tuple[T, list[int]]:
    """Run what does not fit into memory until it does, with what its errors propose.

    Args:
        run: Takes the option's value, None at first.

    Returns:
        Its result, and the values that were proposed.
    """
    from mixkd.shared.errors import DeviceMemoryError

    proposed: list[int] = []
    for _ in range(ATTEMPTS):
        try:
            return run(proposed[-1] if proposed else None), proposed
        except DeviceMemoryError as error:
            advice = re.search(rf"{option} (\d+)", error.do)
            if advice is None:
                raise Failed(f"after {proposed} the advice is: {error.do}") from error
            proposed.append(int(advice[1]))
        gc.collect()  # what the failed run still held
    raise Failed(f"it does not fit after {proposed}")


def write_texts(folder: Path, rows: int, words: int) -> Path:
    """Write random sentences of 5 to 60 words with random labels."""
    choose = random.Random(0)
    folder.mkdir()
    for split, count in (("train", rows), ("validation", rows // 4)):
        lines = ["text\tlabel"]
        for row in range(count):
            text = " ".join(f"w{choose.randrange(words)}" for _ in range(choose.randint(5, 60)))
            lines.append(f"{text}\t{row % CLASSES}")
        (folder / f"{split}.tsv").write_text("\n".join(lines) + "\n", encoding="utf-8")
    return folder


def write_teacher(folder: Path, sizes: dict[str, int]) -> Path:
    """Save a BERT with random weights and a tokenizer that knows w0, w1, …"""
    import torch
    from tokenizers import Tokenizer, pre_tokenizers, processors
    from tokenizers.models import WordLevel
    from transformers import BertConfig, BertForSequenceClassification, PreTrainedTokenizerFast

    torch.manual_seed(0)
    config = BertConfig(**sizes, initializer_range=0.05, num_labels=CLASSES)
    BertForSequenceClassification(config).save_pretrained(folder)
    words = [f"w{number}" for number in range(sizes["vocab_size"] - len(SPECIAL))]
    vocabulary = {word: number for number, word in enumerate((*SPECIAL, *words))}
    tokenizer = Tokenizer(WordLevel(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="[PAD]",
        unk_token="[UNK]",
        cls_token="[CLS]",
        sep_token="[SEP]",
        model_max_length=512,
    ).save_pretrained(folder)
    return folder
