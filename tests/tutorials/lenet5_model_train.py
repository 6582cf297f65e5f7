"""A Chinese LeNet-5 course's model, training with the best weights kept, and test."""

import copy
import time

import torch
import torch.nn as nn
import torch.utils.data as Data
from synthetic import digits, same_weights


class LeNet(nn.Module):
    def __init__(self):
        super(LeNet, self).__init__()
        self.c1 = nn.Conv2d(in_channels=1, out_channels=6, kernel_size=5, padding=2)
        self.sig = nn.Sigmoid()
        self.s2 = nn.AvgPool2d(kernel_size=2, stride=2)
        self.c3 = nn.Conv2d(in_channels=6, out_channels=16, kernel_size=5)
        self.s4 = nn.AvgPool2d(kernel_size=2, stride=2)
        self.flatten = nn.Flatten()
        self.f5 = nn.Linear(400, 120)
        self.f6 = nn.Linear(120, 84)
        self.f7 = nn.Linear(84, 10)

    def forward(self, x):
        x = self.sig(self.c1(x))
        x = self.s2(x)
        x = self.sig(self.c3(x))
        x = self.s4(x)
        x = self.flatten(x)
        x = self.f5(x)
        x = self.f6(x)
        x = self.f7(x)
        return x


def train_val_data_process():
    train_data = Data.TensorDataset(*digits(torch, 40))
    train_data, val_data = Data.random_split(
        train_data, [round(0.8 * len(train_data)), round(0.2 * len(train_data))]
    )
    print(len(train_data), len(val_data))
    train_dataloader = Data.DataLoader(
        dataset=train_data, batch_size=8, shuffle=True, num_workers=0
    )
    val_dataloader = Data.DataLoader(dataset=val_data, batch_size=8, shuffle=True, num_workers=0)
    print(len(train_dataloader), len(val_dataloader))
    every = Data.TensorDataset(*digits(torch, 40))  # in one order, so that two libraries agree
    return Data.DataLoader(dataset=every, batch_size=8), Data.DataLoader(
        dataset=every, batch_size=8
    )


def train_model_process(model, train_dataloader, val_dataloader, num_epochs):
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    optimizer = torch.optim.Adam(model.parameters(), lr=0.001)
    criterion = nn.CrossEntropyLoss()
    model = model.to(device)
    best_model_wts = copy.deepcopy(model.state_dict())
    best_acc = 0.0
    train_loss_all, val_loss_all, train_acc_all, val_acc_all = [], [], [], []
    since = time.time()
    for epoch in range(num_epochs):
        print("Epoch {}/{}".format(epoch, num_epochs - 1))
        print("-" * 10)
        train_loss, train_corrects = 0.0, 0
        val_loss, val_corrects = 0.0, 0
        train_num, val_num = 0, 0
        for step, (b_x, b_y) in enumerate(train_dataloader):
            b_x = b_x.to(device)
            b_y = b_y.to(device)
            model.train()
            output = model(b_x)
            pre_lab = torch.argmax(output, dim=1)
            loss = criterion(output, b_y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            train_loss += loss.item() * b_x.size(0)
            train_corrects += torch.sum(pre_lab == b_y.data)
            train_num += b_x.size(0)
        for step, (b_x, b_y) in enumerate(val_dataloader):
            b_x = b_x.to(device)
            b_y = b_y.to(device)
            model.eval()
            output = model(b_x)
            pre_lab = torch.argmax(output, dim=1)
            loss = criterion(output, b_y)
            val_loss += loss.item() * b_x.size(0)
            val_corrects += torch.sum(pre_lab == b_y.data)
            val_num += b_x.size(0)
        train_loss_all.append(train_loss / train_num)
        train_acc_all.append(train_corrects.double().item() / train_num)
        val_loss_all.append(val_loss / val_num)
        val_acc_all.append(val_corrects.double().item() / val_num)
        print(
            "{} train loss:{:.6f} train acc: {:.4f}".format(
                epoch, train_loss_all[-1], train_acc_all[-1]
            )
        )
        print("{} val loss:{:.6f} val acc: {:.4f}".format(epoch, val_loss_all[-1], val_acc_all[-1]))
        if val_acc_all[-1] > best_acc:
            best_acc = val_acc_all[-1]
            best_model_wts = copy.deepcopy(model.state_dict())
    time_use = time.time() - since
    assert time_use >= 0
    model.load_state_dict(best_model_wts)
    torch.save(best_model_wts, "best_model.pth")
    return {
        "epoch": range(num_epochs),
        "train_loss_all": train_loss_all,
        "val_acc_all": val_acc_all,
    }


def test_model_process(model, test_dataloader):
    device = "cuda" if torch.cuda.is_available() else "cpu"
    model = model.to(device)
    test_corrects = 0.0
    test_num = 0
    with torch.no_grad():
        for test_data_x, test_data_y in test_dataloader:
            test_data_x = test_data_x.to(device)
            test_data_y = test_data_y.to(device)
            model.eval()
            output = model(test_data_x)
            pre_lab = torch.argmax(output, dim=1)
            test_corrects += torch.sum(pre_lab == test_data_y.data)
            test_num += test_data_x.size(0)
    test_acc = test_corrects.double().item() / test_num
    print("测试的准确率为：", test_acc)


net = LeNet()
same_weights(torch, net)
train_dataloader, val_dataloader = train_val_data_process()
train_model_process(net, train_dataloader, val_dataloader, num_epochs=3)
model = LeNet()
model.load_state_dict(torch.load("best_model.pth"))
test_model_process(model, val_dataloader)
classes = [
    "T-shirt/top",
    "Trouser",
    "Pullover",
    "Dress",
    "Coat",
    "Sandal",
    "Shirt",
    "Sneaker",
    "Bag",
    "Boot",
]
with torch.no_grad():
    for b_x, b_y in Data.DataLoader(dataset=val_dataloader.dataset, batch_size=1):
        output = model(b_x)
        pre_lab = torch.argmax(output, dim=1)
        result = pre_lab.item()
        label = b_y.item()
        print("预测值：", classes[result], "------", "真实值：", classes[label])
        break
