"""What can go wrong between us and Triton, in words that a user may read."""

_WORDS_MAX = 400


class TritonError(Exception):
    """Any trouble with Triton; the text is fit for a status message."""


class TritonUnreachableError(TritonError):
    """Triton does not answer: it starts, hangs, or has ended."""


class TritonRefusedError(TritonError):
    """Triton answered, and refused. `status` is the HTTP status, `words` Triton's own, trimmed."""

    def __init__(self, status: int, words: str) -> None:
        self.status = status
        self.words = trimmed(words)
        super().__init__(self.words)


def trimmed(words: str) -> str:
    """Triton's message on one line, without the Python stack that Python-based backends append."""
    head = words.partition("\n\nAt:\n")[0].partition("Traceback (most recent call last)")[0]
    line = " ".join(head.split()).strip(" ;")
    return line if len(line) <= _WORDS_MAX else line[: _WORDS_MAX - 1] + "…"
