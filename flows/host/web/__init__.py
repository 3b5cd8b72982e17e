"""Web: `/metrics`, `/healthz` and `/readyz`, served beside the flow, and what protects them."""
