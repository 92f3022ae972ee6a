"""What a placement would do to its requests: an event simulator with Triton's semantics."""
