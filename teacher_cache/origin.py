"""Where a teacher comes from: files of its own, or an object in memory. Nothing is loaded yet.

Origins of files are plain values: another process can be sent one and load the same teacher.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mixkd.shared.mixup import MaskRule
from mixkd.shared.models.checkpoint import checkpoint_sha256, read_config
from mixkd.shared.models.digest import model_sha256
from mixkd.shared.models.locate import Checkpoint
from mixkd.shared.models.tokenizer import check_vocabulary, load_tokenizer
from mixkd.teacher_cache.teacher import Teacher

if TYPE_CHECKING:
    from torch import nn


@dataclass(frozen=True, slots=True)
class SavedTeacher:
    """A teacher in a folder or on the Hub.

    Attributes:
        name: What the user called it.
        about: Its Hub id and revision, or the folder's own name; no local path.
    """

    checkpoint: Checkpoint

    @property
    def name(self) -> str:
        return self.checkpoint.name

    @property
    def about(self) -> dict[str, str]:
        return self.checkpoint.about

    def config(self) -> dict[str, Any]:
        """Read its config.json."""
        return read_config(self.checkpoint)

    def sha256(self) -> str:
        """Compute its identity: the digest over config.json and the weight files."""
        return checkpoint_sha256(self.checkpoint)

    def tokenizer(self) -> Any:
        """Load the tokenizer beside the weights."""
        return load_tokenizer(self.checkpoint)

    def load(self, columns: tuple[int, ...], mask: MaskRule, longest: int, device: str) -> Teacher:
        """Load it onto a device, in float32.

        Args:
            columns: For each class of the cache, the teacher's label.
            longest: Tokens of the longest example.

        Raises:
            ModelError, UntrainedHeadError, DeviceMemoryError: Naming the teacher.
        """
        tokenizer = self.tokenizer()
        teacher = Teacher.load(
            self.checkpoint,
            columns,
            mask=mask,
            max_length=longest,
            tokenizer_pad_id=tokenizer.pad_token_id,
            device=device,
        )
        check_vocabulary(  # students would inherit both
            teacher.name,
            tokenizer,
            teacher.model.get_input_embeddings().weight.shape[0],
            do="call model.resize_token_embeddings(len(tokenizer)) and save the model again",
        )
        return teacher


@dataclass(frozen=True, slots=True)
class TeacherInMemory:
    """A teacher that is an object already; see `Teacher.from_model` for what it must have.

    The methods are those of `SavedTeacher`.
    """

    model: nn.Module
    its_tokenizer: Any
    name: str

    @property
    def about(self) -> dict[str, str]:
        return {"teacher": f"{type(self.model).__name__} in memory"}

    def config(self) -> dict[str, Any]:
        """Return its configuration as a table."""
        settings: Any = self.model.config
        table: dict[str, Any] = settings.to_dict()
        return table

    def sha256(self) -> str:
        """Compute its identity: the digest over its state and configuration."""
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


TeacherOrigin = SavedTeacher | TeacherInMemory
