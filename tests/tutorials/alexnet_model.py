"""AlexNet as a Chinese tutorial and as torchvision write it, with its own initial weights and frozen layers."""

import torch
import torch.nn.functional as F
from synthetic import same_weights
from torch import nn


class AlexNet(nn.Module):
    def __init__(self):
        super(AlexNet, self).__init__()
        self.ReLU = nn.ReLU()
        self.c1 = nn.Conv2d(in_channels=1, out_channels=8, kernel_size=11, stride=4)
        self.s2 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.c3 = nn.Conv2d(in_channels=8, out_channels=16, kernel_size=5, padding=2)
        self.s4 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.c5 = nn.Conv2d(in_channels=16, out_channels=16, kernel_size=3, padding=1)
        self.s8 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.flatten = nn.Flatten()
        self.f1 = nn.Linear(6 * 6 * 16, 32)
        self.f2 = nn.Linear(32, 10)

    def forward(self, x):
        x = self.ReLU(self.c1(x))
        x = self.s2(x)
        x = self.ReLU(self.c3(x))
        x = self.s4(x)
        x = self.ReLU(self.c5(x))
        x = self.s8(x)
        x = self.flatten(x)
        x = self.ReLU(self.f1(x))
        x = F.dropout(x, 0.5)
        x = self.f2(x)
        return x


device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
model = AlexNet().to(device)
print(model)
out = model(torch.rand(2, 1, 227, 227))
print(out.shape)


class TorchvisionAlexNet(nn.Module):
    def __init__(self, num_classes=10, init_weights=False, dropout=0.5):
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(3, 8, kernel_size=11, stride=4, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(kernel_size=3, stride=2),
            nn.Conv2d(8, 16, kernel_size=5, padding=2),
            nn.ReLU(True),
            nn.LocalResponseNorm(size=5, alpha=0.0001, beta=0.75, k=2),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier = nn.Sequential(
            nn.Dropout(p=dropout),
            nn.Linear(16 * 6 * 6, 32),
            nn.ReLU(inplace=True),
            nn.Linear(32, num_classes),
        )
        if init_weights:
            self._initialize_weights()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.features(x)
        x = self.avgpool(x)
        x = torch.flatten(x, start_dim=1)
        x = self.classifier(x)
        return x

    def _initialize_weights(self):
        for m in self.modules():
            if isinstance(m, nn.Conv2d):
                nn.init.kaiming_normal_(m.weight, mode="fan_out", nonlinearity="relu")
                if m.bias is not None:
                    nn.init.constant_(m.bias, 0)
            elif isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, 0, 0.01)
                nn.init.constant_(m.bias, 0)


net = TorchvisionAlexNet(num_classes=5, init_weights=True)
same_weights(torch, net)
print(net)
net.eval()
X = torch.linspace(-1, 1, 3 * 96 * 96).view(1, 3, 96, 96)
with torch.no_grad():
    output = torch.squeeze(net(X)).cpu()
    predict = torch.softmax(output, dim=0)
    predict_cla = torch.argmax(predict).numpy()
print("class: {}   prob: {:.6f}".format(predict_cla, predict[predict_cla].numpy()))
prob, top = torch.topk(predict, 3)
print(top.tolist(), prob.tolist())
print(sum(p.numel() for p in net.parameters() if p.requires_grad))
for name, module in net.named_children():
    print(name, type(module).__name__, len(list(module.parameters())))
print(list(net.state_dict().keys()))
for param in net.features.parameters():
    param.requires_grad = False
net.classifier[3] = nn.Linear(32, 2)
print([name for name, p in net.named_parameters() if p.requires_grad])
optimizer = torch.optim.SGD(
    filter(lambda p: p.requires_grad, net.parameters()), lr=0.005, momentum=0.9, weight_decay=5e-4
)
print(len(optimizer.param_groups[0]["params"]))
