"""Caps on one transfer, and the meter that enforces them while bytes flow."""

from dataclasses import dataclass, field

from tightship.storage.errors import (
    NO_SPACE_LEFT,
    SOURCE_TOO_LARGE,
    TOO_MANY_FILES,
    StorageError,
)

GIB = 1 << 30


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """Caps of one download: size of all files in bytes, number of files, duration in seconds.

    `room` is what the volume that it is written to can still hold; None: not known.
    """

    max_bytes: int = 10 * GIB
    max_files: int = 10_000
    max_seconds: float = 3600
    room: int | None = None


@dataclass(slots=True)
class Meter:
    """Counts what arrives against the limits; the sizes that a server tells are not trusted."""

    limits: Limits
    subject: str
    bytes: int = field(default=0, init=False)

    def expect(self, files: int, size: int) -> None:
        """Refuse by the announced numbers, before anything is transferred."""
        if files > self.limits.max_files:
            raise StorageError(
                TOO_MANY_FILES,
                f"{self.subject} holds more than {self.limits.max_files} files. Name the model's "
                "own folder, or raise the pool's limit.",
            )
        if size > self.limits.max_bytes:
            raise self._too_large(f"has {size} bytes")
        if self.limits.room is not None and size > self.limits.room:
            raise no_space(f"{self.subject} has {size} bytes", self.limits.room)

    def add(self, count: int) -> None:
        """Count bytes that arrived."""
        self.bytes += count
        if self.bytes > self.limits.max_bytes:
            raise self._too_large("goes on after the limit")
        if self.limits.room is not None and self.bytes > self.limits.room:
            raise no_space(f"{self.subject} goes on", self.limits.room)

    def forget(self, count: int) -> None:
        """Take back what a broken attempt had counted, before the next one."""
        self.bytes -= count

    def _too_large(self, found: str) -> StorageError:
        return StorageError(
            SOURCE_TOO_LARGE,
            f"{self.subject} {found}; {self.limits.max_bytes} bytes are allowed. "
            "Name a smaller source, or raise the pool's limit.",
        )


def no_space(found: str, room: int) -> StorageError:
    """The error for what does not fit a Job's scratch volume, whose size the pool sets."""
    return StorageError(
        NO_SPACE_LEFT,
        f"{found}, and the scratch volume has room for {room}. Raise spec.converter.scratchSize of "
        "the ServingPool, or name a smaller source.",
    )
