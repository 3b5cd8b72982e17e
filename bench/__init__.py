"""Measurements: speed and memory of the whole path, and how good its models are. Not part of the product."""
