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

OVERWRITTEN = f"""
{BACKWARD}
    (kh, kw), (sh, sw), (oh, ow) = kernel_size, stride or kernel_size, g.shape[2:]
    y, dx = max_pool2d_forward(x, kernel_size, stride)[0], np.zeros(x.shape)
    for u, v in np.ndindex(kh, kw):
        at = np.s_[:, :, u : u + sh * oh : sh, v : v + sw * ow : sw]
        dx[at] = np.where(x[at] == y, g, dx[at])
    return dx
"""

OVERLAP = (
    "dx is overwritten where windows overlap",
    "several windows may have their maximum at one pixel: add (np.add.at)",
)

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

ROUNDED_UP = f"""{STRIDE}
    x = np.pad(x, [(0, 0), (0, 0), *((0, -(n - k) % s) for n, k, s in
               zip(x.shape[2:], (kh, kw), (sh, sw)))], constant_values=-np.inf)"""

MUTANTS = [
    Mutant("mean", MAX, MAX.replace("max", "mean"), "the mean, not the maximum", "the largest"),
    Mutant("minimum", MAX, MAX.replace("max", "min"),
           "the minimum, not the maximum", "the largest"),
    Mutant("starts-at-zero", MAX, MAX.replace("(axis=0)", "(axis=0, initial=0)"),
           "0 where all pixels of the window are negative",
           "begin with the first pixel, or with -np.inf, not with 0"),
    Mutant("absolute", MAX, "abs(windows).max(axis=0), rows",
           "the largest without its sign", "-3 is smaller than 1"),
    Mutant("default-stride", STRIDE, STRIDE.replace("or kernel_size", "or (1, 1)"),
           "stride 1 where no stride is given", "stride None means the kernel_size"),
    Mutant("stride-ignored", STRIDE,
           "(kh, kw), (sh, sw) = kernel_size, (1, 1) if stride else kernel_size",
           "the stride is ignored", "window (i, j) begins at row i sh, column j sw"),
    Mutant("stride-is-kernel", STRIDE, "(kh, kw), (sh, sw) = kernel_size, kernel_size",
           "the stride is ignored", "the kernel_size is only the default"),
    Mutant("stride-swapped", STRIDE,
           "(kh, kw), (sw, sh) = kernel_size, stride or kernel_size[::-1]",
           "sh and sw are swapped", "(rows, columns)"),
    Mutant("kernel-swapped", STRIDE, "stride = stride or kernel_size\n"
           f"    kernel_size = kernel_size[::-1]\n    {STRIDE}",
           "kh and kw are swapped", "(rows, columns)"),
    Mutant("rounded-up", STRIDE, ROUNDED_UP,
           "windows that stick out are kept", "the remainder is left out: //"),
    Mutant("last-tie", WHICH, LAST_TIE, "the last of equal maxima", "the first one, row by row"),
    Mutant("index-in-window", INDEX, "which", "places inside the window", "h*W + w in the plane"),
    Mutant("GB068", INDEX, "rows * x.shape[2] + columns",
           "h times H, not h times W", "a row has W pixels"),
    Mutant("GB068", INDEX, "rows * ow + columns",
           "h times ow, not h times W", "a row of x has W pixels"),
    Mutant("GB068", PLACES, PLACES.replace("kw", "kh"),
           "the place in the window taken apart with kh",
           "a row of the window has kw pixels: u = p // kw, v = p % kw"),
    Mutant("index-by-columns", INDEX, "columns * x.shape[2] + rows",
           "pixels are counted column by column", "row by row: h*W + w"),
    Mutant("index-without-stride", "sh * np.arange(oh)[:, None] + which // kw  # (N, C, oh, ow)\n"
           "    columns = sw * np", "np.arange(oh)[:, None] + which // kw\n    columns = np",
           "the stride is missing in the place", "h = i*sh + u, w = j*sw + v"),
    Mutant("index-in-array", INDEX,
           f"np.arange(x[:, :, 0, 0].size).reshape(*x.shape[:2], 1, 1) * x[0, 0].size + {INDEX}",
           "pixels are counted through all samples and channels", "every plane (H, W) begins at 0"),
    Mutant("type", f", {INDEX}", ""),
    Mutant("value", INDEX, f"{INDEX} + 1"),
    Mutant("shape", MAX, "windows.max(axis=0)[0], rows"),
    Mutant("GB063", ADD, "dx[samples, channels[:, None, None], indices] += g",
           *OVERLAP),
    Mutant("GB063", ADD, "dx[samples, channels[:, None, None], indices] = g",
           *OVERLAP),
    Mutant("GB063", "", OVERWRITTEN, *OVERLAP),
    Mutant("GB002", ADD, ADD.replace("), g)", "), -g)")),
    Mutant("GB066", new=BY_MASK.replace("MASK", "np.ones(mask.shape)")),
    Mutant("GB067", new=BY_MASK.replace("MASK", "mask"),
           title="every one of the equal pixels receives the whole of g",
           where="the first of them only"),
    Mutant("ties-shared", new=BY_MASK.replace("MASK", "mask / mask.sum((2, 3), keepdims=True)"),
           title="the equal pixels of a tie share g",
           where="a choice that others make too; here the first one counts, as in PyTorch"),
    Mutant("last-tie", new=BACKWARD_LAST_TIE,
           title="the last of the equal pixels receives g", where="the first one, row by row"),
    Mutant("GB009", "    indices = max", "    x *= 1.1\n    indices = max"),
    by_library("max_pool2d_forward(x, **how)",
               "F.max_pool2d(t(x), **how, return_indices=True)[0].numpy()"),
    by_differences("max_pool2d_backward", "max_pool2d_forward", 1e-6, "[0]"),
    *from_catalogue("max_pool2d", "max_pool2d_backward"),
]  # fmt: skip
