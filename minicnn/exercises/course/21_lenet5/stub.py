"""Exercise 21: LeNet-5, put together and trained on MNIST."""

import numpy as np

# Your own functions, from the files beside this one; for example
# from ex06_linear import linear_backward, linear_forward
# from ex09_relu import relu_backward, relu_forward
# from ex19_sgd import SGD, Parameter


class LeNet5:
    """Images (N, 1, 28, 28) to logits (N, 10).

    parameters  a list of ten objects with data (float32) and grad, in this
                order: weight and bias of the convolutions (6, 1, 5, 5) and
                (16, 6, 5, 5), of the linear layers (120, 400), (84, 120) and
                (10, 84)
    """

    def __init__(self, rng):
        """Random weights from rng.standard_normal, biases 0."""
        self.parameters = []
        raise NotImplementedError

    def forward(self, x):
        """The logits (N, 10); keeps what backward will need."""
        raise NotImplementedError

    def backward(self, g):
        """Adds dL/dp to p.grad of all parameters.

        g (N, 10) is dL/dlogits, for the images that forward has seen last.
        """
        raise NotImplementedError


def fit(net, images, labels, rng):
    """Trains net, and yields the loss after each step, for the check to show.

    images  (M, 1, 28, 28) float32, 0 for paper to 1 for ink
    labels  (M,) integers from 0 to 9
    """
    raise NotImplementedError
    yield  # this makes it a generator: write `yield loss` in your loop


if __name__ == "__main__":  # runs with: python ex21_lenet5.py
    net = LeNet5(np.random.default_rng(0))
    print(net.forward(np.zeros((2, 1, 28, 28), np.float32)).shape)
