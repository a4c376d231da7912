"""Finding a network: super network, swaps or the paper's gradient, trials, derivation under a budget."""
