"""What LeNet has learnt, in a picture: its first filters, and one digit on its way through.

Trains for one epoch on MNIST (about half a minute; `--small` on 3,000 images, seconds), or loads
weights that `minicnn train` has left with `--weights runs/last/best.safetensors`.  Then forward
hooks catch what each layer makes of a test image, and filters_and_feature_maps.png shows it.
"""

import argparse

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt
import numpy as np
from matplotlib.gridspec import GridSpec

import minicnn as mc
from minicnn.data import DataLoader, Subset
from minicnn.datasets import MNIST
from minicnn.models import LeNet
from minicnn.nn.functional import cross_entropy
from minicnn.serialization import load_file
from minicnn.transforms import ToTensor

STAGES = {  # rows of the picture: module path, and what it is
    "features.1": "conv 1 + ReLU\n6 maps, 28 x 28",
    "features.2": "max pool\n6 maps, 14 x 14",
    "features.4": "conv 2 + ReLU\n16 maps, 10 x 10",
    "features.5": "max pool\n16 maps, 5 x 5",
}


def train(net, images):
    optimizer = mc.optim.Adam(net.parameters(), lr=2e-3)
    for batch, labels in DataLoader(Subset(MNIST(), range(images)), batch_size=32, shuffle=True):
        loss = cross_entropy(net(batch), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()


def caught(net, image):
    """The outputs of all modules for one image, by path: forward hooks put them into a dict."""
    outputs, handles = {}, []
    for name, module in net.named_modules():

        def keep(module, args, output, name=name):
            outputs[name] = output.numpy()[0]  # without the batch

        handles.append(module.register_forward_hook(keep))
    with mc.no_grad():
        net.eval()(image)
    for handle in handles:
        handle.remove()
    return outputs


def panel(figure, place, picture, **options):
    axes = figure.add_subplot(place)
    axes.imshow(picture, **options)
    axes.set(xticks=[], yticks=[])
    for spine in axes.spines.values():
        spine.set(color="0.75", linewidth=0.6)


def label(figure, place, text):
    axes = figure.add_subplot(place)
    axes.axis("off")
    axes.text(0.95, 0.5, text, ha="right", va="center", fontsize=10, linespacing=1.5)


def bars(figure, place, logits, truth):
    """The softmax of the output, the right class in green."""
    e = np.exp(logits - logits.max())
    axes = figure.add_subplot(place)
    axes.bar(
        range(10), e / e.sum(), color=["tab:green" if d == truth else "0.6" for d in range(10)]
    )
    axes.set(xticks=range(10), ylim=(0, 1), yticks=(0, 1), title="softmax of the output")
    axes.spines[["top", "right"]].set_visible(False)


def draw(net, image, truth, path):
    """Draws all of it, and returns what `caught` found."""
    outputs = caught(net, image[None])
    figure = plt.figure(figsize=(9, 9.4))
    widths = [1.6] + [1] * 8
    grid = GridSpec(8, 9, figure, 0.02, 0.03, 0.98, 0.93, 0.1, 0.12, width_ratios=widths)
    figure.suptitle(f"What LeNet makes of a {truth}", fontsize=14)

    label(figure, grid[0, 0], "input\n28 x 28")
    panel(figure, grid[0, 1], image.numpy()[0], cmap="gray")
    inset = grid[0, 3:9].subgridspec(2, 1, height_ratios=[3, 1])
    bars(figure, inset[0], outputs[""], truth)

    filters = net.features[0].weight.detach().numpy()[:, 0]  # (6, 5, 5)
    widest = np.abs(filters).max()  # one scale for all, symmetric: white is 0
    label(figure, grid[1, 0], "filters of conv 1\nred +, blue -")
    for i, kernel in enumerate(filters, 1):
        panel(figure, grid[1, i], kernel, cmap="RdBu_r", vmin=-widest, vmax=widest)

    row = 2
    for name, text in STAGES.items():
        maps = outputs[name]  # (6 or 16, H, W)
        rows = -(-len(maps) // 8)
        label(figure, grid[row : row + rows, 0], text)
        for i, feature in enumerate(maps):
            place = grid[row + i // 8, 1 + i % 8]
            panel(figure, place, feature, cmap="magma", vmin=0, vmax=maps.max())
        row += rows
    figure.savefig(path, dpi=120)
    return outputs


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="train on 3,000 images")
    parser.add_argument("--weights", help="a file that `minicnn train` has left")
    parser.add_argument("--image", type=int, default=7, help="number of the test image")
    args = parser.parse_args()

    mc.manual_seed(0)
    net = LeNet()
    if args.weights:
        net.load_state_dict(load_file(args.weights))
    else:
        train(net, 6_000 if args.small else 60_000)
    image, truth = MNIST(train=False, transform=ToTensor())[args.image]
    outputs = draw(net, image, truth, "filters_and_feature_maps.png")
    guess = outputs[""].argmax()
    print(f"a {truth}, classified as {guess}: see filters_and_feature_maps.png")
    assert outputs["features.4"].shape == (16, 10, 10)
    assert args.weights or guess == truth


if __name__ == "__main__":
    main()
