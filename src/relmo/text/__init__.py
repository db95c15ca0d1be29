"""Text before it is tensors: characters, vocabularies, batches, corpora; numpy only, no torch."""
