"""Losses and activations with their gradients."""

import torch
import torch.nn as nn
import torch.nn.functional as F

pred = torch.tensor([[0.2, 0.7], [0.9, 0.4], [0.5, 0.01]], requires_grad=True)
target = torch.tensor([[0.0, 1.0], [1.0, 0.0], [0.3, 0.01]])


def show(name, loss):
    pred.grad = None
    loss.sum().backward()
    print(name, loss.tolist(), pred.grad.tolist())


show("BCE", nn.BCELoss()(pred, target))
show("BCE sum", nn.BCELoss(reduction="sum")(pred, target))
show("bce", F.binary_cross_entropy(pred, target, reduction="none"))
show("BCE logits", nn.BCEWithLogitsLoss()(pred * 10 - 5, target))
show("BCE pos_weight", nn.BCEWithLogitsLoss(pos_weight=torch.tensor([2.0, 3.0]))(pred, target))
show("at 0", F.binary_cross_entropy_with_logits(pred * 0, target))
show("L1", nn.L1Loss()(pred, target))
show("l1", F.l1_loss(pred, target, reduction="sum"))
show("MSE", nn.MSELoss()(pred, target))
show("CE", nn.CrossEntropyLoss()(pred, torch.tensor([0, 1, 1])))
show(
    "CE weight", nn.CrossEntropyLoss(weight=torch.tensor([1.0, 2.0]))(pred, torch.tensor([0, 1, 1]))
)
show("CE sum", nn.CrossEntropyLoss(reduction="sum")(pred, torch.tensor([0, 1, 1])))
show("CE ignore", nn.CrossEntropyLoss(ignore_index=1)(pred, torch.tensor([0, 1, 0])))
show("NLL", nn.NLLLoss()(F.log_softmax(pred, dim=1), torch.tensor([0, 1, 1])))
criterion = nn.CrossEntropyLoss().to(torch.device("cpu"))
print(criterion, nn.BCELoss(), nn.L1Loss(), nn.MSELoss())
zero_one = torch.tensor([0.0, 1.0, 0.0, 1.0])
print(
    F.binary_cross_entropy(zero_one, torch.tensor([0.0, 1.0, 1.0, 0.0]), reduction="none").tolist()
)
print(
    F.one_hot(torch.tensor([0, 2, 1]), num_classes=4).tolist(), F.one_hot(torch.arange(3)).tolist()
)
onehot = F.one_hot(torch.tensor([0, 1, 1]), 2).float()
show("MSE one-hot", F.mse_loss(torch.sigmoid(pred), onehot))
show("CE probabilities", F.cross_entropy(pred, onehot))
show("softmax", F.softmax(pred, dim=1)[:, 0])
show("elu", F.elu(pred - 0.5))
show("leaky", F.leaky_relu(pred - 0.5, 0.2))
show("log_softmax", F.log_softmax(pred, -1))
show(
    "tanh",
    torch.tanh(pred)
    + F.silu(pred)
    + F.relu6(pred * 10)
    + F.logsigmoid(pred)
    + F.hardtanh(pred * 2),
)
