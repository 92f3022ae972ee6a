"""The one error of a question that cannot be answered."""


class QuestionError(Exception):
    """What is wrong with the inputs, where, and what to do: one line."""
