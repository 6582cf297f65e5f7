"""Devices, seeds, switches and names that programs begin with."""

import torch
import torch.backends.cudnn as cudnn
import torch.nn
import torch.optim
from torch.nn import functional as F
from torch.nn import init

torch.manual_seed(0)
torch.cuda.manual_seed(0)
torch.cuda.manual_seed_all(0)
cudnn.benchmark = True
torch.backends.cudnn.deterministic = True
torch.backends.cudnn.enabled = False
torch.set_printoptions(precision=4, sci_mode=False)
print(torch.cuda.is_available(), torch.cuda.device_count(), isinstance(torch.__version__, str))
if torch.cuda.is_available():
    torch.cuda.synchronize()
    print(torch.cuda.get_device_name(0), torch.cuda.memory_allocated())
torch.cuda.empty_cache()
device = torch.device("cuda:0" if torch.cuda.is_available() else "cpu")
print(device, device.type, device.index, torch.device("cuda", 1), torch.device("cpu") == device)
x = torch.rand(2, 3, device=device)
print(x.device, x.is_cuda, x.cpu().is_cuda, x.to(device, non_blocking=True).dtype)
print(torch.float32, torch.float, torch.long, torch.int64, torch.uint8, torch.bool, torch.double)
print(torch.tensor([1.0]).dtype, torch.tensor([1]).dtype, torch.tensor([True]).dtype)
print(
    isinstance(x, torch.Tensor),
    torch.is_tensor(x),
    torch.is_tensor(1),
    callable(F.relu),
    callable(init.ones_),
)
print(torch.nn.Module.__name__, torch.optim.SGD.__name__, torch.utils.data.DataLoader.__name__)
torch.use_deterministic_algorithms(True)
torch.use_deterministic_algorithms(False)
model = torch.nn.Linear(2, 1)
print(next(model.parameters()).device, next(model.parameters()).is_cuda, model.weight.dtype)
model.half().float().double().to(torch.float32).to("cpu").cpu()
if torch.cuda.device_count() > 1:
    model = torch.nn.DataParallel(model)
with torch.no_grad():
    model.weight.copy_(torch.ones(1, 2))
    model.bias.zero_()
print(model(torch.ones(1, 2)).item(), f"{model(torch.ones(1, 2)).item():.2f}")
total = sum(p.numel() for p in model.parameters())
print(f"{total:,}", sum([param.nelement() for param in model.parameters()]))
t = torch.tensor([1.0, 2.0])
print(t, t.long(), torch.tensor([[1, 2], [3, 4]]), torch.tensor([True, False]))
print(
    list(torch.ones(2, 3).shape),
    torch.Size([2, 3]) == torch.ones(2, 3).shape,
    torch.ones(2, 3).shape[0],
)
