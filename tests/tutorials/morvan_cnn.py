"""A CNN as an older Chinese tutorial writes it: two outputs, FloatTensor, .data.numpy()."""

import numpy as np
import torch
import torch.nn as nn
import torch.utils.data as Data
from synthetic import digits, same_weights

torch.manual_seed(1)
EPOCH, BATCH_SIZE, LR = 2, 8, 0.001
images, labels = digits(torch, 24)
train_data = Data.TensorDataset(images, labels)
print(images.size(), labels.size())
train_loader = Data.DataLoader(dataset=train_data, batch_size=BATCH_SIZE, shuffle=False)
test_x = torch.unsqueeze(images[:, 0], dim=1).type(torch.FloatTensor)[:20] / 255.0
test_y = labels[:20]


class CNN(nn.Module):
    def __init__(self):
        super(CNN, self).__init__()
        self.conv1 = nn.Sequential(
            nn.Conv2d(in_channels=1, out_channels=16, kernel_size=5, stride=1, padding=2),
            nn.ReLU(),
            nn.MaxPool2d(kernel_size=2),
        )
        self.conv2 = nn.Sequential(
            nn.Conv2d(16, 32, 5, 1, 2),
            nn.ReLU(),
            nn.MaxPool2d(2),
        )
        self.out = nn.Linear(32 * 7 * 7, 10)

    def forward(self, x):
        x = self.conv1(x)
        x = self.conv2(x)
        x = x.view(x.size(0), -1)
        output = self.out(x)
        return output, x


cnn = CNN()
same_weights(torch, cnn)
print(cnn)
optimizer = torch.optim.Adam(cnn.parameters(), lr=LR)
loss_func = nn.CrossEntropyLoss()
for epoch in range(EPOCH):
    for step, (b_x, b_y) in enumerate(train_loader):
        output = cnn(b_x)[0]
        loss = loss_func(output, b_y)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % 2 == 0:
            test_output, last_layer = cnn(test_x)
            pred_y = torch.max(test_output, 1)[1].data.numpy()
            accuracy = float((pred_y == test_y.data.numpy()).astype(int).sum()) / float(
                test_y.size(0)
            )
            print(
                "Epoch: ",
                epoch,
                "| train loss: %.5f" % loss.data.numpy(),
                "| test accuracy: %.2f" % accuracy,
            )
test_output, _ = cnn(test_x[:10])
pred_y = torch.max(test_output, 1)[1].data.numpy().squeeze()
print(pred_y.shape, "prediction number")
print(test_y[:10].numpy(), "real number")
print(torch.FloatTensor([1, 2, 3]).dtype, torch.LongTensor([[1, 2]]).tolist())
x = torch.unsqueeze(torch.linspace(-1, 1, 100), dim=1)
y = x.pow(2)
print(x.shape, y.sum().item())
np_data = np.arange(6).reshape((2, 3))
torch_data = torch.from_numpy(np_data)
tensor2array = torch_data.numpy()
print(tensor2array.tolist(), torch.abs(torch.FloatTensor([-1, -2])).tolist())
