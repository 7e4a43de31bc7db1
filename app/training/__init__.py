"""Training: Algorithm 1, its variations, checkpoints, and the evaluation of what was trained."""
