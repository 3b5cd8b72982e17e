"""Raw bytes in and out: Kafka, the embedded broker, files, the simulator."""
