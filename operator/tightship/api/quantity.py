"""Numbers that users write as text: durations, memory, CPU, decimals. Exact, bounded in length."""

import math
import re
from fractions import Fraction

DURATION_PATTERN = r"([0-9]{1,5}(\.[0-9]{1,3})?(ms|s|m|h)){1,4}"
MEMORY_PATTERN = r"[0-9]{1,15}(\.[0-9]{1,3})?(Ki|Mi|Gi|Ti|k|M|G|T)?"
CPU_PATTERN = r"[0-9]{1,4}(\.[0-9]{1,3})?|[0-9]{1,7}m"
DECIMAL_PATTERN = r"[0-9]{1,3}(\.[0-9]{1,6})?"

_SECONDS = {"ms": Fraction(1, 1000), "s": Fraction(1), "m": Fraction(60), "h": Fraction(3600)}
_BYTES = {"": 1, "Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}
_BYTES |= {"k": 10**3, "M": 10**6, "G": 10**9, "T": 10**12}
_DURATION_PART = re.compile(r"([0-9.]+)(ms|s|m|h)")


def duration(text: str) -> Fraction:
    """Seconds of a duration as Go writes it: "50ms", "1m30s".

    Raises:
        ValueError: the text is no such duration.
    """
    if not re.fullmatch(DURATION_PATTERN, text):
        raise ValueError('must be a duration such as "50ms", "15s" or "1m30s"')
    parts = _DURATION_PART.findall(text)
    return sum((Fraction(number) * _SECONDS[unit] for number, unit in parts), Fraction(0))


def memory(value: str | int) -> Fraction:
    """Bytes of a Kubernetes quantity: "512Mi", "1.5G", or a whole number of bytes.

    Raises:
        ValueError: the value is no such quantity.
    """
    text = str(value)
    if not re.fullmatch(MEMORY_PATTERN, text):
        raise ValueError('must be a size such as "512Mi" or "4Gi"')
    number = text.rstrip("KMGTik")
    return Fraction(number) * _BYTES[text[len(number) :]]


def cpu(value: str | int) -> Fraction:
    """Cores of a Kubernetes quantity: "500m", "1.5" or 2.

    Raises:
        ValueError: the value is no such quantity.
    """
    text = str(value)
    if not re.fullmatch(CPU_PATTERN, text):
        raise ValueError('must be a number of cores such as "500m", "1.5" or 2')
    return Fraction(text[:-1]) / 1000 if text.endswith("m") else Fraction(text)


def decimal(text: str) -> float:
    """A number that is written as text, since resources hold no floats: "0.01".

    Raises:
        ValueError: the text is no plain decimal number.
    """
    if not re.fullmatch(DECIMAL_PATTERN, text):
        raise ValueError('must be a decimal number in quotes such as "0.01"')
    return float(text)


def whole_bytes(size: Fraction) -> int:
    """Bytes rounded up, as Kubernetes rounds a quantity."""
    return math.ceil(size)


def cpu_text(cores: float) -> str:
    """The shortest Kubernetes quantity of a number of cores, to a thousandth, rounded up."""
    thousandths = math.ceil(round(cores * 1000, 6))
    return f"{thousandths}m" if thousandths % 1000 else str(thousandths // 1000)


def memory_text(size: int) -> str:
    """The exact Kubernetes quantity of a number of bytes, as the API server would write it."""
    for unit in ("Ti", "Gi", "Mi", "Ki", "T", "G", "M", "k"):
        if size and size % _BYTES[unit] == 0:
            return f"{size // _BYTES[unit]}{unit}"
    return str(size)
