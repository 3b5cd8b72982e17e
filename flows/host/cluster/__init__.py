"""Several processes: which one this is, and the supervisor that keeps those of a machine together."""
