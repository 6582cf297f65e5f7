"""Mistakes that the checker of this exercise must name."""

from minicnn.exercises.mutants import Mutant, by_differences, by_library, from_catalogue

SIGNATURE = "x, weight, bias, stride=(1, 1), padding=(0, 0), dilation=(1, 1), groups=1"
BIAS = "y + bias[:, None, None]"
MADE = "(rows @ columns).reshape(n, o, oh, ow)  # (N, groups, O/groups, L)"
ADD = "tap += columns[:, :, k]  # a view: this changes padded"
CROP = "padded[:, :, ph : ph + h, pw : pw + w]"
FORWARD = "n, o, kernel_size = len(x), len(weight), weight.shape[2:]"  # where forward begins

BY_COMPLEX_STEP = f"""
def conv2d_backward(g, {SIGNATURE}):
    gradients = []
    for k, a in enumerate((x, weight, bias)):
        d = np.zeros(a.shape)
        for i in np.ndindex(a.shape):
            inputs = [x, weight, bias]
            inputs[k] = a.astype(complex)
            inputs[k][i] += 1e-30j
            d[i] = (g * conv2d_forward(*inputs, stride, padding, dilation, groups)).sum().imag
        gradients.append(d / 1e-30)
    return tuple(gradients)
"""

MUTANTS = [
    Mutant("bias-missing", BIAS, "y",
           "the bias is not added", "bias[o] is added everywhere in map o"),
    Mutant("bias-per-column", BIAS, "y + bias",
           "the bias runs along the columns of the maps", "bias[:, None, None] is (O, 1, 1)"),
    Mutant("kernel-flipped", FORWARD, f"weight = weight[:, :, ::-1, ::-1]\n    {FORWARD}",
           "the kernel is flipped", "weight[o,c,u,v] meets entry (u, v) of the window"),
    Mutant("kernel-swapped", FORWARD,
           f"weight = weight.swapaxes(2, 3).reshape(weight.shape)\n    {FORWARD}",
           "u and v are swapped", "columns and rows of W in the same order (c, u, v)"),
    Mutant("channels-swapped", FORWARD,
           f"if groups == 1:\n        weight = weight.swapaxes(0, 1)\n    {FORWARD}",
           "O and C are swapped", "axis 0 of weight has the filters"),
    Mutant("rows-channels-last", FORWARD,
           f"weight = weight.transpose(0, 2, 3, 1).reshape(weight.shape)\n    {FORWARD}",
           "the orders (c, u, v) and (u, v, c) are mixed",
           "columns and rows of W in the same order (c, u, v)"),
    Mutant("rows-channels-last", FORWARD, "o, c, kh, kw = weight.shape\n    weight = "
           f"weight.reshape(o, kh, kw, c).transpose(0, 3, 1, 2)\n    {FORWARD}",
           "the orders (c, u, v) and (u, v, c) are mixed",
           "columns and rows of W in the same order (c, u, v)"),
    Mutant("axes-mixed", MADE, "(rows @ columns).swapaxes(2, 3).reshape(n, o, oh, ow)",
           "the product is reshaped before its axes are in order",
           "(N, O, L), then reshape; reshape moves nothing"),
    Mutant("axes-mixed", BIAS, "(y + bias[:, None, None]).transpose(0, 2, 3, 1).reshape(y.shape)",
           "the product is reshaped before its axes are in order",
           "(N, O, L), then reshape; reshape moves nothing"),
    Mutant("windows-by-columns", MADE,
           "(rows @ columns).reshape(n, o, ow, oh).swapaxes(2, 3).reshape(n, o, oh, ow)",
           "windows are counted column by column", "l = i ow + j"),
    Mutant("group-0-only", MADE, "(rows[:1] @ columns).reshape(n, o, oh, ow)",
           "all groups have the weights of group 0", "W is (groups, O/groups, K)"),
    Mutant("stride-swapped", FORWARD, f"stride = stride[::-1]\n    {FORWARD}",
           "rows and columns of stride are swapped", "(rows, columns)"),
    Mutant("padding-swapped", FORWARD, f"padding = padding[::-1]\n    {FORWARD}",
           "rows and columns of padding are swapped", "(rows, columns)"),
    Mutant("dilation-swapped", FORWARD, f"dilation = dilation[::-1]\n    {FORWARD}",
           "rows and columns of dilation are swapped", "(rows, columns)"),
    Mutant("stride-ignored", FORWARD, f"stride = (1, 1)\n    {FORWARD}",
           "stride is ignored", "im2col"),
    Mutant("padding-ignored", FORWARD, f"padding = (0, 0)\n    {FORWARD}",
           "padding is ignored", "im2col"),
    Mutant("dilation-ignored", FORWARD, f"dilation = (1, 1)\n    {FORWARD}",
           "dilation is ignored", "im2col"),
    Mutant("value", BIAS, "2 * y + bias[:, None, None]"),
    Mutant("shape", BIAS, f"({BIAS}).reshape(n, o, oh * ow)"),
    Mutant("GB044", ADD, "tap[...] = columns[:, :, k]",
           "col2im assigns instead of adds",
           "+= where several windows cover a pixel"),
    Mutant("GB048", CROP, "padded"),
    Mutant("GB048", CROP, "padded[:, :, :h, :w]"),
    Mutant("GB018", ".sum(axis=0)  # like rows", ".mean(axis=0)  # like rows"),
    Mutant("GB009", "    dcolumns = (", "    weight *= 0.9\n    dcolumns = ("),
    by_library("conv2d_forward(x, weight, bias, **how)",
               "F.conv2d(t(x), t(weight), t(bias), **how).numpy()"),
    by_differences("conv2d_backward", "conv2d_forward", 1e-4),
    Mutant("differences", new=BY_COMPLEX_STEP),
    # float64 is right here, where the inputs are float64 too
    *from_catalogue("conv2d", "conv2d_backward", skip=["dx gathered in float64"]),
]  # fmt: skip
