"""A simulated company with known causal effects; always labelled as simulated."""
