"""The Bound tab."""
