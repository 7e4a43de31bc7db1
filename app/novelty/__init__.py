"""Find the training painting nearest to a picture."""
