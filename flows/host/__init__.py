"""One process on its machine: its place in a cluster, web server, logs, signals, liveness, recovery store."""
