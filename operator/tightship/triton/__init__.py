"""Everything that touches Triton: config.pbtxt, model repository, client, metrics, profiler."""
