"""How all suites run their property tests: time decides nothing, on whatever machine."""

from hypothesis import HealthCheck, settings

settings.register_profile("tightship", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("tightship")
