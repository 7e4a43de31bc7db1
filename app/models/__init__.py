"""Models as folders in diffusers' layout: found, checked, loaded, kept in memory."""
