"""Plein Air: an open-air studio for denoising diffusion."""

__version__ = "0.1.0"
