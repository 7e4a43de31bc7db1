"""The laboratories beside the easel: Noise, Mix and Bound."""
