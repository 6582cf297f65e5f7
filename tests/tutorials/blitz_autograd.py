"""The autograd part of PyTorch's 60-minute blitz, and the switches around it."""

import torch
from torch.autograd import Variable, gradcheck

x = torch.ones(2, 2, requires_grad=True)
y = x + 2
z = y * y * 3
out = z.mean()
out.backward()
print(x.grad.tolist(), y.grad_fn is not None, x.is_leaf)

x = torch.tensor([0.5, -1.2, 2.0], requires_grad=True)
y = x * 2
while y.data.norm() < 1000:
    y = y * 2
v = torch.tensor([0.1, 1.0, 0.0001], dtype=torch.float)
y.backward(v)
print(x.grad.tolist(), (x**2).requires_grad)
with torch.no_grad():
    print((x**2).requires_grad)
print(x.detach().eq(x).all().item())

a = torch.tensor([2.0, 3.0], requires_grad=True)
b = torch.tensor([6.0, 4.0], requires_grad=True)
Q = 3 * a**3 - b**2
Q.backward(gradient=torch.tensor([1.0, 1.0]))
print((9 * a**2 == a.grad).tolist(), (-2 * b == b.grad).tolist())
x = torch.rand(5, 5)
z = torch.rand((5, 5), requires_grad=True)
print(f"Does `a` require gradients?: {(x + x).requires_grad}", (x + z).requires_grad)

(g,) = torch.autograd.grad((a * b).sum(), (a,))
print(g.tolist())
w = Variable(torch.tensor([1.0, 2.0]), requires_grad=True)
(w * w).sum().backward()
print(w.grad.data.tolist())
w.data.sub_(w.grad.data * 0.1)
w.data -= 0.1 * w.grad.data
print(w.tolist())
w.grad.zero_()
print(w.grad.tolist())


def double(x):
    return (x * x).sum()


print(gradcheck(double, torch.randn(3, dtype=torch.double, requires_grad=True)))
with torch.autograd.set_detect_anomaly(True):
    print((a * 2).sum().item())
with torch.autograd.detect_anomaly():
    print((a * 3).sum().item())
with torch.set_grad_enabled(False):
    print((a * 2).requires_grad)


@torch.no_grad()
def f(x):
    return x * 2


@torch.no_grad
def g(x):
    return x * 2


@torch.inference_mode()
def h(x):
    return x * 2


print(f(a).requires_grad, g(a).requires_grad, h(a).requires_grad, torch.is_grad_enabled())

lin = torch.tensor([[1.0, 2.0]], requires_grad=True)
grads = []
handle = lin.register_hook(lambda grad: grads.append(grad.tolist()))
(lin * 3).sum().backward()
handle.remove()
print(grads)
