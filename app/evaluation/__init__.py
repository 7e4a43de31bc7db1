"""Judge a model against held-out paintings."""
