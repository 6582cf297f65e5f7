"""Saving and loading weights, and nested checkpoints to go on from."""

import copy
import io
import os

import torch
import torch.nn as nn
import torch.optim as optim
from synthetic import digits, same_weights

model = nn.Sequential(
    nn.Flatten(), nn.Linear(784, 20), nn.BatchNorm1d(20), nn.ReLU(), nn.Linear(20, 10)
)
same_weights(torch, model)
optimizer = optim.Adam(model.parameters(), lr=0.01)
scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
criterion = nn.CrossEntropyLoss()
images, labels = digits(torch, 16)


def epochs(n):
    for _ in range(n):
        optimizer.zero_grad()
        loss = criterion(model(images), labels)
        loss.backward()
        optimizer.step()
        scheduler.step()
        print(f"{loss.item():.6f} {scheduler.get_last_lr()[0]:.6f}")
    return loss


loss = epochs(3)
print("Model's state_dict:")
for param_tensor in model.state_dict():
    print(param_tensor, "\t", model.state_dict()[param_tensor].size())
for var_name in optimizer.state_dict():
    print(var_name)
torch.save(
    {
        "epoch": 3,
        "model_state_dict": model.state_dict(),
        "optimizer_state_dict": optimizer.state_dict(),
        "scheduler": scheduler.state_dict(),
        "loss": loss.item(),
        "history": [(1, 0.5), (2, float("nan"))],
        "best": None,
    },
    "checkpoint.tar",
)
before = copy.deepcopy(model.state_dict())
epochs(2)
checkpoint = torch.load("checkpoint.tar", map_location="cpu", weights_only=True)
print(list(checkpoint), checkpoint["epoch"], checkpoint["history"], checkpoint["best"])
model.load_state_dict(checkpoint["model_state_dict"])
optimizer.load_state_dict(checkpoint["optimizer_state_dict"])
scheduler.load_state_dict(checkpoint["scheduler"])
print(all(torch.equal(before[k], v) for k, v in model.state_dict().items()))
epochs(2)
buffer = io.BytesIO()
torch.save([torch.arange(3), {"a": torch.tensor(2.5)}], buffer)
buffer.seek(0)
x, d = torch.load(buffer, map_location=lambda storage, loc: storage)
print(x.tolist(), d["a"].item())
missing, unexpected = model.load_state_dict({"1.weight": torch.zeros(20, 784)}, strict=False)
print(missing[:3], unexpected)
try:
    model.load_state_dict({"1.weight": torch.zeros(20, 784)})
except RuntimeError as e:
    print("RuntimeError")
print(model.state_dict()["1.weight"].abs().sum().item())
rng_state = torch.get_rng_state()
a = torch.rand(3)
torch.set_rng_state(rng_state)
print(torch.equal(a, torch.rand(3)), os.path.exists("checkpoint.tar"))
generator = torch.Generator().manual_seed(42)
print(torch.randperm(5, generator=generator).sum().item(), torch.initial_seed() is not None)
