"""Training a biLM: data, objective, the loop, checkpoints, evaluation."""
