"""Wiring: from a source through the stages to metrics and topics. Importing it imports nothing else."""
