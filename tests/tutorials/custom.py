"""Layers, blocks and initial weights of one's own, as d2l's chapter on computation has them."""

import math

import torch
import torch.nn as nn
import torch.nn.functional as F


class MyLinear(nn.Module):
    def __init__(self, in_units, units):
        super().__init__()
        self.weight = nn.Parameter(torch.full((in_units, units), 0.5))
        self.bias = nn.Parameter(
            torch.zeros(
                units,
            )
        )
        self.register_buffer("calls", torch.tensor(0))

    def forward(self, X):
        self.calls += 1
        linear = torch.matmul(X, self.weight.data) + self.bias.data
        return F.relu(linear)


linear = MyLinear(5, 3)
print(linear(torch.ones(2, 5)).tolist(), linear.calls.item(), list(linear.state_dict()))
print(linear.weight, linear.weight.shape)


class CenteredLayer(nn.Module):
    def forward(self, X):
        return X - X.mean()


print(CenteredLayer()(torch.FloatTensor([1, 2, 3, 4, 5])).tolist())
net = nn.Sequential(nn.Linear(8, 128), CenteredLayer())
print(abs(net(torch.rand(4, 8)).mean().item()) < 1e-6)


class MySequential(nn.Module):
    def __init__(self, *args):
        super().__init__()
        for idx, module in enumerate(args):
            self._modules[str(idx)] = module

    def forward(self, X):
        for block in self._modules.values():
            X = block(X)
        return X


net = MySequential(nn.Linear(4, 3), nn.ReLU(), nn.Linear(3, 1))
print(net(torch.rand(2, 4)).shape, net)


def init_normal(m):
    if type(m) == nn.Linear:
        nn.init.normal_(m.weight, mean=0, std=0.01)
        nn.init.zeros_(m.bias)


def init_xavier(m):
    if isinstance(m, (nn.Linear, nn.Conv2d)):
        nn.init.xavier_uniform_(m.weight, gain=nn.init.calculate_gain("relu"))
        if m.bias is not None:
            m.bias.data.fill_(0.01)


net.apply(init_normal)
net.apply(init_xavier)
for m in net.modules():
    classname = m.__class__.__name__
    if classname.find("Linear") != -1:
        n = m.in_features
        m.weight.data.normal_(0.0, 1.0 / math.sqrt(n))
        m.weight.data.uniform_(-0.1, 0.1)
        m.bias.data.zero_()
print([p.shape for p in net.parameters()], net.state_dict()["2.bias"].tolist())


class Residual(nn.Module):
    def __init__(self, channels):
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, padding=1, bias=False)
        self.bn = nn.BatchNorm2d(channels)
        self.drop = nn.Dropout2d(0.0)

    def forward(self, x):
        return F.relu(x + self.drop(self.bn(self.conv(x))), inplace=True)


block = Residual(2)
block.conv.weight.data.fill_(0.1)
x = torch.linspace(0, 1, 2 * 2 * 4 * 4).view(2, 2, 4, 4)
print(block(x).sum().item(), block.bn.running_mean.tolist(), block.bn.num_batches_tracked.item())
print(block.eval()(x).mean().item(), block.training, block.train().training)
pooled = F.adaptive_avg_pool2d(x, 1)
print(
    pooled.view(pooled.size(0), -1).tolist(), F.avg_pool2d(x, 2).shape, F.pad(x, (1, 1, 1, 1)).shape
)
print(F.dropout2d(x, 0.5, training=False).equal(x), F.max_pool2d(x, kernel_size=2, stride=2).shape)
drop = F.dropout2d(torch.ones(50, 8, 3, 3), 0.5)
print(sorted(set(drop.mean(dim=(2, 3)).flatten().tolist())))
print(
    nn.ZeroPad2d(2)(x).shape,
    nn.Unflatten(1, (2, 4))(torch.ones(3, 8)).shape,
    nn.Softmax(dim=1)(x).sum().item(),
)
print(nn.Flatten()(x).shape)
