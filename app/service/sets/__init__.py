"""Sets of pictures to train on: read from what a person uploads, kept by their content."""
