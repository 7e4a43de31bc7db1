"""The Mix tab."""
