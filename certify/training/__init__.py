"""Train small transformers with PyTorch, bitwise reproducibly for each seed."""
