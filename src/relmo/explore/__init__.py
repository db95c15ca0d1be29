"""Looking at vectors: sense maps."""
