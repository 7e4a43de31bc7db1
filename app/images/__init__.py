"""Pixels, tensors and files of pictures, and sheets and plots made of them."""
