"""JSON lines and dead letters in files."""
