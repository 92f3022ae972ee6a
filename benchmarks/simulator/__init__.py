"""The event simulator: how fast it is, and how near to measurements."""
