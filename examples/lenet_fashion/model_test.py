"""Tests the weights that model_train.py left in best_model.pth on Fashion-MNIST's test images.

Takes seconds, one image at a time; more than 84 % are right.  `--small` looks at 500 images, after
a small training.  A PyTorch tutorial's program, of which only the import lines are minicnn's.
"""

import argparse

from model import LeNet

import minicnn as torch
import minicnn.data as Data
from minicnn import transforms
from minicnn.datasets import FashionMNIST


def test_data_process(root):
    test_data = FashionMNIST(
        root=root,
        train=False,
        transform=transforms.Compose([transforms.Resize(size=28), transforms.ToTensor()]),
        download=True,
    )
    return Data.DataLoader(dataset=test_data, batch_size=1, shuffle=True, num_workers=0)


def test_model_process(model, test_loader, limit):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    model = model.to(device)
    classes = test_loader.dataset.classes
    test_corrects, test_num = 0.0, 0
    model.eval()
    with torch.no_grad():
        for b_x, b_y in test_loader:
            b_x, b_y = b_x.to(device), b_y.to(device)
            output = model(b_x)
            pre_lab = torch.argmax(output, dim=1)
            test_corrects += torch.sum(pre_lab == b_y.data)
            test_num += b_x.size(0)
            if test_num <= 5:
                print("predicted", classes[pre_lab.item()], "- true", classes[b_y.item()])
            if test_num == limit:
                break
    test_acc = test_corrects.double().item() / test_num
    print(f"test accuracy of {test_num} images: {test_acc:.4f}")
    return test_acc


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="500 images")
    parser.add_argument("--data", default="./data", help="folder of Fashion-MNIST")
    args = parser.parse_args()
    torch.manual_seed(0)
    model = LeNet()
    model.load_state_dict(torch.load("best_model.pth"))
    acc = test_model_process(model, test_data_process(args.data), 500 if args.small else None)
    assert acc > (0.3 if args.small else 0.84)
