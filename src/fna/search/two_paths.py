"""Steps of the alphas on two sampled candidates a layer, in place of all (ProxylessNAS, arXiv 1812.00332, section 3.2).

Two candidates of every layer are drawn by their probabilities, without putting back, and mixed by the softmax of their
two alphas. After the step the two are moved together so that their share of the probability is what it was; so those of
the others are, too.
"""

import random
from collections.abc import Sequence

import torch
from torch import Tensor, nn

Pairs = tuple[tuple[int, int], ...]


def sample_pairs(probabilities: Sequence[Sequence[float]], key: tuple[int, int, int]) -> Pairs:
    """Two candidates of each layer in rising order, a function of `key` (random seed, replica, step) and the alphas."""
    generator = random.Random(repr((*key, "pairs")))
    pairs = []
    for row in probabilities:
        first = generator.choices(range(len(row)), row)[0]
        others = [0.0 if candidate == first else p for candidate, p in enumerate(row)]
        # Where one has all the probability that can be told apart, any other one will do.
        weights = others if sum(others) > 0 else [float(candidate != first) for candidate in range(len(row))]
        second = generator.choices(range(len(row)), weights)[0]
        pairs.append((min(first, second), max(first, second)))
    return tuple(pairs)


@torch.no_grad()
def keep_others(alphas: nn.ParameterList, before: Sequence[Tensor], pairs: Pairs) -> None:
    """Put the alphas that were not drawn back to `before`, and move the drawn ones so that their sum of exp stays."""
    for alpha, old, pair in zip(alphas, before, pairs, strict=True):
        drawn = alpha[list(pair)]
        drawn += old[list(pair)].logsumexp(0) - drawn.logsumexp(0)
        alpha.copy_(old)
        alpha[list(pair)] = drawn
