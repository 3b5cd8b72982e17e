"""Lane stages: their contract, facts, labels and promises, and intake."""
