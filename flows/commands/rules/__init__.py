"""Rules: from `config/slo.yaml` to recording rules, alerts, their copies for Grafana and the index of alerts."""
