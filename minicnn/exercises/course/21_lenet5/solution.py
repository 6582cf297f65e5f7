"""Exercise 21: LeNet-5, put together and trained on MNIST."""

import numpy as np

#: # Your own functions, from the files beside this one; for example
#: # from ex06_linear import linear_backward, linear_forward
#: # from ex09_relu import relu_backward, relu_forward
#: # from ex19_sgd import SGD, Parameter
from ex06_linear import linear_backward, linear_forward
from ex09_relu import relu_backward, relu_forward
from ex10_softmax_cross_entropy import (
    softmax_cross_entropy_backward,
    softmax_cross_entropy_forward,
)
from ex15_conv2d_im2col import conv2d_backward, conv2d_forward
from ex16_avg_pool2d import avg_pool2d_backward, avg_pool2d_forward
from ex19_sgd import SGD, Parameter

SHAPES = [(6, 1, 5, 5), (16, 6, 5, 5), (120, 400), (84, 120), (10, 84)]
EPOCHS, BATCH, LR, MOMENTUM = 2, 64, 0.1, 0.9


#:
def flatten_forward(x):
    """(N, C, H, W) -> (N, C*H*W)."""
    return x.reshape(len(x), -1)


#:
def flatten_backward(g, x):
    """(N, C*H*W) -> (N, C, H, W)."""
    return g.reshape(x.shape)


#:
# A layer: forward, backward, settings, whether it has a weight and a bias.
CONV = (conv2d_forward, conv2d_backward, {}, True)
PADDED = (conv2d_forward, conv2d_backward, {"padding": (2, 2)}, True)
LINEAR = (linear_forward, linear_backward, {}, True)
RELU = (relu_forward, relu_backward, {}, False)
HALF = {"kernel_size": (2, 2)}
POOL = (avg_pool2d_forward, avg_pool2d_backward, HALF, False)
FLAT = (flatten_forward, flatten_backward, {}, False)

LAYERS = [
    *(PADDED, RELU, POOL),  # (N, 6, 28, 28), the same, (N, 6, 14, 14)
    *(CONV, RELU, POOL),  # (N, 16, 10, 10), the same, (N, 16, 5, 5)
    *(FLAT, LINEAR, RELU),  # (N, 400), (N, 120), the same
    *(LINEAR, RELU, LINEAR),  # (N, 84), the same, (N, 10)
]


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
        #: raise NotImplementedError
        for shape in SHAPES:
            fan_in = np.prod(shape[1:])  # inputs that one output sees
            weight = rng.standard_normal(shape) * np.sqrt(2 / fan_in)
            bias = np.zeros(shape[0])
            for data in (weight, bias):
                self.parameters.append(Parameter(data.astype(np.float32)))

    def forward(self, x):
        """The logits (N, 10); keeps what backward will need."""
        #: raise NotImplementedError
        self.inputs = []
        rest = iter(self.parameters)
        for forward, _, settings, learns in LAYERS:
            mine = [next(rest), next(rest)] if learns else []
            inputs = [x, *(p.data for p in mine)]
            self.inputs.append((inputs, mine))
            x = forward(*inputs, **settings)
        return x

    def backward(self, g):
        """Adds dL/dp to p.grad of all parameters.

        g (N, 10) is dL/dlogits, for the images that forward has seen last.
        """
        #: raise NotImplementedError
        steps = list(zip(LAYERS, self.inputs, strict=True))
        for (_, backward, settings, learns), (inputs, mine) in steps[::-1]:
            returned = backward(g, *inputs, **settings)
            g, *gradients = returned if learns else (returned,)
            for p, gradient in zip(mine, gradients, strict=True):
                p.grad = gradient if p.grad is None else p.grad + gradient


def fit(net, images, labels, rng):
    """Trains net, and yields the loss after each step, for the check to show.

    images  (M, 1, 28, 28) float32, 0 for paper to 1 for ink
    labels  (M,) integers from 0 to 9
    """
    #: raise NotImplementedError
    #: yield  # this makes it a generator: write `yield loss` in your loop
    optimizer = SGD(net.parameters, LR, momentum=MOMENTUM)
    steps = EPOCHS * (len(images) // BATCH)
    for step in range(steps):
        place = step * BATCH % (len(images) // BATCH * BATCH)
        if place == 0:
            order = rng.permutation(len(images))  # anew in each epoch
        batch = order[place : place + BATCH]
        x, target = images[batch], labels[batch]
        optimizer.lr = LR * (1 - step / steps)  # falls to 0
        optimizer.zero_grad()
        logits = net.forward(x)
        net.backward(softmax_cross_entropy_backward(1.0, logits, target))
        optimizer.step()
        yield softmax_cross_entropy_forward(logits, target)


if __name__ == "__main__":  # runs with: python ex21_lenet5.py
    net = LeNet5(np.random.default_rng(0))
    print(net.forward(np.zeros((2, 1, 28, 28), np.float32)).shape)
