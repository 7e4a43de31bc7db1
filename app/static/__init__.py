"""A page without a server: a model's network as files that paint in the visitor's own browser."""
