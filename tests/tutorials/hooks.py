"""Feature maps and gradients by hooks, Grad-CAM."""

import torch
import torch.nn as nn
import torch.nn.functional as F
from synthetic import same_weights

activation, gradients = {}, []


def get_activation(name):
    def hook(model, input, output):
        activation[name] = output.detach()

    return hook


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 3, 5)
        self.conv2 = nn.Conv2d(3, 4, 3)
        self.fc = nn.Linear(4 * 5 * 5, 10)

    def forward(self, x):
        x = F.relu(F.max_pool2d(self.conv1(x), 2))
        x = F.relu(F.max_pool2d(F.dropout(self.conv2(x), training=self.training), 2))
        x = x.view(x.size(0), -1)
        return self.fc(x)


model = Net().eval()
same_weights(torch, model)
h1 = model.conv1.register_forward_hook(get_activation("conv1"))
h2 = model.conv2.register_forward_hook(get_activation("conv2"))
h3 = model.conv2.register_full_backward_hook(
    lambda module, grad_input, grad_output: gradients.append(
        (grad_input[0].shape, grad_output[0].sum().item())
    )
)
h4 = model.fc.register_forward_pre_hook(lambda module, args: print("fc gets", args[0].shape))
h5 = model.conv1.register_full_backward_hook(
    lambda module, grad_input, grad_output: print(
        "conv1", grad_input[0].shape, grad_output[0].sum().item()
    )
)
img = torch.linspace(0, 1, 2 * 784).view(2, 1, 28, 28).requires_grad_()
out = model(img)
out[:, 3].sum().backward()
print(activation["conv1"].shape, activation["conv2"].mean().item())
print(gradients)
for h in (h1, h2, h3, h4, h5):
    h.remove()
activation.clear()
model(img)
print(activation)

double = model.fc.register_forward_pre_hook(lambda module, args: (args[0] * 2,))
triple = model.fc.register_forward_hook(lambda module, args, output: output * 3)
print(model(img).sum().item())
double.remove()
triple.remove()
zero = model.fc.register_full_backward_hook(
    lambda module, grad_input, grad_output: (grad_input[0] * 0,)
)
model.zero_grad()
model(img).sum().backward()
print(model.conv2.weight.grad.abs().sum().item(), model.fc.bias.grad.tolist())
zero.remove()

# Grad-CAM
feature_maps, feature_grads = [], []
h1 = model.conv2.register_forward_hook(lambda m, i, o: feature_maps.append(o))
h2 = model.conv2.register_full_backward_hook(lambda m, gi, go: feature_grads.append(go[0]))
score = model(img)[0, 7]
model.zero_grad()
score.backward()
weights = feature_grads[0][0].mean(dim=(1, 2))
cam = torch.zeros(feature_maps[0].shape[2:], dtype=torch.float32)
for i, w in enumerate(weights):
    cam += w * feature_maps[0][0, i].detach()
cam = F.relu(cam)
print(cam.shape, cam.sum().item())
kernel = model.conv1.weight.data.cpu().numpy()
print(kernel.shape, kernel.min() < 0, model.conv1.weight.detach().clone().max().item())
maps = activation.get("conv1", torch.zeros(1, 3, 4, 4)).squeeze(0)
print([m.shape for m in maps])
