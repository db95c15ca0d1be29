"""Model files to and from (BiLMConfig, dict of tensors); never builds a network."""
