"""The mathematics and the rules of each stage, in plain Python: no Bytewax, Kafka, Prometheus, clock or file."""
