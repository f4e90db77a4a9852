"""One function for each lie; what finds it, and what it is called, stands above it."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from safetensors.numpy import load, save

from mixkd.shared.cache.claims import Claim, Level
from mixkd.shared.cache.reader import Cache
from mixkd.shared.examples import Ragged
from tests.hostile.sign import sign
from tests.lies.story import Story

START = "student_init/layers-0"
ALL: dict[str, Lie] = {}
GIVEN: dict[str, Lie] = {}  # told in a cache of logits that were given


@dataclass(frozen=True)
class Lie:
    """A lie, and who finds it.

    Attributes:
        claim: The claim that is false.
        refused: Of `open` and `train-student`, those that refuse the cache.
        found: Level -> the claims that `verify` names there; options add to `verify`.
        change: Changes the content, which is then told with all that follows from it.
        spoil: Changes the finished cache.
    """

    claim: Claim
    refused: Collection[Level]
    found: dict[Level, set[Claim]]
    change: Callable[[Story], None] = lambda story: None
    spoil: Callable[[Path], None] = lambda root: None

    def tell(self, story: Story, root: Path) -> Path:
        self.change(story)
        story.tell(root)
        self.spoil(root)
        return root


def lie(
    claim: Claim,
    *refused: Level,
    spoil: bool = False,
    given: bool = False,
    **found: Collection[Claim],
) -> Callable[[Callable[[Any], None]], Callable[[Any], None]]:
    """Register a lie about `claim`; `verify`, `deep`, `teacher` and `data` are what they name."""
    named = {"verify": "verify", "deep": "--deep", "teacher": "--teacher", "data": "--data"}
    levels: dict[Any, set[Claim]] = {named[name]: set(claims) for name, claims in found.items()}

    def register(function: Callable[[Any], None]) -> Callable[[Any], None]:
        how: dict[str, Any] = {"spoil" if spoil else "change": function}
        (GIVEN if given else ALL)[function.__name__] = Lie(claim, refused, levels, **how)
        return function

    return register


BEGINS: tuple[Level, ...] = ("open", "train-student")


@lie("files", *BEGINS, verify=["files"], spoil=True)
def another_header(root: Path) -> None:
    header = root / "cache.json"
    header.write_bytes(header.read_bytes().replace(b"tiny", b"tidy"))


@lie("files", "train-student", verify=["files"], spoil=True)
def another_file_of_the_tokenizer(root: Path) -> None:
    (root / "tokenizer/added_tokens.json").write_bytes(b"{}\n")


@lie("rows", *BEGINS, verify=["files"], spoil=True)
def more_rows_than_shards(root: Path) -> None:
    sign(root, edit=lambda seal: seal["rows"].update(pairs=seal["rows"]["pairs"] + 1))


def shard_with(root: Path, kind: str, change: Callable[[dict[str, Any]], None]) -> None:
    """Change a shard's columns and sign it again."""
    cache = Cache.open(root)
    record = cache.seal.records(kind)[0]
    columns = {name: values.copy() for name, values in cache.read(record).items()}
    change(columns)
    layout = cache.identity.layout(record.kind, record.start, record.stop)
    sign(root, {record.file: record.codec.encode(layout, columns)})
    (root / record.file).unlink()


@lie("rows", "train-student", verify=["rows"], spoil=True)
def originals_in_another_order(root: Path) -> None:
    shard_with(root, "originals", lambda columns: columns.update(example=columns["example"][::-1]))


@lie("rows", "train-student", verify=["rows"], spoil=True)
def an_example_longer_than_the_longest(root: Path) -> None:
    name = "examples/validation.arrow"
    examples = Cache.open(root).examples("validation")
    rows = [examples.input_ids[row] for row in range(len(examples))]
    types = [np.zeros(len(row), np.int8) for row in rows]
    rows[3], types[3] = np.full(100_000, 5, np.int32), np.zeros(100_000, np.int8)
    ids, kinds = Ragged.from_rows(rows, np.int32), Ragged.from_rows(types, np.int8)
    sign(root, {name: replace(examples, input_ids=ids, token_type_ids=kinds).to_bytes()})


