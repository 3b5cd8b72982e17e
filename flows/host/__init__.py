"""One process on its machine: neighbours in a cluster, web server, logs, signals, recovery store."""
