"""Weights and images that are the same for every library: what the programs here run on."""

import numpy as np


def same_weights(torch, net):
    """Gives all parameters of net values that depend on their shapes and order only."""
    rng = np.random.default_rng(0)
    for p in net.parameters():
        p.data = torch.from_numpy(rng.normal(0, 0.1, tuple(p.shape)).astype("float32"))


def digits(torch, n=32, channels=1, size=28, classes=10):
    """n images (n, channels, size, size) of noise with a bright row that says the class."""
    rng = np.random.default_rng(1)
    labels = rng.integers(0, classes, n)
    images = rng.random((n, channels, size, size), dtype=np.float32)
    images[np.arange(n), :, labels * (size // classes)] += 1
    return torch.from_numpy(images), torch.from_numpy(labels)
