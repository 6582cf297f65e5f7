"""Step 0: the tape.  This is minicnn when everything else is taken away; it needs only NumPy.

Each call of an op leaves a node; backward() goes back over them.  Takes seconds; so does `--small`.

    here                 minicnn                  what the big engine adds
    Tensor               autograd.Tensor          dtypes, GPUs, hooks, no_grad, views
    Tensor.backward      autograd._walk           a heap for max(); several outputs; retain_graph
    Context              autograd.Context         save_for_backward: notices changed arrays
    Function             autograd.Function        checks every gradient; errors that help
    Add ... and +, @     ops/, methods            convolution and many more, on compiled kernels
    SGD and the check    optim.SGD, gradcheck     momentum; names the mistake in a gradient
"""

import numpy as np


class Tensor:  # an array, its gradient, and the node that made it; a leaf has none
    def __init__(self, array, grad_fn=None):
        self.array, self.grad, self.grad_fn = array, None, grad_fn

    def backward(self):
        arrived = {self.grad_fn: 1.0}  # node: the sum so far of dL/d(its output); dL/dL = 1
        while arrived:
            node = max(arrived, key=lambda node: node.number)  # the youngest: its sum is complete
            gradients = node.op.backward(node, arrived.pop(node))
            for target, g in zip(node.edges, gradients, strict=True):
                if isinstance(target, Tensor):  # a leaf
                    target.grad = g if target.grad is None else target.grad + g
                else:
                    arrived[target] = arrived.get(target, 0) + g


class Context:  # a node: one call of an op, what it saved, and an edge for each argument
    number = 0  # of nodes made so far

    def __init__(self, op, edges):
        Context.number += 1
        self.op, self.edges, self.number = op, edges, Context.number


class Function:  # forward computes y; backward gets g = dL/dy, and gives dL/d(argument) for each
    @classmethod
    def apply(cls, *args):
        ctx = Context(cls, [x.grad_fn or x for x in args])  # to an older node, or to a leaf
        return Tensor(cls.forward(ctx, *(x.array for x in args)), ctx)


class Add(Function):  # y = a + b, b broadcast to a's shape.  VJP: g, and g summed to b's shape
    def forward(ctx, a, b):  # called on the class, so it is a static method
        ctx.shape = b.shape
        return a + b

    def backward(ctx, g):
        return g, g.reshape(-1, *ctx.shape).sum(0)


class MatMul(Function):  # Y = A B.  VJP: g B^T, A^T g
    def forward(ctx, a, b):
        ctx.a, ctx.b = a, b
        return a @ b

    def backward(ctx, g):
        return g @ ctx.b.T, ctx.a.T @ g


class Tanh(Function):  # y = tanh x.  VJP: g (1 - y^2)
    def forward(ctx, x):
        ctx.y = np.tanh(x)
        return ctx.y

    def backward(ctx, g):
        return (g * (1 - ctx.y**2),)


class CrossEntropy(Function):  # L = mean of -log softmax(x)[label].  VJP: g (softmax - one-hot)/N
    def forward(ctx, x, labels):
        e = np.exp(x - x.max(1, keepdims=True))
        ctx.softmax, ctx.labels = e / e.sum(1, keepdims=True), labels
        return -np.log(ctx.softmax[np.arange(len(x)), labels]).mean()

    def backward(ctx, g):
        one_hot = np.eye(ctx.softmax.shape[1])[ctx.labels]
        return g * (ctx.softmax - one_hot) / len(one_hot), None  # labels have no gradient


Tensor.__add__ = lambda a, b: Add.apply(a, b)
Tensor.__matmul__ = lambda a, b: MatMul.apply(a, b)

# ---- two spirals: 400 points to learn from, 1000 to test with
rng = np.random.default_rng(0)
labels, turns = np.arange(1400) % 2, 1.5 * np.sqrt(rng.random(1400))
angles = np.pi * (2 * turns + labels) + rng.normal(0, 0.1, 1400)
points = np.stack([turns * np.cos(angles), turns * np.sin(angles)], 1)
w1, b1, w2, b2 = parameters = [Tensor(rng.normal(size=s)) for s in ((2, 32), (32,), (32, 2), (2,))]


def network(rows):  # some of the points -> their scores, and the loss
    scores = Tanh.apply(Tensor(points[rows]) @ w1 + b1) @ w2 + b2
    return scores, CrossEntropy.apply(scores, Tensor(labels[rows]))


for step in range(1501):
    _, loss = network(slice(400))
    loss.backward()
    for p in parameters:  # SGD, with a learning rate of 1
        p.array, p.grad = p.array - p.grad, None
    if step % 500 == 0:
        print(f"step {step:4d}: loss {loss.array:.4f}")

scores, loss = network(slice(400, 1400))
loss.backward()
w1.array[0, 0] += 1e-6
above = network(slice(400, 1400))[1].array
w1.array[0, 0] -= 2e-6
numeric = (above - network(slice(400, 1400))[1].array) / 2e-6
accuracy = np.mean(scores.array.argmax(1) == labels[400:])
print(f"test: loss {loss.array:.4f}, accuracy {accuracy:.1%}")
print(f"dL/dw1[0, 0]: {w1.grad[0, 0]:.8f} by backward(), {numeric:.8f} by finite differences")
assert accuracy > 0.97
assert abs(w1.grad[0, 0] - numeric) < 1e-8
