"""The recipe of "Dive into Deep Learning" 7.6: sigmoid LeNet, Xavier weights, SGD with lr 0.9.

Fashion-MNIST in batches of 256 for 10 epochs: one or two minutes on two cores, about 0.8 of the
test images.  The book shows loss 0.477, train acc 0.820, test acc 0.795.  `--small` takes 2,000
images for 2 epochs, in which a sigmoid LeNet learns nothing yet.  A PyTorch tutorial's program, of
which only the import lines are minicnn's.
"""

import argparse
import time

import matplotlib

matplotlib.use("Agg")
import matplotlib.pyplot as plt

import minicnn as torch
from minicnn import nn, transforms
from minicnn.datasets import FashionMNIST

net = nn.Sequential(
    nn.Conv2d(1, 6, kernel_size=5, padding=2), nn.Sigmoid(),
    nn.AvgPool2d(kernel_size=2, stride=2),
    nn.Conv2d(6, 16, kernel_size=5), nn.Sigmoid(),
    nn.AvgPool2d(kernel_size=2, stride=2),
    nn.Flatten(),
    nn.Linear(16 * 5 * 5, 120), nn.Sigmoid(),
    nn.Linear(120, 84), nn.Sigmoid(),
    nn.Linear(84, 10),
)  # fmt: skip


def init_weights(m):
    if type(m) in (nn.Linear, nn.Conv2d):
        nn.init.xavier_uniform_(m.weight)


def accuracy(y_hat, y):
    """How many predictions are right."""
    cmp = y_hat.argmax(axis=1).type(y.dtype) == y
    return float(cmp.type(y.dtype).sum())


def evaluate_accuracy(net, data_iter, device):
    net.eval()
    right, count = 0.0, 0
    with torch.no_grad():
        for X, y in data_iter:
            X, y = X.to(device), y.to(device)
            right += accuracy(net(X), y)
            count += y.numel()
    return right / count


def train(net, train_iter, test_iter, num_epochs, lr, device):
    net.apply(init_weights)
    print("training on", device)
    net.to(device)
    optimizer = torch.optim.SGD(net.parameters(), lr=lr)
    loss = nn.CrossEntropyLoss()
    curves, seconds, seen = [], 0.0, 0
    for epoch in range(num_epochs):
        net.train()
        loss_sum, right, count, start = 0.0, 0.0, 0, time.time()
        for X, y in train_iter:
            optimizer.zero_grad()
            X, y = X.to(device), y.to(device)
            y_hat = net(X)
            l = loss(y_hat, y)  # noqa: E741
            l.backward()
            optimizer.step()
            with torch.no_grad():
                loss_sum += float(l * X.shape[0])
                right += accuracy(y_hat, y)
                count += X.shape[0]
        seconds, seen = seconds + time.time() - start, seen + count
        test_acc = evaluate_accuracy(net, test_iter, device)
        curves.append((epoch + 1, loss_sum / count, right / count, test_acc))
        print("epoch {}: loss {:.3f}, train acc {:.3f}, test acc {:.3f}".format(*curves[-1]))
    print(f"{seen / seconds:.1f} examples/sec on {device}")
    return curves


def plot(curves):
    epochs, *lines = zip(*curves, strict=True)
    for values, style, name in zip(
        lines, ("-", "m--", "g-."), ("train loss", "train acc", "test acc"), strict=True
    ):
        plt.plot(epochs, values, style, label=name)
    plt.xlabel("epoch")
    plt.legend()
    plt.savefig("lenet_d2l.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="2,000 images, 2 epochs")
    parser.add_argument("--data", default="./data", help="folder of Fashion-MNIST")
    args = parser.parse_args()
    torch.manual_seed(0)

    X = torch.rand(size=(1, 1, 28, 28), dtype=torch.float32)
    for layer in net:
        X = layer(X)
        print(layer.__class__.__name__, "output shape: \t", X.shape)

    trans = transforms.ToTensor()
    mnist_train = FashionMNIST(root=args.data, train=True, transform=trans, download=True)
    mnist_test = FashionMNIST(root=args.data, train=False, transform=trans, download=True)
    if args.small:
        mnist_train = torch.utils.data.Subset(mnist_train, range(2000))
        mnist_test = torch.utils.data.Subset(mnist_test, range(500))
    train_iter = torch.utils.data.DataLoader(mnist_train, 256, shuffle=True, num_workers=0)
    test_iter = torch.utils.data.DataLoader(mnist_test, 256, shuffle=False, num_workers=0)
    device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
    curves = train(net, train_iter, test_iter, 2 if args.small else 10, 0.9, device)
    plot(curves)
    assert curves[-1][1] < curves[0][1]
    assert args.small or curves[-1][3] > 0.75
