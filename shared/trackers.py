"""Trackers: what `--track` asks for, by the classes of accelerate; their failures have a name."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from mixkd.shared.errors import DiskError, UsageError

LOGS = "logs"
PROJECT = "mixkd"
# The options of both tools, beside which a run's outcome is the same.
TRACKING_OPTIONS = ("track", "project", "run_name", "group", "tags")


@dataclass(frozen=True, slots=True)
class Tracking:
    """Where a run is tracked, and under which names.

    Attributes:
        out: The folder that the run fills; files of trackers go to `logs` beside it, not into it.
        run_name: None is the name of `out`.
    """

    out: Path
    track: tuple[str, ...]
    project: str
    run_name: str | None
    group: str | None
    tags: tuple[str, ...]

    @classmethod
    def of(cls, options: Any) -> Tracking:
        """Take what a command's options say."""
        given = {name: getattr(options, name) for name in TRACKING_OPTIONS}
        return cls(out=options.out_folder.resolve(), **given)

    @property
    def name(self) -> str:
        return self.run_name or self.out.name

    @property
    def logs(self) -> Path:
        return self.out.parent / LOGS

    def start(self, config: Mapping[str, Any]) -> list[Any]:
        """Start the trackers of a run; they log in the main process only.

        Args:
            config: The run's settings; what trackers have no place for is left out.

        Raises:
            UsageError: If one is not installed.
            DiskError: If one cannot write.
        """
        check_trackers(self.track)
        names = {"run_name": self.name, "group": self.group, "tags": ", ".join(self.tags)}
        plain = {k: v for k, v in config.items() if isinstance(v, int | float | str)}
        with named():
            trackers = [self._make(name) for name in self.track]
            for tracker in trackers:
                tracker.start()
                tracker.store_init_configuration({**plain, **{k: v for k, v in names.items() if v}})
        return trackers

    def _make(self, tracker: str) -> Any:
        """Make a tracker, with the run's names where its service has a place for them."""
        from accelerate.tracking import LOGGER_TYPE_TO_CLASS

        kind = LOGGER_TYPE_TO_CLASS[tracker]
        tags = list(self.tags) or None
        match tracker:
            case "tensorboard":  # folders are all the names it has
                folder = "/".join(filter(None, (self.project, self.group, self.name)))
                return kind(folder, self.logs)
            case "wandb":
                self.logs.mkdir(parents=True, exist_ok=True)
                given = {"name": self.name, "group": self.group, "tags": tags}
                return kind(self.project, **given, dir=str(self.logs))
            case "trackio":
                return kind(self.project, name=self.name, group=self.group)
            case "mlflow":
                named = {"group": self.group} if self.group else {}
                tagged = named | dict.fromkeys(self.tags, "true")
                place = (self.logs / tracker).as_uri()
                return kind(self.project, place, tags=tagged or None, run_name=self.name)
            case "swanlab":
                given = {"experiment_name": self.name, "group": self.group, "tags": tags}
                return kind(self.project, **given, logdir=str(self.logs / tracker))
        needs_folder = kind.requires_logging_directory
        return kind(self.project, self.logs) if needs_folder else kind(self.project)


def check_trackers(names: Collection[str]) -> None:
    """Refuse trackers that are not there.

    Raises:
        UsageError: If one is not installed.
    """
    if not names:
        return
    from accelerate.tracking import LOGGER_TYPE_TO_CLASS, get_available_trackers

    known = {getattr(kind, "value", kind) for kind in LOGGER_TYPE_TO_CLASS}
    available = {getattr(kind, "value", kind) for kind in get_available_trackers()}
    for name in names:
        if name not in available:
            raise UsageError(
                "--track",
                expected=f"an installed tracker, of {', '.join(sorted(known))}",
                found=f"{name}, which is {'not installed' if name in known else 'unknown'}",
                do=f"pip install {name}, or leave it out" if name in known else "choose another",
            )


@contextmanager
def named() -> Iterator[None]:
    """Name a tracker's failure to write.

    Raises:
        DiskError: If one cannot write.
    """
    try:
        yield
    except OSError as error:
        raise DiskError(
            "--track",
            expected="a tracker that can write",
            found=str(error)[:200],
            do="free space or leave it out, then run it again; a student goes on with --resume",
        ) from error
