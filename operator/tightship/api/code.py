"""Code of the user's, a trainer or a metric: where it lies, what is called in it, who trusts it."""

from __future__ import annotations

from dataclasses import dataclass

_NAME = r"[A-Za-z_][A-Za-z0-9_]*"
_PART = r"[A-Za-z0-9_][-A-Za-z0-9_.]*"
ENTRYPOINT = rf"({_PART}/)*({_PART}[.]py|{_NAME}([.]{_NAME})*):{_NAME}"
"""FILE.py:NAME or MODULE:NAME, each below folders where it lies deeper."""
ENTRYPOINT_MAX = 253


@dataclass(frozen=True, slots=True, kw_only=True)
class CodeRequest:
    """What a Job is told of such code; `entry` is FILE.py:NAME or MODULE:NAME below `uri`.

    It runs only where `trusted` says that this is wanted; `confined` demands a kernel that holds it
    in its folder. `digest` is sha256 hex once an intake has pinned it.
    """

    uri: str
    entry: str
    trusted: bool
    confined: bool = True
    digest: str | None = None
