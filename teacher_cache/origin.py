"""Where a teacher comes from: files of its own, or an object in memory. Nothing is loaded yet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from mixkd.shared.mixup import MaskRule
from mixkd.shared.models.checkpoint import checkpoint_sha256, read_config
from mixkd.shared.models.digest import model_sha256
from mixkd.shared.models.locate import Checkpoint
from mixkd.shared.models.tokenizer import load_tokenizer
from mixkd.teacher_cache.scorer import ScorerSpec
from mixkd.teacher_cache.teacher import Teacher

if TYPE_CHECKING:
    from torch import nn


class TeacherOrigin(Protocol):
    """A teacher before it is loaded."""

    @property
    def name(self) -> str:
        """What messages call it."""
        ...

    @property
    def about(self) -> dict[str, str]:
        """Names and revisions for people; no local path."""
        ...

    def config(self) -> dict[str, Any]:
        """Return its configuration, as in config.json."""
        ...

    def sha256(self) -> str:
        """Compute the digest that is its identity."""
        ...

    def tokenizer(self) -> Any:
        """Return its tokenizer."""
        ...

    def load(self, columns: tuple[int, ...], mask: MaskRule, longest: int, device: str) -> Teacher:
        """Load it, in float32."""
        ...


@dataclass(frozen=True, slots=True)
class SavedTeacher:
    """A teacher in a folder or on the Hub."""

    checkpoint: Checkpoint

    @property
    def name(self) -> str:
        """What the user called it."""
        return self.checkpoint.name

    @property
    def about(self) -> dict[str, str]:
        """Its Hub id and revision, or the folder's own name."""
        return self.checkpoint.about

    def config(self) -> dict[str, Any]:
        """Read its config.json."""
        return read_config(self.checkpoint)

    def sha256(self) -> str:
        """Compute the digest over config.json and the weight files."""
        return checkpoint_sha256(self.checkpoint)

    def tokenizer(self) -> Any:
        """Load the tokenizer beside the weights."""
        return load_tokenizer(self.checkpoint)

    def load(self, columns: tuple[int, ...], mask: MaskRule, longest: int, device: str) -> Teacher:
        """Load it from its files, in float32."""
        return ScorerSpec(self.name, columns, mask, longest, device).load()


@dataclass(frozen=True, slots=True)
class TeacherInMemory:
    """A teacher that is an object already; see `Teacher.from_model` for what it must have."""

    model: nn.Module
    its_tokenizer: Any
    name: str

    @property
    def about(self) -> dict[str, str]:
        """Its class."""
        return {"teacher": f"{type(self.model).__name__} in memory"}

    def config(self) -> dict[str, Any]:
        """Return its configuration as a table."""
        settings: Any = self.model.config
        table: dict[str, Any] = settings.to_dict()
        return table

    def sha256(self) -> str:
        """Compute the digest over its state and configuration."""
        return model_sha256(self.model)

    def tokenizer(self) -> Any:
        """Return the tokenizer that was given."""
        return self.its_tokenizer

    def load(self, columns: tuple[int, ...], mask: MaskRule, longest: int, device: str) -> Teacher:
        """Take the model as it is; `auto` leaves it on its device."""
        return Teacher.from_model(
            self.model,
            self.its_tokenizer,
            name=self.name,
            columns=columns,
            mask=mask,
            max_length=longest,
            device=None if device == "auto" else device,
        )
