"""Training: from pairs of images and labels to a model."""
