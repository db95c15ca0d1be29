"""Tasks on top of a biLM: tagging, word senses, and what its layers are worth."""
