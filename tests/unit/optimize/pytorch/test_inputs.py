"""Which array of a data file becomes which argument of a torch model, and how it is fed."""

import numpy as np
import pytest

from tightship.optimize.failures import RefusalError
from tightship.optimize.pytorch import inputs
from tightship.optimize.pytorch.inputs import Argument, Form

X, Y = Argument("x"), Argument("y", optional=True)
ONE, TWO = np.ones((3, 2)), np.arange(6, dtype=np.int32).reshape(3, 2)


def assigned(*arguments: Argument, **arrays: np.ndarray) -> dict[str, np.ndarray]:
    return inputs.assigned(arguments, arrays, "evaluation", "float32")


def test_names_decide_where_they_are_those_of_the_arguments() -> None:
    found = assigned(X, Y, y=TWO, x=ONE)
    assert list(found) == ["x", "y"]
    assert [str(array.dtype) for array in found.values()] == ["float32", "int32"]


def test_other_names_are_taken_in_their_order_and_kept() -> None:
    assert list(assigned(X, Y, pixels=ONE, ages=TWO)) == ["pixels", "ages"]


def test_labels_and_a_charset_are_no_inputs() -> None:
    found = assigned(X, Argument("labels", optional=True), x=ONE, labels=TWO, charset=TWO)
    assert list(found) == ["x"]


def test_what_has_a_default_may_be_left_out() -> None:
    assert list(assigned(X, Y, x=ONE)) == ["x"]


def test_a_type_that_the_file_names_is_taken() -> None:
    found = assigned(Argument("x", "float64"), Argument("y", "int64"), a=TWO, b=TWO)
    assert [str(array.dtype) for array in found.values()] == ["float64", "int64"]


UNFIT: dict[str, tuple[tuple[Argument, ...], dict[str, np.ndarray], str]] = {
    "too few": ((X, Argument("y")), {"x": ONE}, "the model takes ['x', 'y']"),
    "too many": ((X,), {"a": ONE, "b": ONE}, "hold ['a', 'b']"),
    "none": ((X,), {}, "hold []"),
    "one of two names": ((X, Argument("y")), {"y": ONE, "z": TWO}, "under these names"),
    "a gap": ((X, Y, Argument("z", optional=True)), {"x": ONE, "z": ONE}, "under these names"),
    "lengths": ((X, Y), {"x": ONE, "y": TWO[:2]}, "different or no length"),
    "no samples": ((X,), {"x": ONE[:0]}, "different or no length"),
    "a number": ((X,), {"x": np.array(1.0)}, "different or no length"),
    "text": ((X,), {"x": np.array(["a"])}, "takes numbers"),
    "complex": ((X,), {"x": ONE.astype(np.complex64)}, "takes numbers"),
    "fractions": ((Argument("x", "int64"),), {"x": ONE}, "takes int64"),
}


@pytest.mark.parametrize("name", UNFIT)
def test_data_that_do_not_fit(name: str) -> None:
    arguments, arrays, words = UNFIT[name]
    with pytest.raises(RefusalError) as caught:
        inputs.assigned(arguments, arrays, "evaluation", "float32")
    assert caught.value.reason.value == "DataInvalid"
    assert words in caught.value.message


SHAPES = {
    Form.BATCH: [(2, 2), (2, 2)],
    Form.ONE: [(1, 2)] * 3,
    Form.WHOLE: [(2,)] * 3,
    Form.EXAMPLE: [(3, 2)],
}


@pytest.mark.parametrize("form", SHAPES)
def test_forms(form: Form) -> None:
    found = list(inputs.feeds({"x": ONE}, form, 2))
    assert [feed["x"].shape for feed in found] == SHAPES[form]


@pytest.mark.parametrize(("size", "rows"), [(2, [0, 1, 1, 2]), (3, [0, 1, 2]), (8, [0, 1, 2])])
def test_batches_have_one_size_and_leave_no_sample_out(size: int, rows: list[int]) -> None:
    found = inputs.feeds({"x": np.arange(3)}, Form.BATCH, size)
    assert [int(row) for feed in found for row in feed["x"]] == rows


def test_a_batch_is_tried_alone_and_free_axes_at_half_their_length() -> None:
    words = Argument("x", free={0: "b", 1: "length"}), Argument("y", free={0: "b"})
    feed = {"a": np.ones((4, 5)), "b": np.ones((4, 5))}
    shapes = [
        [a.shape for a in each.values()] for _, each in inputs.others(feed, Form.BATCH, words)
    ]
    assert shapes == [[(1, 5), (1, 5)], [(4, 3), (4, 5)]]
    assert list(inputs.others({"a": ONE}, Form.ONE, words[1:])) == []


def test_the_example_of_a_batch_has_two_samples() -> None:
    assert inputs.example({"x": ONE[:1]}, Form.BATCH)["x"].shape == (2, 2)
    assert inputs.example({"x": ONE}, Form.WHOLE)["x"].shape == (2,)
