"""The Noise tab."""
