"""How a network runs fast, and the solvers that diffusers brings."""
