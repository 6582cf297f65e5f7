"""Homework, checked: a convolution's backward in plain NumPy against numeric gradients.

Nothing here is minicnn's but `numeric_gradient`, which works on any function of arrays.  The
second backward makes the classic mistake (it correlates with the kernel instead of convolving)
and has the right shape: only numbers tell.  The third forgets to sum the bias over the batch.
Takes a second; `--small` is the same.
"""

import argparse

import numpy as np

from minicnn.gradcheck import numeric_gradient


def forward(x, w, b):
    """y[n,o,i,j] = b[o] + sum_cuv w[o,c,u,v] x[n,c,i+u,j+v]: stride 1, no padding."""
    n, _, height, width = x.shape
    out, _, kh, kw = w.shape
    y = np.zeros((n, out, height - kh + 1, width - kw + 1))
    for i in range(y.shape[2]):
        for j in range(y.shape[3]):
            window = x[:, :, i : i + kh, j : j + kw]  # (N, C, kh, kw)
            y[:, :, i, j] = np.einsum("ncuv,ocuv->no", window, w) + b
    return y


def backward(g, x, w, b):
    """(dx, dw, db) for g = dL/dy of y's shape: every window hands its share back."""
    dx, dw = np.zeros_like(x), np.zeros_like(w)
    kh, kw = w.shape[2:]
    for i in range(g.shape[2]):
        for j in range(g.shape[3]):
            here = g[:, :, i, j]  # (N, O)
            dx[:, :, i : i + kh, j : j + kw] += np.einsum("no,ocuv->ncuv", here, w)
            dw += np.einsum("no,ncuv->ocuv", here, x[:, :, i : i + kh, j : j + kw])
    return dx, dw, g.sum((0, 2, 3))


def backward_with_flipped_kernel(g, x, w, b):
    dx, dw, db = backward(g, x, w[:, :, ::-1, ::-1], b)
    return dx, dw, db


def backward_without_the_batch(g, x, w, b):
    dx, dw, _ = backward(g, x, w, b)
    return dx, dw, g[0].sum((1, 2))


def worst_errors(backward):
    """max|analytic - numeric| / max|numeric| of x, w and b."""
    rng = np.random.default_rng(0)  # unequal sizes, so that no mix-up of axes goes unnoticed
    x, w, b = (rng.standard_normal(s) for s in ((2, 3, 6, 5), (4, 3, 3, 2), (4,)))
    g = rng.standard_normal(forward(x, w, b).shape)  # random: ones would hide mistakes
    errors = []
    for array, analytic in zip((x, w, b), backward(g, x, w, b), strict=True):
        numeric = numeric_gradient(lambda: forward(x, w, b), array, upstream=g)
        errors.append(float(np.abs(analytic - numeric).max() / np.abs(numeric).max()))
    return errors


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--small", action="store_true", help="the same")
    parser.parse_args()

    wrong = {}
    for f in (backward, backward_with_flipped_kernel, backward_without_the_batch):
        errors = dict(zip(("dx", "dw", "db"), worst_errors(f), strict=True))
        wrong[f.__name__] = [name for name, error in errors.items() if error > 1e-6]
        figures = ", ".join(f"{name} {error:.1e}" for name, error in errors.items())
        print(f"{f.__name__}: {figures}: {'wrong' if wrong[f.__name__] else 'right'}")

    assert wrong == {
        "backward": [],
        "backward_with_flipped_kernel": ["dx"],
        "backward_without_the_batch": ["db"],
    }


if __name__ == "__main__":
    main()
