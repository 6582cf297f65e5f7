"""Datasets, samplers and DataLoader arguments."""

import numpy as np
import torch
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    random_split,
)


class Squares(Dataset):
    def __init__(self, n, transform=None):
        self.n, self.transform = n, transform

    def __len__(self):
        return self.n

    def __getitem__(self, idx):
        if torch.is_tensor(idx):
            idx = idx.tolist()
        sample = torch.tensor([idx, idx**2], dtype=torch.float32)
        if self.transform:
            sample = self.transform(sample)
        return sample, idx % 2


dataset = Squares(10, transform=lambda t: t / 2)
loader = DataLoader(
    dataset,
    batch_size=4,
    shuffle=False,
    num_workers=0,
    pin_memory=False,
    drop_last=False,
    timeout=0,
    worker_init_fn=None,
    persistent_workers=False,
)
for i, (x, y) in enumerate(loader):
    print(i, x.tolist(), y.tolist())
print(len(loader), len(loader.dataset), loader.batch_size)
x, y = next(iter(loader))
print(x.shape, x.dtype, y.dtype)
loader = DataLoader(dataset, 4, True, drop_last=True)
print(len(loader), sum(len(y) for _, y in loader))
print(
    sorted(int(v) for x, y in DataLoader(dataset, batch_size=3, shuffle=True) for v in x[:, 0] * 2)
)

indices = list(range(len(dataset)))
split = int(np.floor(0.2 * len(dataset)))
train_idx, valid_idx = indices[split:], indices[:split]
train_sampler, valid_sampler = SubsetRandomSampler(train_idx), SubsetRandomSampler(valid_idx)
train_loader = DataLoader(dataset, batch_size=2, sampler=train_sampler, num_workers=0)
valid_loader = DataLoader(dataset, batch_size=2, sampler=valid_sampler)
print(len(train_loader), len(valid_loader), len(train_sampler))
print(sorted(float(v) * 2 for x, _ in train_loader for v in x[:, 0]))
print(list(BatchSampler(SequentialSampler(range(7)), batch_size=3, drop_last=False)))
print(list(BatchSampler(SequentialSampler(range(7)), 3, drop_last=True)))
print(len(BatchSampler(SequentialSampler(range(7)), 3, False)), sorted(RandomSampler(range(5))))
batches = DataLoader(dataset, batch_sampler=BatchSampler(SequentialSampler(dataset), 4, False))
print([len(y) for _, y in batches], len(batches))
both = ConcatDataset([Squares(3), Squares(2)])
print(len(both), [both[i][0].tolist() for i in range(5)])
print(len(Squares(3) + Squares(4)))
train, val = random_split(range(10), [0.8, 0.2], generator=torch.Generator().manual_seed(42))
print(len(train), len(val), sorted([*train, *val]))
print(Subset(dataset, [3, 4])[0][0].tolist())
print(TensorDataset(torch.arange(3), torch.ones(3))[1])


def collate(batch):
    return torch.stack([x for x, _ in batch]), [y for _, y in batch]


x, y = next(iter(DataLoader(dataset, batch_size=2, collate_fn=collate)))
print(x.shape, y)
sample = next(
    iter(
        DataLoader(
            [{"image": np.ones((2, 2), np.float32), "label": 3, "name": "a"}] * 2, batch_size=2
        )
    )
)
print(sample["image"].shape, sample["label"].tolist(), sample["name"])
