"""Measure the studio against diffusers' own pipeline."""
