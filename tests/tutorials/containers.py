"""Sequential, ModuleList, ModuleDict and the activations."""

from collections import OrderedDict

import torch
import torch.nn as nn
from synthetic import same_weights

model = nn.Sequential(
    OrderedDict(
        [
            ("conv1", nn.Conv2d(1, 4, 5)),
            ("relu1", nn.ReLU()),
            ("pool1", nn.MaxPool2d(2)),
            ("flat", nn.Flatten()),
            ("fc", nn.Linear(4 * 12 * 12, 10)),
        ]
    )
)
same_weights(torch, model)
print(model)
print(model.conv1, model[0], model[-1], len(model))
print(model[:3])
del model[1]
print(model)
model.append(nn.Softmax(dim=1))
model.insert(1, nn.Tanh())
model.add_module("out", nn.Identity())
print(model, len(model))
for name, layer in model.named_modules():
    print(name, "->", type(layer).__name__)
for name, p in model.named_parameters():
    print(name, p.shape, p.requires_grad)
print(model(torch.ones(2, 1, 28, 28)).sum(1).tolist())
layers = nn.ModuleList([nn.Linear(4, 4) for _ in range(3)])
layers.append(nn.Linear(4, 2))
layers.insert(0, nn.ReLU())
layers.extend([nn.ReLU()])
print(layers, [type(m).__name__ for m in layers])
choices = nn.ModuleDict({"conv": nn.Conv2d(1, 2, 3), "lin": nn.Linear(3, 1)})
choices["act"] = nn.ReLU()
print(choices, "act" in choices, list(choices.keys()), len(choices))
for name, m in choices.items():
    print(name, m)
print(choices["lin"])
for activation in (
    nn.ELU(),
    nn.ReLU6(),
    nn.LeakyReLU(0.2, inplace=True),
    nn.SiLU(),
    nn.Hardtanh(),
    nn.Dropout2d(),
    nn.Dropout(0.3),
    nn.BatchNorm2d(3),
    nn.LogSoftmax(dim=1),
):
    print(activation)
x = torch.tensor([-200.0, -3.0, -0.5, 0.0, 0.5, 1.0, 3.0, 6.0, 30.0], requires_grad=True)
for f in (nn.ELU(), nn.ELU(0.5), nn.ReLU6(), nn.SiLU(), nn.Hardtanh()):
    x.grad = None
    y = f(x)
    y.sum().backward()
    print(type(f).__name__, y.tolist(), x.grad.tolist())
block = nn.Sequential(nn.Linear(3, 3), nn.Sequential(nn.ReLU(), nn.Linear(3, 1)))
print(block)
print([type(m).__name__ for m in block.modules()], [type(m).__name__ for m in block.children()])
