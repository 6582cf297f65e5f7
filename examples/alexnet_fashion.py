"""AlexNet for one channel on Fashion-MNIST, each image enlarged from 28 x 28 to 227 x 227.

58 million parameters and about a billion multiply-adds an image: an epoch is hours on a CPU, for
which nobody should wait, and the full form is there to be read.  `--small` does two steps with two
images each, in about ten seconds and a gigabyte of memory, and checks that they lower the loss.
A PyTorch tutorial's program, of which only the import lines are minicnn's.
"""

import argparse

import minicnn as torch
import minicnn.data as Data
import minicnn.nn.functional as F
from minicnn import nn, transforms
from minicnn.datasets import FashionMNIST


class AlexNet(nn.Module):
    def __init__(self):
        super().__init__()
        self.ReLU = nn.ReLU(True)
        self.c1 = nn.Conv2d(in_channels=1, out_channels=96, kernel_size=11, stride=4)
        self.s2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.c3 = nn.Conv2d(in_channels=96, out_channels=256, kernel_size=5, padding=2)
        self.s4 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.c5 = nn.Conv2d(in_channels=256, out_channels=384, kernel_size=3, padding=1)
        self.c6 = nn.Conv2d(in_channels=384, out_channels=384, kernel_size=3, padding=1)
        self.c7 = nn.Conv2d(in_channels=384, out_channels=256, kernel_size=3, padding=1)
        self.s8 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.flatten = nn.Flatten()
        self.f1 = nn.Linear(6 * 6 * 256, 4096)
        self.f2 = nn.Linear(4096, 4096)
        self.f3 = nn.Linear(4096, 10)

    def forward(self, x):
        x = self.s2(self.ReLU(self.c1(x)))  # (N, 96, 27, 27)
        x = self.s4(self.ReLU(self.c3(x)))  # (N, 256, 13, 13)
        x = self.ReLU(self.c5(x))
        x = self.ReLU(self.c6(x))
        x = self.s8(self.ReLU(self.c7(x)))  # (N, 256, 6, 6)
        x = self.flatten(x)
        x = F.dropout(self.ReLU(self.f1(x)), 0.5, training=self.training)
        x = F.dropout(self.ReLU(self.f2(x)), 0.5, training=self.training)
        return self.f3(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="two steps with two images")
    parser.add_argument("--data", default="./data", help="folder of Fashion-MNIST")
    args = parser.parse_args()
    torch.manual_seed(0)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    transform = transforms.Compose([transforms.Resize(size=227), transforms.ToTensor()])
    train_data = FashionMNIST(root=args.data, train=True, transform=transform, download=True)
    if args.small:
        train_data = Data.Subset(train_data, range(2))
    loader = Data.DataLoader(train_data, batch_size=2 if args.small else 32, shuffle=True)

    model = AlexNet().to(device)
    print(sum(p.numel() for p in model.parameters()), "parameters")
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    losses = []
    for epoch in range(2 if args.small else 10):
        for step, (b_x, b_y) in enumerate(loader):
            b_x, b_y = b_x.to(device), b_y.to(device)
            loss = criterion(model(b_x), b_y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
            if step % 10 == 0:
                print(f"epoch {epoch + 1}, step {step + 1}: loss {losses[-1]:.4f}", flush=True)
        if not args.small:
            torch.save(model.state_dict(), "alexnet.pth")
    assert sum(p.numel() for p in model.parameters()) == 58299082
    assert losses[-1] < losses[0]


if __name__ == "__main__":
    main()
