"""Kafka in and out: settings, the source and its consumer, the sink, the models topic, dead letters."""
