"""Packing: many models onto few devices, inside their latency objectives. numpy alone."""
