"""A beginner's notebook on tensors: made, printed, joined, picked from; and a lazy LeNet."""

import torch
from torch import nn

a = torch.arange(1, 10, step=3)
b = torch.tensor([[0.1, 0.5, 1e-6], [2, 3, 4]])
print(a, b, torch.tensor([1.0, 2.0]), torch.tensor([True, False]), sep="\n")
print(torch.zeros(50, 50), torch.ones(2, 2, dtype=torch.float64), torch.tensor(3.5), sep="\n")

collected = torch.FloatTensor()
for i in range(3):
    collected = torch.cat([collected, torch.full((1, 2), float(i))])
print(collected, torch.hstack([collected, collected]), collected.type("torch.LongTensor"))

labels = torch.LongTensor([2, 0, 1])
print(torch.zeros(3, 3).scatter_(1, labels.unsqueeze(1), value=1))
print(torch.where(labels > 0), torch.nonzero(labels), labels.unique(return_counts=True))
print(torch.randint(10, (4,)).shape, torch.randint(high=5, size=(2, 3)).shape)

w = torch.tensor([1.0, 2.0], requires_grad=True)
y = (w * 3).sum()
print(y.grad_fn.next_functions[0][1], y.grad_fn.next_functions[0][0] is not None)

net = nn.Sequential(
    nn.LazyConv2d(6, kernel_size=5, padding=2), nn.Sigmoid(), nn.AvgPool2d(2, 2), nn.Flatten(),
    nn.LazyLinear(120), nn.Sigmoid(), nn.LazyLinear(10),
)  # fmt: skip
print(net)
x = torch.ones(1, 1, 28, 28)
for layer in net:
    x = layer(x)
    print(layer.__class__.__name__, "output shape:\t", x.shape)


def init(module):
    if type(module) is nn.Linear or type(module) is nn.Conv2d:
        nn.init.xavier_uniform_(module.weight)


net.apply(init)
print(net)
optimizer = torch.optim.Adam(net.parameters(), lr=0.01, amsgrad=False)
scheduler = torch.optim.lr_scheduler.LinearLR(optimizer, total_iters=3)
for _ in range(4):
    optimizer.step()
    scheduler.step()
    print(f"{scheduler.get_last_lr()[0]:.5f}")
