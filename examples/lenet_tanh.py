"""LeNet with tanh and max pooling on 32 x 32 images, the Keras tutorials' variant, on MNIST.

Prints the model and its table (layer, output shape, parameters; totals), trains 5 epochs with Adam
in about a minute and a half on two cores, and reaches at least 98 % of the test images; `--small`
takes 3,000 images for one epoch: seconds.
Written as for PyTorch; only the import lines are minicnn's.
"""

import argparse

import minicnn as torch
from minicnn import nn, summary, transforms
from minicnn.datasets import MNIST
from minicnn.utils.data import DataLoader, Subset


class TanhLeNet(nn.Module):
    def __init__(self, num_classes=10):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(1, 6, kernel_size=5), nn.Tanh(), nn.MaxPool2d(kernel_size=2),
            nn.Conv2d(6, 16, kernel_size=5), nn.Tanh(), nn.MaxPool2d(kernel_size=2),
        )  # fmt: skip
        self.classifier = nn.Sequential(
            nn.Linear(400, 120), nn.Tanh(), nn.Linear(120, 84), nn.Tanh(),
            nn.Linear(84, num_classes),
        )  # fmt: skip

    def forward(self, x):
        x = self.features(x)
        x = torch.flatten(x, start_dim=1)
        return self.classifier(x)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="3,000 images, one epoch")
    parser.add_argument("--data", default="./data", help="folder of MNIST")
    args = parser.parse_args()
    torch.manual_seed(0)

    transform = transforms.Compose([transforms.Pad(2), transforms.ToTensor()])  # 28 + 4 = 32
    train_set = MNIST(root=args.data, train=True, transform=transform, download=True)
    test_set = MNIST(root=args.data, train=False, transform=transform, download=True)
    if args.small:
        train_set, test_set = Subset(train_set, range(3000)), Subset(test_set, range(500))
    train_loader = DataLoader(train_set, batch_size=32, shuffle=True, pin_memory=True)
    test_loader = DataLoader(test_set, batch_size=500)

    model = TanhLeNet()
    print(model)
    summary(model, (1, 32, 32))
    criterion = nn.CrossEntropyLoss()
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    for epoch in range(1 if args.small else 5):
        model.train()
        total = 0.0
        for images, labels in train_loader:
            optimizer.zero_grad()
            loss = criterion(model(images), labels)
            loss.backward()
            optimizer.step()
            total += loss.item() * images.size(0)
        print(f"Epoch {epoch + 1}, loss {total / len(train_set):.4f}")

    model.eval()
    correct = 0
    with torch.no_grad():
        for images, labels in test_loader:
            probabilities = torch.softmax(model(images), dim=1)
            _, predicted = torch.max(probabilities, 1)
            correct += (predicted == labels).sum().item()
    print(f"Test accuracy: {correct / len(test_set):.4f}")
    assert correct / len(test_set) > (0.75 if args.small else 0.98)


if __name__ == "__main__":
    main()
