"""Drift of traffic against the data that a model was judged on: features, histograms, PSI."""
