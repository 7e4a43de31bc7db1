"""Pictures to train on: folders, uploads, labels and titles."""
