"""The biLM as torch modules: tensors in, tensors out; no files, no strings, no logging."""
