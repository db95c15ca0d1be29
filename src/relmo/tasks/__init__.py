"""Tasks on top of a biLM's layers: tagging."""
