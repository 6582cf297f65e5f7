"""The tensor part of the 60-minute blitz, and of d2l's preliminaries."""

import numpy as np
import torch

data = [[1, 2], [3, 4]]
x_data = torch.tensor(data)
x_np = torch.from_numpy(np.array(data))
x_ones = torch.ones_like(x_data)
print(f"Ones Tensor: \n {x_ones.tolist()} \n")
x_rand = torch.rand_like(x_data, dtype=torch.float)
print(x_rand.shape, x_rand.dtype)
shape = (2, 3)
print(torch.zeros(shape).tolist(), torch.ones(shape).tolist(), torch.empty(shape).shape)

tensor = torch.rand(3, 4)
print(f"Shape of tensor: {tensor.shape}")
print(f"Datatype of tensor: {tensor.dtype}")
print(f"Device tensor is stored on: {tensor.device}")
if torch.cuda.is_available():
    tensor = tensor.to("cuda")

tensor = torch.ones(4, 4)
tensor[:, 1] = 0
print(tensor.tolist(), tensor[0].tolist(), tensor[..., -1].tolist())
t1 = torch.cat([tensor, tensor, tensor], dim=1)
print(t1.shape, torch.stack([tensor, tensor]).shape)
y1 = tensor @ tensor.T
y2 = tensor.matmul(tensor.T)
z1 = tensor.mul(tensor)
print(y1.tolist(), torch.equal(y1, y2), torch.allclose(tensor * tensor, z1))
agg = tensor.sum()
print(agg.item(), type(agg.item()))
tensor.add_(5)
print(tensor.tolist())
t = torch.ones(5)
n = t.numpy()
t.add_(1)
print(f"n: {n}")
np.add(n, 1, out=n)
print(f"t: {t.tolist()}")

x = torch.arange(12, dtype=torch.float32).reshape(3, 4)
print(x.numel(), x.size(), x.size(0), len(x), x.dim(), x.ndim)
print((x == 3).sum().item(), x.sum(dim=0).tolist(), x.mean(dim=1, keepdim=True).tolist())
print(x.cumsum(dim=0).tolist(), (x // 5).tolist(), (x % 5).tolist(), x.exp().sum().item())
print(torch.dot(x[0], x[1]).item(), torch.mv(x, x[0]).tolist(), torch.mm(x, x.T).tolist())
print(torch.norm(x).item(), torch.abs(-x).sum().item(), x.norm(p=1).item())
print(torch.eye(3).tolist(), torch.linspace(0, 1, 5).tolist(), torch.arange(3).tolist())
print(x.max().item(), x.min(), x.argmax().item(), x.argmin().item(), x.std().item(), x.var().item())
print(torch.is_tensor(x), torch.isnan(x).any().item(), torch.where(x > 5, x, 0.0).tolist())
values, indices = torch.sort(torch.tensor([3.0, 1.0, 2.0]), descending=True)
print(values.tolist(), indices.tolist(), torch.argsort(values).tolist())
print(x.masked_fill(x > 5, -1).tolist(), x.repeat(2, 1).shape, x.chunk(3)[0].shape)
print(
    torch.clamp(x, min=2, max=7).tolist(), torch.round(x / 3).tolist(), torch.sign(x - 5).tolist()
)
print(x.gather(1, torch.tensor([[0], [1], [2]])).tolist(), x[[0, 1], [2, 3]].tolist())
print((x > 3).all().item(), (x >= 0).all(dim=1).tolist(), (x > 10).any(dim=0).tolist())
print(
    torch.bmm(torch.ones(2, 3, 4), torch.ones(2, 4, 5)).shape, x.t().shape, x.transpose(0, 1).shape
)
print(x.permute(1, 0).shape, x.unsqueeze(0).shape, x[None].squeeze().shape, x.view(-1).shape)
print(torch.add(x, x, alpha=2).sum().item(), x.clone().add_(x, alpha=-1).sum().item())
print(torch.max(x, torch.full_like(x, 4.0)).tolist(), torch.unbind(x)[1].tolist())
print(
    x.int().dtype, x.long().dtype, x.double().dtype, x.half().dtype, x.bool().dtype, x.byte().dtype
)
print(
    torch.tensor([1, 2, 2, 5]).unique().tolist(), torch.bincount(torch.tensor([1, 2, 2])).tolist()
)
print(torch.nonzero(torch.tensor([0, 3, 0, 4])).tolist(), x.is_contiguous(), x.is_floating_point())
print(
    torch.outer(x[0], x[1]).shape,
    torch.logical_and(x > 3, x < 6).sum().item(),
    x.pow(2).sum().sqrt().item(),
)
