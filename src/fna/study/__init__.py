"""Studies: the comparisons of the paper."""
