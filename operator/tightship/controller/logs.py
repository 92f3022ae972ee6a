"""Log lines: one JSON object each, with the object they are about, and without secrets."""

import json
import logging
import re
import sys
from datetime import UTC, datetime
from typing import Any

_STANDARD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_KOPF_FIELDS = frozenset({"k8s_skip", "k8s_ref", "settings"})

_SECRETS = (
    re.compile(r"(?i)\b(bearer|basic)\s+[A-Za-z0-9._~+/=-]{8,}"),
    re.compile(
        r"(?i)\b(password|token|secret|api[-_]?key|authorization|tightship-key)(\W?\s?[:=]\W{0,2})([^\s\"',}&]{4,})"
    ),
    re.compile(
        r"-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)", re.DOTALL
    ),
    re.compile(r"\beyJ[A-Za-z0-9_-]{10,}\.[A-Za-z0-9_-]{5,}\.?[A-Za-z0-9_-]*"),
    re.compile(r"(://)[^/\s:@]+:[^/\s@]+@"),
)
_REDACTED = "[redacted]"


def redact(text: str) -> str:
    """The text with what looks like a credential left out."""
    bearer, named, key, jwt, user = _SECRETS
    text = bearer.sub(rf"\1 {_REDACTED}", text)
    text = named.sub(rf"\1\2{_REDACTED}", text)
    text = key.sub(_REDACTED, text)
    text = jwt.sub(_REDACTED, text)
    return user.sub(rf"\1{_REDACTED}@", text)


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time, level, logger, message, then the record's own fields."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": redact(record.getMessage()),
            **_fields(record),
        }
        if record.exc_info:
            line["error"] = redact(self.formatException(record.exc_info))
        return json.dumps(line, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """The same for a terminal."""

    def format(self, record: logging.LogRecord) -> str:
        """The line of a record."""
        fields = " ".join(f"{name}={value}" for name, value in _fields(record).items())
        text = f"{record.levelname:<7} {record.getMessage()} {fields}".rstrip()
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return redact(text)


def set_up(level: str, style: str) -> None:
    """Log to standard error. Of kopf's own lines, only errors are kept."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonFormatter() if style == "json" else TextFormatter())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    logging.getLogger("kopf").setLevel(max(logging.ERROR, logging.getLogger().level))
    logging.getLogger("aiohttp.access").setLevel(logging.WARNING)


def _fields(record: logging.LogRecord) -> dict[str, Any]:
    return {
        name: _plain(value)
        for name, value in vars(record).items()
        if name not in _STANDARD and name not in _KOPF_FIELDS
    }


def _plain(value: object) -> object:
    if isinstance(value, bool | int | float | None):
        return value
    if isinstance(value, tuple | list):
        return "/".join(redact(str(part)) for part in value)
    return redact(str(value))
