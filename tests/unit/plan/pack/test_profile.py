import pytest

from tightship.plan.pack.profile import CORRECTION_BOUNDS, Profile, profile

GIB = 2**30


def test_interpolates_between_points_and_goes_on_by_the_last_slope() -> None:
    curve = Profile(batches=(1, 4, 8), seconds=(0.002, 0.005, 0.007), memory=GIB, max_batch=16)
    told = [curve.latency(batch) for batch in (0.5, 1, 2, 4, 6, 8, 16)]
    assert told == pytest.approx([0.002, 0.002, 0.003, 0.005, 0.006, 0.007, 0.011])


def test_one_point_is_the_latency_of_every_batch() -> None:
    assert Profile(batches=(1,), seconds=(0.002,), memory=1).latency(9) == 0.002


def test_takes_the_lowest_concurrency_of_a_batch_and_smooths_noise() -> None:
    made = profile(
        [4, 1, 1, 2], [1, 8, 1, 2], [0.004, 0.0005, 0.002, 0.0015], memory=GIB, max_batch=4
    )
    assert (made.batches, made.seconds) == ((1, 2, 4), (0.002, 0.002, 0.004))


def test_a_correction_scales_the_curve_within_bounds() -> None:
    curve = Profile(batches=(1,), seconds=(0.002,), memory=1)
    assert curve.corrected(1.5).latency(1) == pytest.approx(0.003)
    assert (curve.corrected(0.0).correction, curve.corrected(99).correction) == CORRECTION_BOUNDS


def test_without_points_nothing_is_measured() -> None:
    prior = profile([], [], [], memory=GIB, max_batch=1)
    assert not prior.measured
    with pytest.raises(ValueError, match="not measured"):
        prior.latency(1)


@pytest.mark.parametrize(
    ("batches", "seconds", "told"),
    [
        ((2, 1), (1.0, 2.0), "ascend"),
        ((0, 1), (1.0, 2.0), "ascend"),
        ((1, 2), (2.0, 1.0), "fall"),
        ((1,), (0.0,), "above 0"),
        ((1,), (float("nan"),), "finite"),
        ((1, 2), (1.0,), "one entry"),
    ],
)
def test_refuses_what_cannot_have_been_measured(
    batches: tuple[int, ...], seconds: tuple[float, ...], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        Profile(batches=batches, seconds=seconds, memory=1)
