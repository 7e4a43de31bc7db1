"""Samplers: how a step of the reverse process is taken."""
