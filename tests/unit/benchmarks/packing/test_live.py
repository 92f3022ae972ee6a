from benchmarks.packing import live


def test_a_percentile_lies_between_ranks() -> None:
    values = [float(number) for number in range(1, 1001)]
    low, high = live.interval(values, 99)
    assert 982 <= low < 990 < high <= 998
    assert live.interval([3.0, 1.0, 2.0], 99) == (2.0, 3.0)


def test_models_of_one_server_are_not_asked_at_one_time() -> None:
    servers = {"a": "s1", "b": "s2", "c": "s1", "d": "s1"}
    rates = {"a": 9.0, "b": 4.0, "c": 4.0, "d": 5.0}
    assert live.groups(servers, rates) == [["b", "c"], ["d"], ["a"]]
