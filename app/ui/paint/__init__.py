"""The Paint tab."""