@lie("plan", verify=["plan"])
def pairs_of_a_favourite_example(story: Story) -> None:
    """With the logits of those pairs: the originals' are known."""
    logits = np.concatenate([columns["logits"] for columns in story.columns("originals")])
    for columns in story.columns("pairs"):
        columns["left"][:] = columns["right"][:] = 7
        columns["logits"][:] = logits[7]


@lie("ids", "train-student", verify=["ids", "texts"], teacher=["logits"], spoil=True)
def other_ids_than_the_identitys(root: Path) -> None:
    sign_examples(root, exchange_words)


@lie("ids", verify=["ids"], data=["labels"], spoil=True)
def other_texts_than_the_identitys(root: Path) -> None:
    """Spelled so that the ids stay as they are."""
    sign_examples(root, lambda story: spell(story, str.upper))


@lie("texts", "train-student", verify=["texts"], data=["labels"])
def every_text_replaced(story: Story) -> None:
    spell(story, lambda text: "a story about a film")


@lie("texts", "train-student", verify=["texts"], teacher=["logits"])
def words_exchanged_in_the_ids(story: Story) -> None:
    exchange_words(story)


@lie("texts", "train-student", verify=["texts"])
def token_types_left_out(story: Story) -> None:
    """The teacher's first type is what it adds by itself: its logits stay."""
    for split, examples in story.examples.items():
        story.examples[split] = replace(examples, token_type_ids=None)


@lie("scores", "train-student", verify=["scores"], spoil=True)
def better_scores(root: Path) -> None:
    sign(root, edit=lambda seal: seal["scores"]["validation"].update(macro_f1=0.875))


@lie("scores", "open", "train-student", verify=["scores"], spoil=True)
def the_headline_left_out(root: Path) -> None:
    sign(root, edit=lambda seal: seal["scores"]["validation"].pop("accuracy"))


@lie("files", "open", "train-student", verify=["files"], spoil=True)
def an_unknown_metric(root: Path) -> None:
    sign(root, edit_header=lambda header: header.update(metric="fame"))


@lie("logits", teacher=["logits"])
def logits_swapped(story: Story) -> None:
    for columns in story.columns("pairs"):
        columns["logits"] = columns["logits"][:, ::-1].copy()


@lie("logits", teacher=["logits", "about"])
def logits_swapped_within_a_tolerance_of_its_own(story: Story) -> None:
    """The description once said how far the logits of a lower format may be off."""
    logits_swapped(story)
    story.made_in("bfloat16")
    story.describe(dtype_difference=1000.0)


@lie("dtype", verify=["dtype"])
def a_format_that_does_not_exist(story: Story) -> None:
    story.made_in("float12")


@lie("dtype", teacher=["dtype"])
def a_lower_format_than_the_true_one(story: Story) -> None:
    story.made_in("bfloat16")


@lie("teacher", teacher=["teacher"])
def a_famous_teacher(story: Story) -> None:
    story.identify(teacher={"sha256": "0" * 64})


@lie("label_order", teacher=["label_order"])
def names_reversed(story: Story) -> None:
    story.identify(label_names=story.draft.identity.label_names[::-1])


@lie("label_order", teacher=["label_order"], data=["labels"])
def classes_permuted(story: Story) -> None:
    """Columns, logits and labels, consistently; the names stay."""
    story.identify(teacher={"columns": (1, 0)})
    for _, columns in story.shards:
        columns["logits"] = columns["logits"][:, ::-1].copy()
    for split, examples in story.examples.items():
        story.examples[split] = replace(examples, labels=1 - examples.labels)


@lie("label_order", teacher=["label_order"])
def other_names(story: Story) -> None:
    story.identify(label_names=("bad", "good"))


@lie("tokenizer", "train-student", verify=["texts"], teacher=["tokenizer"])
def two_words_swapped(story: Story) -> None:
    def swap(vocabulary: dict[str, int]) -> None:
        vocabulary["dull"], vocabulary["bright"] = vocabulary["bright"], vocabulary["dull"]

    with_json(story, "tokenizer/tokenizer.json", lambda value: swap(value["model"]["vocab"]))


@lie("tokenizer", teacher=["tokenizer"])
def two_words_swapped_without_texts(story: Story) -> None:
    two_words_swapped(story)
    for split, examples in story.examples.items():
        story.examples[split] = replace(examples, text_a=None)


