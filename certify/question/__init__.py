"""What is asked of a model, of which inputs, and in which arithmetic."""
