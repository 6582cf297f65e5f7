"""An independent oracle for every op: the PyTorch function of that name, or a naive composition.

An oracle takes torch tensors in the positional order of the op's forward.  What PyTorch lacks is
computed by other formulas than the op's, or element by element in plain Python.
"""

import operator
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F

torch.set_num_threads(1)  # the tests already run in several processes


# ---- plain data to torch ---------------------------------------------------------------------


def to_torch(value: Any, floating: torch.dtype | None = None) -> Any:
    """Arrays and dtypes in `value`, however nested, as torch's; floating arrays in that type."""
    if isinstance(value, np.ndarray):
        tensor = torch.from_numpy(value.copy())  # a copy: torch knows no negative strides
        return tensor.to(floating) if floating and tensor.is_floating_point() else tensor
    if isinstance(value, np.dtype):
        return getattr(torch, value.name)
    if isinstance(value, (tuple, list)):
        return type(value)(to_torch(v, floating) for v in value)
    if isinstance(value, dict):
        return {k: to_torch(v, floating) for k, v in value.items()}
    return value


# ---- what PyTorch lacks ----------------------------------------------------------------------


def philox_words(n: int, seed: int, offset: int) -> list[int]:
    """n words of Philox4x32-10 in plain integers: counters offset, offset + 1, ..., four each."""
    words: list[int] = []
    while len(words) < n:
        counter = (offset + len(words) // 4) % 2**64
        words += philox4x32((counter % 2**32, counter >> 32, 0, 0), (seed % 2**32, seed >> 32))
    return words[:n]


def philox4x32(counter: tuple[int, int, int, int], key: tuple[int, int]) -> list[int]:
    """One block of the generator, from the paper's figure: two multiplications a round."""
    (c0, c1, c2, c3), (k0, k1) = counter, key
    for _ in range(10):
        high0, low0 = divmod(0xD2511F53 * c0, 2**32)
        high1, low1 = divmod(0xCD9E8D57 * c2, 2**32)
        c0, c1, c2, c3 = high1 ^ c1 ^ k0, low1, high0 ^ c3 ^ k1, low0
        k0, k1 = (k0 + 0x9E3779B9) % 2**32, (k1 + 0xBB67AE85) % 2**32
    return [c0, c1, c2, c3]


def dropout(x, p, seed, offset):
    """Element by element: dropped where its word, read as a fraction of 2^32, is below p."""
    if not 0 <= p <= 1:
        raise ValueError("p")
    words = philox_words(x.numel(), seed, offset)
    factors = [0.0 if word / 2**32 < p else 1 / (1 - p) for word in words]
    return x * torch.tensor(factors, dtype=x.dtype).reshape(x.shape)


def scaled_tanh(x, amplitude=1.7159, slope=2 / 3):
    """tanh z = 2 sigmoid(2 z) - 1."""
    return amplitude * (2 * torch.sigmoid(2 * slope * x) - 1)


def subsample2d(x, coefficient, bias, kernel_size, stride=None, padding=0, ceil_mode=False):
    """Undivided average pooling, then a 1 x 1 convolution of each map by itself."""
    sums = F.avg_pool2d(x, kernel_size, stride, padding, ceil_mode, divisor_override=1)
    return F.conv2d(sums, coefficient[:, None, None, None], bias, groups=x.shape[1])


def index_put(x, index, value):
    """Assignment into a copy."""
    y = x.clone()
    y[index] = value
    return y


# ---- PyTorch's functions, where the order of arguments differs -------------------------------


def sum_(x, dim=None, keepdim=False, dtype=None):
    return torch.sum(x, dim, keepdim, dtype=dtype)


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    return F.cross_entropy(
        x,
        target,
        weight=weight,
        ignore_index=ignore_index,
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def nll_loss(x, target, weight=None, ignore_index=-100, reduction="mean"):
    return F.nll_loss(x, target, weight, ignore_index=ignore_index, reduction=reduction)


def mse_loss(x, target, reduction="mean"):
    return F.mse_loss(x, target, reduction=reduction)


def max_pool2d(x, *args, **kwargs):
    return F.max_pool2d(x, *args, return_indices=True, **kwargs)


# ---- the table -------------------------------------------------------------------------------

ORACLES: dict[str, Callable] = {
    "Add": operator.add,
    "Sub": operator.sub,
    "Mul": operator.mul,
    "Div": operator.truediv,
    "Neg": torch.neg,
    "Pow": torch.pow,
    "Exp": torch.exp,
    "Log": torch.log,
    "Sqrt": torch.sqrt,
    "Abs": torch.abs,
    "Clamp": torch.clamp,
    "Where": torch.where,
    "Eq": operator.eq,
    "Ne": operator.ne,
    "Lt": operator.lt,
    "Le": operator.le,
    "Gt": operator.gt,
    "Ge": operator.ge,
    "BitwiseAnd": torch.bitwise_and,
    "BitwiseOr": torch.bitwise_or,
    "BitwiseNot": torch.bitwise_not,
    "Sum": sum_,
    "Mean": torch.mean,
    "Var": torch.var,
    "Max": torch.max,
    "Min": torch.min,
    "MaxDim": torch.max,
    "MinDim": torch.min,
    "ArgMax": torch.argmax,
    "TopK": torch.topk,
    "Reshape": torch.reshape,
    "Permute": torch.permute,
    "Expand": torch.Tensor.expand,
    "Index": operator.getitem,
    "IndexPut": index_put,
    "Cat": lambda dim, *tensors: torch.cat(tensors, dim),
    "Stack": lambda dim, *tensors: torch.stack(tensors, dim),
    "Pad": F.pad,
    "Cast": torch.Tensor.to,
    "Clone": torch.clone,
    "ToDevice": torch.Tensor.to,
    "MatMul": torch.matmul,
    "Linear": F.linear,
    "Unfold": F.unfold,
    "Fold": F.fold,
    "Conv2d": F.conv2d,
    "AvgPool2d": F.avg_pool2d,
    "MaxPool2d": F.max_pool2d,
    "MaxPool2dWithIndices": max_pool2d,
    "Subsample2d": subsample2d,
    "AdaptiveAvgPool2d": F.adaptive_avg_pool2d,
    "Sigmoid": torch.sigmoid,
    "Tanh": torch.tanh,
    "ScaledTanh": scaled_tanh,
    "ReLU": torch.relu,
    "LeakyReLU": F.leaky_relu,
    "Softmax": torch.softmax,
    "LogSoftmax": torch.log_softmax,
    "CrossEntropy": cross_entropy,
    "NLLLoss": nll_loss,
    "BatchNorm": F.batch_norm,
    "LocalResponseNorm": F.local_response_norm,
    "Dropout": dropout,
}


def incomplete(ops: Mapping[str, Any]) -> list[str]:
    """What keeps a registry of ops from being tested: the complaints, none if all is well."""
    complaints = [f"oracle {name} belongs to no op" for name in ORACLES if name not in ops]
    for name, op in ops.items():
        if name not in ORACLES:
            complaints.append(f"{name} has no oracle")
        if not hasattr(op, "samples"):
            complaints.append(f"{name} has no samples")
        elif all(s.raises for s in op.samples(np.random.default_rng(0))):
            complaints.append(f"{name} has no sample that works")
    return complaints
