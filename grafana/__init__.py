"""Grafana: dashboards as classic JSON, made by `python -m grafana.build`, and the provisioning files beside them."""
