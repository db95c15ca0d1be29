"""Corpora embedded to disk."""
