"""Triton's metrics page: numbers, and NoData for what is absent or not a number."""

import pytest

from tightship.triton.metrics import NoData, parse

PAGE = """\
# HELP nv_inference_request_success Number of successful inference requests
# TYPE nv_inference_request_success counter
nv_inference_request_success{model="a",version="1"} 7
nv_inference_request_success{model="a",version="2"} 3
nv_inference_request_success{model="b",version="1"} 0
# TYPE nv_gpu_memory_used_bytes gauge
nv_gpu_memory_used_bytes{gpu_uuid="x"} 1e9
# TYPE nv_inference_request_summary_us summary
nv_inference_request_summary_us_count{model="a",version="1"} 7
nv_inference_request_summary_us_sum{model="a",version="1"} 700
nv_inference_request_summary_us{model="a",version="1",quantile="0.5"} 90
nv_inference_request_summary_us{model="a",version="1",quantile="0.99"} 210
nv_inference_request_summary_us{model="b",version="1",quantile="0.99"} Nan
"""


def test_totals_add_up_over_the_labels_not_asked_for() -> None:
    metrics = parse(PAGE)
    assert metrics.total("nv_inference_request_success", model="a") == 10
    assert metrics.total("nv_inference_request_success") == 10
    assert metrics.total("nv_inference_request_summary_us_count", model="a") == 7
    assert metrics.total("nv_gpu_memory_used_bytes") == 1e9


def test_totals_by_a_label() -> None:
    metrics = parse(PAGE)
    assert metrics.totals("nv_inference_request_success", by="model") == {"a": 10, "b": 0}
    second = metrics.totals("nv_inference_request_success", by="model", version="2")
    assert second == {"a": 3}
    assert metrics.totals("nv_no_such_metric", by="model") == {}


def test_a_part_of_the_page() -> None:
    part = parse(PAGE, only=("nv_gpu_", "nv_inference_request_success"))
    assert part.total("nv_inference_request_success") == 10
    assert part.total("nv_gpu_memory_used_bytes") == 1e9
    assert isinstance(part.total("nv_inference_request_summary_us_count"), NoData)


def test_a_counted_zero_is_a_number() -> None:
    assert parse(PAGE).total("nv_inference_request_success", model="b") == 0


@pytest.mark.parametrize(
    ("name", "labels"),
    [
        pytest.param("nv_inference_request_success", {"model": "c"}, id="no-such-model"),
        pytest.param("nv_no_such_metric", {}, id="no-such-metric"),
        pytest.param("nv_inference_request_summary_us", {"model": "b"}, id="not-a-number"),
    ],
)
def test_what_is_not_known_is_no_zero(name: str, labels: dict[str, str]) -> None:
    assert isinstance(parse(PAGE).total(name, **labels), NoData)


def test_quantiles() -> None:
    metrics = parse(PAGE)
    name = "nv_inference_request_summary_us"
    assert metrics.quantile(name, 0.99, model="a") == 210
    assert metrics.quantile(name, 0.5, model="a") == 90
    assert isinstance(metrics.quantile(name, 0.9, model="a"), NoData)
    assert isinstance(metrics.quantile(name, 0.99, model="b"), NoData)
    assert isinstance(metrics.quantile(name, 0.99), NoData)  # of several series


def test_an_empty_page_knows_nothing() -> None:
    assert isinstance(parse("").total("nv_inference_count"), NoData)


def test_other_text_is_refused() -> None:
    with pytest.raises(ValueError, match="invalid metric name"):
        parse("<html>")
