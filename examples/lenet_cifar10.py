"""Colour LeNet on CIFAR-10: ReLU and max pooling, Adam 1e-3, 5 epochs.

The full form wants CIFAR-10 in the folder `--data`, or downloads it (170 MB), takes some minutes
and is reported at 65 to 69 % of the test images; `--small` needs no data: it learns ten colours of
random squares that it makes itself, in seconds, and says nothing about CIFAR-10.
A PyTorch tutorial's program, of which only the import lines are minicnn's.
"""

import argparse

import minicnn as torch
import minicnn.nn.functional as F
import minicnn.optim as optim
from minicnn import nn, transforms
from minicnn.datasets import CIFAR10


class LeNet(nn.Module):
    def __init__(self, num_classes=10, init_weights=False):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 5)
        self.pool1 = nn.MaxPool2d(2, 2)
        self.conv2 = nn.Conv2d(16, 32, 5)
        self.pool2 = nn.MaxPool2d(2, 2)
        self.fc1 = nn.Linear(32 * 5 * 5, 120)
        self.fc2 = nn.Linear(120, 84)
        self.fc3 = nn.Linear(84, num_classes)
        if init_weights:
            self._initialize_weights()

    def forward(self, x):
        x = self.pool1(F.relu(self.conv1(x)))  # (N, 16, 14, 14)
        x = self.pool2(F.relu(self.conv2(x)))  # (N, 32, 5, 5)
        x = x.view(-1, 32 * 5 * 5)
        x = F.relu(self.fc1(x))
        x = F.relu(self.fc2(x))
        return self.fc3(x)

    def _initialize_weights(self):
        for m in self.modules():
            if isinstance(m, (nn.Conv2d, nn.Linear)):
                nn.init.xavier_uniform_(m.weight)
                if m.bias is not None:
                    nn.init.constant_(m.bias, 0)


def made_up(count):
    """Noise with a square of one of ten colours somewhere, instead of CIFAR-10's photographs."""
    colours = torch.rand(10, 3, generator=torch.Generator().manual_seed(1))
    images, labels = torch.randn(count, 3, 32, 32) * 0.3, torch.randint(0, 10, (count,))
    for i in range(count):
        top, left = torch.randint(0, 16, (2,)).tolist()
        square = 2 * colours[labels[i]].view(3, 1, 1)
        images[i, :, top : top + 16, left : left + 16] += square
    return torch.utils.data.TensorDataset(images, labels)


def sets(root, small):
    if small:
        return made_up(900), made_up(200)
    half = (0.5, 0.5, 0.5)
    transform = transforms.Compose([transforms.ToTensor(), transforms.Normalize(half, half)])
    train_set = CIFAR10(root=root, train=True, download=True, transform=transform)
    return train_set, CIFAR10(root=root, train=False, download=True, transform=transform)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="made-up images, 2 epochs")
    parser.add_argument("--data", default="./data", help="folder of CIFAR-10")
    args = parser.parse_args()
    torch.manual_seed(0)
    train_set, test_set = sets(args.data, args.small)
    train_loader = torch.utils.data.DataLoader(train_set, 36, shuffle=True, num_workers=0)
    test_loader = torch.utils.data.DataLoader(test_set, 5000, shuffle=False, num_workers=0)
    test_image, test_label = next(iter(test_loader))

    net = LeNet(num_classes=10, init_weights=True)
    loss_function = nn.CrossEntropyLoss()
    optimizer = optim.Adam(net.parameters(), lr=0.001)
    every = 10 if args.small else 500
    for epoch in range(2 if args.small else 5):
        running_loss = 0.0
        for step, data in enumerate(train_loader, start=0):
            inputs, labels = data
            optimizer.zero_grad()
            outputs = net(inputs)
            loss = loss_function(outputs, labels)
            loss.backward()
            optimizer.step()
            running_loss += loss.item()
            if step % every == every - 1:
                with torch.no_grad():
                    predict_y = torch.max(net(test_image), dim=1)[1]
                accuracy = torch.eq(predict_y, test_label).sum().item() / test_label.size(0)
                print(
                    f"[{epoch + 1}, {step + 1:5d}] train_loss: {running_loss / every:.3f}  "
                    f"test_accuracy: {accuracy:.3f}"
                )
                running_loss = 0.0
    torch.save(net.state_dict(), "./lenet_cifar10.pth")
    assert accuracy > (0.5 if args.small else 0.6)


if __name__ == "__main__":
    main()
