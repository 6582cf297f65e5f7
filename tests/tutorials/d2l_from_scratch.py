"""d2l's models from scratch: linear regression, softmax, ReLU, convolution."""

import random

import numpy as np
import torch
from torch import nn

rng = np.random.default_rng(0)


def normal(*shape):
    return torch.tensor(rng.normal(0, 0.1, shape), dtype=torch.float32)


def synthetic_data(w, b, num_examples):
    X = torch.tensor(rng.normal(0, 1, (num_examples, len(w))), dtype=torch.float32)
    y = torch.matmul(X, w) + b
    y += normal(*y.shape)
    return X, y.reshape((-1, 1))


features, labels = synthetic_data(torch.tensor([2, -3.4]), 4.2, 100)


def data_iter(batch_size, features, labels):
    num_examples = len(features)
    indices = list(range(num_examples))
    random.Random(0).shuffle(indices)
    for i in range(0, num_examples, batch_size):
        batch_indices = torch.tensor(indices[i : min(i + batch_size, num_examples)])
        yield features[batch_indices], labels[batch_indices]


def linreg(X, w, b):
    return torch.matmul(X, w) + b


def squared_loss(y_hat, y):
    return (y_hat - y.reshape(y_hat.shape)) ** 2 / 2


def sgd(params, lr, batch_size):
    with torch.no_grad():
        for param in params:
            param -= lr * param.grad / batch_size
            param.grad.zero_()


w = normal(2, 1).requires_grad_()
b = torch.zeros(1, requires_grad=True)
for epoch in range(2):
    for X, y in data_iter(10, features, labels):
        l = squared_loss(linreg(X, w, b), y)
        l.sum().backward()
        sgd([w, b], 0.03, 10)
    with torch.no_grad():
        train_l = squared_loss(linreg(features, w, b), labels)
        print(f"epoch {epoch + 1}, loss {float(train_l.mean()):f}")


def softmax(X):
    X_exp = torch.exp(X)
    partition = X_exp.sum(1, keepdim=True)
    return X_exp / partition


def cross_entropy(y_hat, y):
    return -torch.log(y_hat[range(len(y_hat)), y])


y = torch.tensor([0, 2])
y_hat = torch.tensor([[0.1, 0.3, 0.6], [0.3, 0.2, 0.5]])
print(
    y_hat[[0, 1], y].tolist(),
    cross_entropy(y_hat, y).tolist(),
    softmax(normal(2, 5)).sum(1).tolist(),
)
print(y_hat.gather(1, y.view(-1, 1)).squeeze().tolist())


def relu(X):
    a = torch.zeros_like(X)
    return torch.max(X, a)


W1 = nn.Parameter(normal(20, 8))
b1 = nn.Parameter(torch.zeros(8))
H = relu(normal(4, 20) @ W1 + b1)
H.sum().backward()
print(H.tolist(), b1.grad.tolist())


def corr2d(X, K):
    h, w = K.shape
    Y = torch.zeros((X.shape[0] - h + 1, X.shape[1] - w + 1))
    for i in range(Y.shape[0]):
        for j in range(Y.shape[1]):
            Y[i, j] = (X[i : i + h, j : j + w] * K).sum()
    return Y


X = torch.ones((6, 8))
X[:, 2:6] = 0
K = torch.tensor([[1.0, -1.0]])
Y = corr2d(X, K)
print(Y.tolist())
conv2d = nn.Conv2d(1, 1, kernel_size=(1, 2), bias=False)
conv2d.weight.data.fill_(0.5)
X = X.reshape((1, 1, 6, 8))
Y = Y.reshape((1, 1, 6, 7))
for i in range(10):
    Y_hat = conv2d(X)
    l = (Y_hat - Y) ** 2
    conv2d.zero_grad()
    l.sum().backward()
    conv2d.weight.data[:] -= 3e-2 * conv2d.weight.grad
    if (i + 1) % 2 == 0:
        print(f"epoch {i + 1}, loss {l.sum():.6f}")
print(conv2d.weight.data.reshape((1, 2)).tolist())
dropout_mask = (torch.rand((2, 8)) > 0.5).float()
print(dropout_mask.shape, dropout_mask.dtype)
