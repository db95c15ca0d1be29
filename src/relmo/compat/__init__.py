"""Drop-ins with the names, arguments and shapes of other ELMo libraries."""
