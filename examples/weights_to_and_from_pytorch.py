"""Weights go to PyTorch and back through a safetensors file, and the logits stay the same.

state_dict keys and shapes are PyTorch's, so a model with the same layers under the same names loads
them with load_state_dict.  Takes a second or two; `--small` is the same.  Without PyTorch the file
is read back by minicnn alone.
"""

import argparse
import importlib.util
import tempfile
from pathlib import Path

import numpy as np

import minicnn as mc
from minicnn import nn
from minicnn.serialization import load_file, save_file


def lenet(nn):
    """The same words make the same model, whichever library `nn` is of."""
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, padding=2), nn.BatchNorm2d(6), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(6, 16, 5), nn.ReLU(), nn.AvgPool2d(2),
        nn.Flatten(), nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 10),
    )  # fmt: skip


def there_and_back(file, images):
    """Loads minicnn's file into PyTorch, writes PyTorch's weights over it; returns its logits."""
    import torch
    from safetensors.torch import load_file, save_file

    net = lenet(torch.nn)
    print("into PyTorch:", net.load_state_dict(load_file(file)))
    with torch.no_grad():
        for p in net.parameters():  # so that what comes back is not what went
            p.mul_(1.25)
        logits = net.eval()(torch.from_numpy(images)).numpy()
    save_file(net.state_dict(), file)
    return logits


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="the same")
    parser.parse_args()

    mc.manual_seed(0)
    images = np.random.default_rng(0).random((5, 1, 28, 28), np.float32)
    net = lenet(nn).eval()
    with tempfile.TemporaryDirectory() as folder, mc.no_grad():
        file = Path(folder) / "lenet.safetensors"
        save_file(net.state_dict(), file)
        if importlib.util.find_spec("torch"):
            expected = there_and_back(file, images)
        else:
            print("PyTorch is not installed: the file is only read back")
            expected = net(mc.from_numpy(images)).numpy()
        again = lenet(nn).eval()
        again.load_state_dict(load_file(file))
        logits = again(mc.from_numpy(images)).numpy()
    difference = np.abs(logits - expected).max()
    print(f"back again: logits {logits.shape}, largest difference {difference:.1e}")
    assert difference <= 1e-5


if __name__ == "__main__":
    main()
