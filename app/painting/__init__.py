"""Paint with a model by a recipe, as a stream of frames."""
