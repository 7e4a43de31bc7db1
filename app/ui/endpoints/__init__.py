"""The API's endpoints: declaring and describing them."""
