"""Search over the recipe space: what may be varied, strategies, and the loop that tries points."""
