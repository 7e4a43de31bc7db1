"""What is looked at before the repository is sent to a Space."""
