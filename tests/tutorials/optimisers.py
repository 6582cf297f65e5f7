"""Every optimiser and schedule, clipping, groups."""

import torch
import torch.nn as nn
import torch.optim as optim
from synthetic import digits, same_weights
from torch.optim import lr_scheduler

images, labels = digits(torch, 16, size=12)
criterion = nn.CrossEntropyLoss(label_smoothing=0.1)
OPTIMISERS = {
    "SGD": lambda p: optim.SGD(p, lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True),
    "Adam": lambda p: optim.Adam(p, lr=0.01, betas=(0.9, 0.99), eps=1e-8, weight_decay=1e-4),
    "AdamW": lambda p: optim.AdamW(p, lr=0.01),
    "RMSprop": lambda p: optim.RMSprop(p, lr=0.01, alpha=0.9),
    "RMSprop momentum": lambda p: optim.RMSprop(
        p, lr=0.001, momentum=0.9, centered=True, weight_decay=0.01
    ),
    "Adadelta": lambda p: optim.Adadelta(p, lr=1.0, rho=0.95, weight_decay=1e-3),
    "Adagrad": lambda p: optim.Adagrad(p, lr=0.05, lr_decay=0.01, weight_decay=1e-3),
}
for name, make in OPTIMISERS.items():
    net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(True), nn.Flatten(), nn.Linear(400, 10))
    same_weights(torch, net)
    optimizer = make(net.parameters())
    for step in range(12):
        optimizer.zero_grad()
        loss = criterion(net(images), labels)
        loss.backward()
        total = nn.utils.clip_grad_norm_(net.parameters(), max_norm=1.0)
        optimizer.step()
    print(name, f"{loss.item():.7f}", sorted(optimizer.state_dict()["param_groups"][0]["params"]))
    print(len(optimizer.state_dict()["state"]), optimizer.param_groups[0]["lr"])

SCHEDULES = {
    "StepLR": lambda o: lr_scheduler.StepLR(o, step_size=3, gamma=0.1),
    "MultiStepLR": lambda o: lr_scheduler.MultiStepLR(o, milestones=[2, 5], gamma=0.5),
    "ExponentialLR": lambda o: lr_scheduler.ExponentialLR(o, gamma=0.9),
    "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=8, eta_min=1e-4),
    "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, lr_lambda=lambda epoch: 0.95**epoch),
    "OneCycleLR": lambda o: lr_scheduler.OneCycleLR(o, max_lr=0.1, total_steps=9),
}
for name, make in SCHEDULES.items():
    optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1, momentum=0.9)
    scheduler = make(optimizer)
    lrs = []
    for epoch in range(8):
        optimizer.step()
        scheduler.step()
        lrs.append(round(optimizer.param_groups[0]["lr"], 8))
    print(name, lrs, scheduler.last_epoch)
optimizer = optim.SGD([torch.zeros(1, requires_grad=True)], lr=0.1)
scheduler = lr_scheduler.ReduceLROnPlateau(optimizer, mode="min", factor=0.5, patience=1)
for metric in (3.0, 2.0, 2.0, 2.0, 2.0, 1.0):
    scheduler.step(metric)
print(optimizer.param_groups[0]["lr"])
for g in optimizer.param_groups:
    g["lr"] = 0.001
optimizer.add_param_group({"params": [torch.ones(2, requires_grad=True)], "lr": 0.2})
print([g["lr"] for g in optimizer.param_groups])
net = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 1))
optimizer = optim.SGD(
    [
        {"params": net[0].parameters(), "lr": 1e-2},
        {"params": net[1].parameters()},
    ],
    lr=1e-3,
    momentum=0.9,
)
print([(g["lr"], g["momentum"], len(g["params"])) for g in optimizer.param_groups])
