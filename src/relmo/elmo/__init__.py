"""The model with everything around it: the centre of the house."""
