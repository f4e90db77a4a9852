"""A whole cache in memory, to be changed and told again: what a liar does who has our builder.

    story = Story.of(root)
    story.examples["train"] = ...
    story.tell(tmp_path / "lie")       # digests, identity, records, scores and seal are right

Nothing is hidden from the liar: whatever a builder computes from the content is computed again.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import msgspec

from mixkd.shared.cache.codecs.base import Columns
from mixkd.shared.cache.header import Draft, Split
from mixkd.shared.cache.reader import Cache
from mixkd.shared.cache.records import Record
from mixkd.shared.cache.writer import CacheWriter
from mixkd.shared.examples import Examples

replace = msgspec.structs.replace


@dataclass
class Story:
    """What a cache says.

    Attributes:
        draft: Identity, metric and description.
        files: Path -> content of tokenizer and starting points.
        shards: Records, of which rows, kind and `made` are kept, and their columns.
    """

    draft: Draft
    examples: dict[str, Examples]
    files: dict[str, bytes]
    shards: list[tuple[Record, Columns]]

    @classmethod
    def of(cls, root: Path) -> Story:
        """Read a cache whole."""
        cache = Cache.open(root)
        values = {name: getattr(cache.header, name) for name in Draft.__struct_fields__}
        return cls(
            draft=Draft(**values),
            examples={split: cache.examples(split) for split in cache.splits},
            files={
                file.path: (root / file.path).read_bytes()
                for file in cache.header.files
                if not file.path.startswith("examples/")
            },
            shards=[
                (record, {name: values.copy() for name, values in cache.read(record).items()})
                for record in cache.seal.shards
            ],
        )

    def columns(self, kind: str) -> list[Columns]:
        """The columns of a kind's shards, in order, to be changed in place."""
        return [columns for record, columns in self.shards if record.kind == kind]

    def identify(self, **changes: Any) -> None:
        """Change fields of the identity; `teacher` is a dictionary of the teacher's."""
        identity = self.draft.identity
        if "teacher" in changes:
            changes["teacher"] = replace(identity.teacher, **changes["teacher"])
        self.draft = replace(self.draft, identity=replace(identity, **changes))

    def describe(self, **about: Any) -> None:
        """Change entries of the description."""
        self.draft = replace(self.draft, about={**self.draft.about, **about})

    def made_in(self, dtype: str, kind: str = "pairs") -> None:
        """Claim a number format for the shards of a kind."""
        for k, (record, columns) in enumerate(self.shards):
            if record.kind == kind:
                made = replace(record.made, dtype=dtype)
                self.shards[k] = (replace(record, made=made), columns)

    def tell(self, root: Path) -> Path:
        """Build and seal the cache."""
        self.identify(
            splits=tuple(
                Split(
                    name=split.name,
                    rows=split.rows,
                    labelled=int(self.examples[split.name].labelled.sum()),
                    texts_sha256=self.examples[split.name].texts_sha256() or split.texts_sha256,
                    ids_sha256=self.examples[split.name].ids_sha256(),
                )
                for split in self.draft.identity.splits
            )
        )
        writer = CacheWriter.create(root, self.draft, self.examples, self.files)
        for record, columns in self.shards:
            writer.commit(record.kind, (record.start, record.stop), columns, record.made)
        writer.seal()
        return root
