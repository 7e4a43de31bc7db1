"""The mathematics of denoising diffusion: torch and numpy, no file, no device, no page."""
