"""A new operation with its own gradient: swish, y = x sigmoid(beta x), with a beta that is learnt.

Shows the three steps: write forward and backward, check the gradient against numeric ones, use the
operation in a layer of a model that is trained.  Takes a few seconds; `--small` less.
Source of swish: Ramachandran, Zoph, Le 2017, "Searching for activation functions".
"""

import argparse

import numpy as np

import minicnn as mc
from minicnn import nn
from minicnn.autograd import Function
from minicnn.data import DataLoader, Subset
from minicnn.datasets import MNIST
from minicnn.gradcheck import gradcheck


class Swish(Function):
    """y = x s with s = sigmoid(beta x).

    VJP: dx = g (s + beta x s (1 - s)), dbeta = sum g x^2 s (1 - s).
    As with torch.autograd.Function, but forward and backward receive arrays, not Tensors.
    """

    @staticmethod
    def forward(ctx, x, beta):  # x of any shape, beta of shape (1,)
        s = 1 / (1 + np.exp(-beta * x))
        ctx.save_for_backward(x, beta, s)
        return x * s

    @staticmethod
    def backward(ctx, g):  # one gradient per argument of forward, each with its shape
        x, beta, s = ctx.saved_tensors
        slope = s * (1 - s)
        dx = g * (s + beta * x * slope)
        dbeta = np.sum(g * x * x * slope).reshape(beta.shape)
        return dx, dbeta


class SwishLayer(nn.Module):
    def __init__(self):
        super().__init__()
        self.beta = nn.Parameter(mc.ones(1))

    def forward(self, x):
        return Swish.apply(x, self.beta)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="4,000 images instead of 20,000")
    images = 4_000 if parser.parse_args().small else 20_000
    mc.manual_seed(0)

    x = mc.randn(3, 5, dtype=mc.float64, requires_grad=True)  # float32 is too coarse to check with
    beta = mc.tensor([1.3], dtype=mc.float64, requires_grad=True)
    assert gradcheck(Swish.apply, (x, beta))
    print("the gradients of x and beta agree with numeric ones")

    activation = SwishLayer()
    net = nn.Sequential(
        nn.Conv2d(1, 8, 5, stride=2), activation, nn.MaxPool2d(2), nn.Flatten(), nn.Linear(288, 10)
    )
    optimizer = mc.optim.Adam(net.parameters(), lr=3e-3)
    for batch, labels in DataLoader(Subset(MNIST(), range(images)), batch_size=32, shuffle=True):
        loss = nn.functional.cross_entropy(net(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    test = Subset(MNIST(train=False), range(2000))
    with mc.no_grad():
        right = sum((net(x).argmax(1) == y).sum().item() for x, y in DataLoader(test, 500))
    print(f"test accuracy {right / len(test):.1%} after one epoch of {images:,} images")
    print(f"beta went from 1 to {activation.beta.item():.3f}")
    assert right / len(test) >= (0.8 if images == 4_000 else 0.93)
    assert activation.beta.item() != 1


if __name__ == "__main__":
    main()
