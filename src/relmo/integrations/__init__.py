"""relmo inside today's libraries: scikit-learn, spaCy, sentence-transformers, each an extra."""
