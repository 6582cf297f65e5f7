"""Autoencoders of linear and of convolutional layers."""

import torch
import torch.nn as nn
from synthetic import digits, same_weights
from torch.autograd import Variable


class AutoEncoder(nn.Module):
    def __init__(self):
        super(AutoEncoder, self).__init__()
        self.encoder = nn.Sequential(
            nn.Linear(28 * 28, 32),
            nn.Tanh(),
            nn.Linear(32, 3),
        )
        self.decoder = nn.Sequential(
            nn.Linear(3, 32),
            nn.Tanh(),
            nn.Linear(32, 28 * 28),
            nn.Sigmoid(),
        )

    def forward(self, x):
        encoded = self.encoder(x)
        decoded = self.decoder(encoded)
        return encoded, decoded


class ConvAutoEncoder(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(
            nn.Conv2d(1, 4, 3, stride=2, padding=1),
            nn.ReLU(),
            nn.Conv2d(4, 8, 3, stride=2, padding=1),
            nn.ReLU(),
        )
        self.decoder = nn.Sequential(
            nn.ConvTranspose2d(8, 4, 3, stride=2, padding=1, output_padding=1),
            nn.ReLU(),
            nn.ConvTranspose2d(4, 1, 2, stride=2),
            nn.Sigmoid(),
        )

    def forward(self, x):
        return self.decoder(self.encoder(x))


images, labels = digits(torch, 8)
images = images.clamp(0, 1)
autoencoder = AutoEncoder()
same_weights(torch, autoencoder)
optimizer = torch.optim.Adam(autoencoder.parameters(), lr=0.005)
loss_func = nn.MSELoss()
for epoch in range(4):
    b_x = Variable(images.view(-1, 28 * 28))
    b_y = Variable(images.view(-1, 28 * 28))
    encoded, decoded = autoencoder(b_x)
    loss = loss_func(decoded, b_y)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print("Epoch: ", epoch, "| train loss: %.6f" % loss.data.numpy())
model = ConvAutoEncoder()
same_weights(torch, model)
print(model)
optimizer = torch.optim.Adam(model.parameters(), lr=0.01)
criterion = nn.BCELoss()
for epoch in range(4):
    loss = criterion(model(images), images)
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    print(f"{loss.item():.6f}")
noisy = images + 0.3 * torch.randn(*images.shape)
noisy = torch.clamp(noisy, 0.0, 1.0)
print(noisy.shape, model(noisy).shape)
up = nn.Upsample(scale_factor=2, mode="nearest")(torch.arange(6.0).view(1, 1, 2, 3))
print(up.tolist())
