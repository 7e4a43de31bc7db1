"""The panel of the Hugging Face Hub."""
