"""Exercise 19: stochastic gradient descent with momentum and weight decay."""

import numpy as np


class Parameter:
    """Weights, and the gradient that backward passes add up in grad."""

    def __init__(self, data):
        self.data = data  # an array of any shape
        self.grad = None  # an array of the same shape, or None


class SGD:
    """d = grad + weight_decay data;  v = momentum v + d;  data -= lr v.

    params        a list of objects like Parameter
    lr            may be changed between steps: optimizer.lr = 0.01
    """

    def __init__(self, params, lr, momentum=0.0, weight_decay=0.0):
        self.params, self.lr = params, lr
        self.momentum, self.weight_decay = momentum, weight_decay
        #:
        self.velocities = [np.zeros_like(p.data) for p in params]

    def step(self):
        """Changes data of every parameter whose grad is not None."""
        #: raise NotImplementedError
        for i, p in enumerate(self.params):
            if p.grad is None:
                continue
            d = p.grad + self.weight_decay * p.data  # the shape of p.data
            v = self.momentum * self.velocities[i] + d
            self.velocities[i] = v
            p.data -= self.lr * v

    def zero_grad(self):
        """Sets grad of every parameter to None, or to zeros of its shape."""
        #: raise NotImplementedError
        for p in self.params:
            p.grad = None


def train(optimizer, backward, batches):
    """One step for each batch.

    backward(batch) adds the gradients of the loss on this batch to the grads
    of the parameters.  Nobody knows what is in the grads at the beginning.
    """
    #: raise NotImplementedError
    for batch in batches:
        optimizer.zero_grad()
        backward(batch)
        optimizer.step()


if __name__ == "__main__":  # runs with: python ex19_sgd.py
    p = Parameter(np.array([1.0]))

    def slope(batch):  # of the loss w**2/2, whatever the batch is
        p.grad = p.data + (0.0 if p.grad is None else p.grad)

    train(SGD([p], lr=0.5), slope, batches=range(4))
    print(p.data, "must be [0.0625]")
