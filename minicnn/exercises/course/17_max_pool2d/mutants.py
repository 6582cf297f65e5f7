"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_differences, by_library, from_catalogue

STRIDE = "(kh, kw), (sh, sw) = kernel_size, stride or kernel_size"
MAX = "windows.max(axis=0), rows"
INDEX = "rows * x.shape[3] + columns"
PLACES = "which // kw  # (N, C, oh, ow)\n    columns = sw * np.arange(ow) + which % kw"
WHICH = "windows.argmax(axis=0)"
ADD = "np.add.at(dx, (samples, channels[:, None, None], indices), g)"
BACKWARD = "def max_pool2d_backward(g, x, kernel_size, stride=None):"

BY_MASK = f"""
{BACKWARD}
    (kh, kw), (sh, sw) = kernel_size, stride or kernel_size
    dx = np.zeros(x.shape)
    for i, j in np.ndindex(*g.shape[2:]):
        at = np.s_[:, :, i * sh : i * sh + kh, j * sw : j * sw + kw]
        mask = x[at] == x[at].max(axis=(2, 3), keepdims=True)
        dx[at] += MASK * g[:, :, i : i + 1, j : j + 1]
    return dx
"""

LAST_TIE = "len(windows) - 1 - windows[::-1].argmax(axis=0)"

BACKWARD_LAST_TIE = f"""
{BACKWARD}
    flipped = x[:, :, ::-1, ::-1]
    (kh, kw), (sh, sw), (h, w) = kernel_size, stride or kernel_size, x.shape[2:]
    fit = x[:, :, : (h - kh) // sh * sh + kh, : (w - kw) // sw * sw + kw][:, :, ::-1, ::-1]
    indices = max_pool2d_forward(fit, kernel_size, stride)[1][:, :, ::-1, ::-1]
    dx = np.zeros((*x.shape[:2], fit.shape[2] * fit.shape[3]))
    samples, channels = np.arange(len(x))[:, None, None, None], np.arange(x.shape[1])
    np.add.at(dx, (samples, channels[:, None, None], indices), g)
    whole = np.zeros(x.shape)
    whole[:, :, : fit.shape[2], : fit.shape[3]] = dx.reshape(fit.shape)[:, :, ::-1, ::-1]
    return whole
"""

MUTANTS = [
    Mutant("mean", MAX, MAX.replace("max", "mean")),
    Mutant("minimum", MAX, MAX.replace("max", "min")),
    Mutant("starts-at-zero", MAX, MAX.replace("(axis=0)", "(axis=0, initial=0)")),
    Mutant("absolute", MAX, "abs(windows).max(axis=0), rows"),
    Mutant("default-stride", STRIDE, STRIDE.replace("or kernel_size", "or (1, 1)")),
    Mutant("stride-ignored", STRIDE,
           "(kh, kw), (sh, sw) = kernel_size, (1, 1) if stride else kernel_size"),
    Mutant("stride-is-kernel", STRIDE, "(kh, kw), (sh, sw) = kernel_size, kernel_size"),
    Mutant("stride-swapped", STRIDE,
           "(kh, kw), (sw, sh) = kernel_size, stride or kernel_size[::-1]"),
    Mutant("kernel-swapped", STRIDE, "stride = stride or kernel_size\n"
           f"    kernel_size = kernel_size[::-1]\n    {STRIDE}"),
    Mutant("last-tie", WHICH, LAST_TIE),
    Mutant("index-in-window", INDEX, "which"),
    Mutant("GB068", INDEX, "rows * x.shape[2] + columns"),
    Mutant("GB068", INDEX, "rows * ow + columns"),
    Mutant("GB068", PLACES, PLACES.replace("kw", "kh")),
    Mutant("index-by-columns", INDEX, "columns * x.shape[2] + rows"),
    Mutant("index-without-stride", "sh * np.arange(oh)[:, None] + which // kw  # (N, C, oh, ow)\n"
           "    columns = sw * np", "np.arange(oh)[:, None] + which // kw\n    columns = np"),
    Mutant("index-in-array", INDEX,
           f"np.arange(x[:, :, 0, 0].size).reshape(*x.shape[:2], 1, 1) * x[0, 0].size + {INDEX}"),
    Mutant("type", f", {INDEX}", ""),
    Mutant("value", INDEX, f"{INDEX} + 1"),
    Mutant("shape", MAX, "windows.max(axis=0)[0], rows"),
    Mutant("GB063", ADD, "dx[samples, channels[:, None, None], indices] += g"),
    Mutant("GB063", ADD, "dx[samples, channels[:, None, None], indices] = g"),
    Mutant("GB002", ADD, ADD.replace("), g)", "), -g)")),
    Mutant("GB066", new=BY_MASK.replace("MASK", "np.ones(mask.shape)")),
    Mutant("GB067", new=BY_MASK.replace("MASK", "mask")),
    Mutant("ties-shared", new=BY_MASK.replace("MASK", "mask / mask.sum((2, 3), keepdims=True)")),
    Mutant("last-tie", new=BACKWARD_LAST_TIE),
    Mutant("GB009", "    indices = max", "    x *= 1.1\n    indices = max"),
    by_library("max_pool2d_forward(x, **how)",
               "F.max_pool2d(t(x), **how, return_indices=True)[0].numpy()"),
    by_differences("max_pool2d_backward", "max_pool2d_forward", 1e-6, "[0]"),
    *from_catalogue("max_pool2d", "max_pool2d_backward"),
]  # fmt: skip
