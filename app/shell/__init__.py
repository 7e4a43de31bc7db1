"""The same work from a shell: one module for each command."""
