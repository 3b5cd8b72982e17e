"""What every lane stage is built from, the facts between stages, and intake, the first of them."""
