"""The LeNets that tutorials use, and one with the 1998 paper's trainable subsampling.

Each class says what it expects: input_shape (C, H, W), and the values of a background and an ink
pixel.  `minicnn.models.prepare` brings images of pixels in [0, 1] there.
"""

from collections.abc import Callable

from ..autograd import Tensor
from ..nn import (
    AvgPool2d,
    Conv2d,
    Flatten,
    Linear,
    MaxPool2d,
    Module,
    ReLU,
    ScaledTanh,
    Sequential,
    Sigmoid,
    Subsample2d,
    Tanh,
    init,
)


class _LeNet(Module):
    """Two convolutions, each with an activation and pooling, then three linear layers.

    `between` is whether activations stand between the linear layers too.
    """

    input_shape = (1, 28, 28)
    background, ink = 0.0, 1.0

    def __init__(
        self,
        num_classes: int,
        activation: Callable[[], Module],
        pool: Callable[[int], Module] = MaxPool2d,
        maps: tuple[int, int] = (6, 16),
        between: bool = True,
    ) -> None:
        super().__init__()
        channels, height, _ = self.input_shape
        first, second = maps
        self.features = Sequential(
            Conv2d(channels, first, 5, padding=(32 - height) // 2), activation(), pool(2),
            Conv2d(first, second, 5), activation(), pool(2),
        )  # fmt: skip
        linear: list[Module] = [Linear(second * 25, 120), Linear(120, 84), Linear(84, num_classes)]
        for place in (2, 1) if between else ():
            linear.insert(place, activation())
        self.head = Sequential(Flatten(), *linear)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) -> logits (N, num_classes)."""
        return self.head(self.features(input))


class LeNet(_LeNet):
    """LeNet with today's parts, ReLU and max pooling: 61,706 parameters.  The default model."""

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes, ReLU)


class SigmoidLeNet(_LeNet):
    """Sigmoid and average pooling; no activation between the linear layers: 61,706 parameters.

    With sigmoid_head it is the LeNet of "Dive into Deep Learning" (section 7.6), sigmoids
    between the linear layers too.
    """

    def __init__(self, num_classes: int = 10, sigmoid_head: bool = False) -> None:
        super().__init__(num_classes, Sigmoid, AvgPool2d, between=sigmoid_head)


class TanhLeNet(_LeNet):
    """Tanh and max pooling on 32 x 32 images, as Keras tutorials have it: 61,706 parameters."""

    input_shape = (1, 32, 32)

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__(num_classes, Tanh)


class ColourLeNet(_LeNet):
    """ReLU and max pooling on 3 x 32 x 32 images: 121,182 parameters with 10 classes.

    init_weights starts from Xavier's uniform weights and zero biases instead of the default.
    """

    input_shape = (3, 32, 32)

    def __init__(self, num_classes: int = 10, init_weights: bool = False) -> None:
        super().__init__(num_classes, ReLU, maps=(16, 32))
        if init_weights:
            self.apply(_xavier)


def _xavier(module: Module) -> None:
    if isinstance(module, (Conv2d, Linear)):
        init.xavier_uniform_(module.weight)
        if module.bias is not None:
            init.zeros_(module.bias)


class LeNet5(Module):
    """C1-S2-C3-S4-C5-F6 with trainable subsampling and scaled tanh, and a softmax head: 61,750.

    The 1998 paper's network but for two things: C3 sees all maps of S2 (the paper connects 60 of
    96), and the output is linear, for cross-entropy (the paper has radial basis functions).
    Weights start uniform in +-2.4/fan_in, biases at 0, which the paper leaves open.
    Source: LeCun, Bottou, Bengio, Haffner 1998, section II.B.
    """

    input_shape = (1, 32, 32)
    background, ink = -0.1, 1.175

    def __init__(self, num_classes: int = 10) -> None:
        super().__init__()
        self.c1 = Conv2d(1, 6, 5)  # 6 x 28 x 28
        self.s2 = Subsample2d(6, 2)  # 6 x 14 x 14
        self.c3 = Conv2d(6, 16, 5)  # 16 x 10 x 10
        self.s4 = Subsample2d(16, 2)  # 16 x 5 x 5
        self.c5 = Conv2d(16, 120, 5)  # 120 x 1 x 1
        self.f6 = Linear(120, 84)
        self.output = Linear(84, num_classes)
        self.squash = ScaledTanh()
        for layer in (self.c1, self.c3, self.c5, self.f6, self.output):
            init.lecun_1998_(layer.weight)
            if layer.bias is not None:
                init.zeros_(layer.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, 1, 32, 32) -> logits (N, num_classes)."""
        x = input
        for layer in (self.c1, self.s2, self.c3, self.s4, self.c5):
            x = self.squash(layer(x))
        x = self.squash(self.f6(x.flatten(1)))
        return self.output(x)