@lie("tokenizer", teacher=["tokenizer"])
def another_side_to_cut(story: Story) -> None:
    with_json(
        story,
        "tokenizer/tokenizer_config.json",
        lambda value: value.update(truncation_side="left"),
    )


@lie("starts", teacher=["starts"])
def a_start_of_noise(story: Story) -> None:
    name = f"{START}/model.safetensors"
    noise = np.random.default_rng(0)
    tensors = {
        name: noise.normal(0, 0.1, tensor.shape).astype(tensor.dtype)
        for name, tensor in load(story.files[name]).items()
    }
    story.files[name] = save(tensors, {"format": "pt"})


@lie("starts", teacher=["starts"])
def a_start_of_another_shape(story: Story) -> None:
    with_json(story, f"{START}/config.json", lambda value: value.update(hidden_act="relu"))


@lie("labels", data=["labels"])
def labels_of_other_texts(story: Story) -> None:
    """With the scores that they give: a bad teacher looks like this."""
    train = story.examples["train"]
    story.examples["train"] = replace(train, labels=np.roll(train.labels, 1))


@lie("labels", data=["labels"])
def a_label_of_its_own_beside_rows_without(story: Story) -> None:
    """Half of train says that it has no label, which is no lie; one row has a wrong one."""
    train = story.examples["train"]
    labels = np.where(np.arange(len(train)) % 2, -1, train.labels)
    labels[0] = 1 - labels[0]
    story.examples["train"] = replace(train, labels=labels)


@lie("rows", "train-student", verify=["rows"], spoil=True)
def fewer_labels_than_are_counted(root: Path) -> None:
    def hide(story: Story) -> None:
        train = story.examples["train"]
        story.examples["train"] = replace(train, labels=np.where(train.labels, -1, 0))

    sign_examples(root, hide)


@lie("about", teacher=["about"])
def another_name(story: Story) -> None:
    story.describe(teacher="famous/teacher")


@lie("about", teacher=["about"])
def another_difference(story: Story) -> None:
    story.describe(dtype_difference=1000.0)


@lie("card", verify=["card"], spoil=True)
def another_card(root: Path) -> None:
    card = root / "README.md"
    card.write_text(card.read_text().replace("accuracy", "accuracy on unseen data"))


@lie("card", verify=["card"], spoil=True)
def another_row(root: Path) -> None:
    rows = root / "rows" / "train.arrow"
    data = rows.read_bytes()
    middle = len(data) // 2
    rows.write_bytes(data[:middle] + bytes([data[middle] ^ 1]) + data[middle + 1 :])


def sign_examples(root: Path, change: Callable[[Story], None]) -> None:
    """Change the examples and sign their files, though not the identity's digests of them."""
    story = Story.of(root)
    change(story)
    sign(
        root, {f"examples/{split}.arrow": rows.to_bytes() for split, rows in story.examples.items()}
    )


def spell(story: Story, change: Callable[[str], str]) -> None:
    for split, examples in story.examples.items():
        texts = [change(text) for text in examples.text_a.to_pylist()]
        story.examples[split] = replace(examples, text_a=pa.array(texts))


def exchange_words(story: Story) -> None:
    """Write another filler's id for one of them, in every example."""
    for split, examples in story.examples.items():
        flat = np.where(examples.input_ids.flat == 14, 15, examples.input_ids.flat)
        ids = Ragged(flat.astype(np.int32), examples.input_ids.offsets)
        story.examples[split] = replace(examples, input_ids=ids)


def with_json(story: Story, name: str, change: Callable[[dict[str, Any]], None]) -> None:
    value = json.loads(story.files[name])
    change(value)
    story.files[name] = json.dumps(value).encode()


@lie("logits", given=True, data=["logits"])
def more_certain_than_was_given(story: Story) -> None:
    story.columns("originals")[0]["logits"][3] *= 2


@lie("teacher", given=True, data=["teacher"])
def another_digest_of_what_was_given(story: Story) -> None:
    story.identify(teacher={"sha256": "2" * 64})


@lie("dtype", given=True, verify=["dtype"])
def given_logits_computed_here(story: Story) -> None:
    story.made_in("float32", "originals")
