"""Prometheus metrics: the catalogue, the one writer of them, and the journal that outlives a crash."""
