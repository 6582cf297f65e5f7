"""The MNIST program that frameworks show first, with options: conv, dropout, Adadelta, StepLR.

One epoch takes some minutes on two cores and reaches at least 98 % of the test images; the default
is 14 epochs.  `--small` takes 2,000 images for one epoch: seconds.
A PyTorch program, of which only the import lines are minicnn's.
"""

import argparse

import minicnn as torch
import minicnn.nn as nn
import minicnn.nn.functional as F
import minicnn.optim as optim
from minicnn import transforms
from minicnn.datasets import MNIST
from minicnn.optim.lr_scheduler import StepLR


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 32, 3, 1)
        self.conv2 = nn.Conv2d(32, 64, 3, 1)
        self.dropout1 = nn.Dropout(0.25)
        self.dropout2 = nn.Dropout(0.5)
        self.fc1 = nn.Linear(9216, 128)
        self.fc2 = nn.Linear(128, 10)

    def forward(self, x):
        x = F.relu(self.conv1(x))
        x = F.relu(self.conv2(x))
        x = self.dropout1(F.max_pool2d(x, 2))
        x = torch.flatten(x, 1)
        x = self.dropout2(F.relu(self.fc1(x)))
        return F.log_softmax(self.fc2(x), dim=1)


def train(args, model, device, train_loader, optimizer, epoch):
    model.train()
    for batch_idx, (data, target) in enumerate(train_loader):
        data, target = data.to(device), target.to(device)
        optimizer.zero_grad()
        loss = F.nll_loss(model(data), target)
        loss.backward()
        optimizer.step()
        if batch_idx % args.log_interval == 0:
            seen, total = batch_idx * len(data), len(train_loader.dataset)
            print(f"epoch {epoch} [{seen}/{total}]  loss {loss.item():.6f}", flush=True)


def test(model, device, test_loader):
    model.eval()
    test_loss, correct, count = 0, 0, len(test_loader.dataset)
    with torch.no_grad():
        for data, target in test_loader:
            data, target = data.to(device), target.to(device)
            output = model(data)
            test_loss += F.nll_loss(output, target, reduction="sum").item()
            pred = output.argmax(dim=1, keepdim=True)
            correct += pred.eq(target.view_as(pred)).sum().item()
    print(f"test set: average loss {test_loss / count:.4f}, accuracy {correct}/{count}")
    return correct / count


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--batch-size", type=int, default=64)
    parser.add_argument("--test-batch-size", type=int, default=1000)
    parser.add_argument("--epochs", type=int, default=14)
    parser.add_argument("--lr", type=float, default=1.0)
    parser.add_argument("--gamma", type=float, default=0.7, help="the step's factor of lr")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--log-interval", type=int, default=10)
    parser.add_argument("--save-model", action="store_true")
    parser.add_argument("--small", action="store_true", help="2,000 images, one epoch")
    parser.add_argument("--data", default="./data", help="folder of MNIST")
    args = parser.parse_args()

    torch.manual_seed(args.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    transform = transforms.Compose(
        [transforms.ToTensor(), transforms.Normalize((0.1307,), (0.3081,))]
    )
    dataset1 = MNIST(args.data, train=True, download=True, transform=transform)
    dataset2 = MNIST(args.data, train=False, transform=transform)
    if args.small:
        args.epochs = 1
        dataset1 = torch.utils.data.Subset(dataset1, range(2000))
        dataset2 = torch.utils.data.Subset(dataset2, range(500))
    train_kwargs, test_kwargs = (
        {"batch_size": args.batch_size},
        {"batch_size": args.test_batch_size},
    )
    train_kwargs.update({"num_workers": 1, "pin_memory": True, "shuffle": True})
    train_loader = torch.utils.data.DataLoader(dataset1, **train_kwargs)
    test_loader = torch.utils.data.DataLoader(dataset2, **test_kwargs)

    model = Net().to(device)
    optimizer = optim.Adadelta(model.parameters(), lr=args.lr)
    scheduler = StepLR(optimizer, step_size=1, gamma=args.gamma)
    for epoch in range(1, args.epochs + 1):
        train(args, model, device, train_loader, optimizer, epoch)
        reached = test(model, device, test_loader)
        scheduler.step()
    if args.save_model:
        torch.save(model.state_dict(), "mnist_cnn.pt")
    assert reached > (0.75 if args.small else 0.98)


if __name__ == "__main__":
    main()
