"""What a stranger gave: the files of a model or a tokenizer, read once. What is checked is used."""

from __future__ import annotations

import fnmatch
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixkd.shared import files
from mixkd.shared.errors import MalformedError
from mixkd.shared.json_values import decode
from mixkd.shared.models.checkpoint import ADAPTER, CONFIG, INDEX, JSON_LIMIT_BYTES, weight_names
from mixkd.shared.models.digest import contents_sha256

TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.txt",
    "vocab.json",
    "merges.txt",
    "*.model",
)
WEIGHTS_LIMIT_BYTES = 2**36
TEXT_LIMIT_BYTES = 2**28


@dataclass(frozen=True, slots=True)
class ModelFiles:
    """The files of a model, a tokenizer or both, in memory.

    Attributes:
        name: What the user called it, or where it was read, for messages.
        contents: Name -> content. No path is kept: nothing is opened a second time.
    """

    name: str
    contents: Mapping[str, bytes]

    @classmethod
    def read(cls, name: str, folder: Path) -> ModelFiles:
        """Read the files of a folder that a student may be loaded from.

        Raises:
            MissingFileError, UnsafeFileError, MalformedError: Naming the file.
        """
        present = sorted(path.name for path in folder.iterdir())
        wanted = (CONFIG, ADAPTER, INDEX, *TOKENIZER_FILES)
        texts = [
            file for file in present if any(fnmatch.fnmatchcase(file, each) for each in wanted)
        ]
        found = cls(
            name, {file: files.read(folder, file, limit_bytes=TEXT_LIMIT_BYTES) for file in texts}
        )
        weights = {
            file: files.read(folder, file, limit_bytes=WEIGHTS_LIMIT_BYTES)
            for file in weight_names(name, present, found.json, MalformedError)
            if file not in texts
        }
        return cls(name, {**found.contents, **weights})

    def path(self, file: str) -> str:
        """Name one of the files, for messages."""
        return f"{self.name}/{file}"

    def json(self, file: str) -> dict[str, Any]:
        """Decode the object in a JSON file.

        Raises:
            MalformedError: If there is none.
        """
        if file not in self.contents:
            raise MalformedError(
                self.path(file),
                expected="a JSON object",
                found="no such file",
                do="get the folder again from where it was made; save_pretrained of transformers "
                "writes it",
            )
        return decode(self.contents[file], dict[str, Any], self.path(file), JSON_LIMIT_BYTES)

    def weights(self) -> list[str]:
        """List the names of the files that hold the weights: one, or an index and its parts.

        Raises:
            MalformedError: If there are no safetensors, or some are missing.
        """
        return weight_names(self.name, list(self.contents), self.json, MalformedError)

    def sha256(self) -> str:
        """Digest the model, its identity, as `checkpoint_sha256` does."""
        names = [CONFIG, *self.weights()]
        return contents_sha256({name: self.contents[name] for name in names})
