"""The running operator: watching with kopf, reconciling pools, talking to agents, supervision."""
