"""AlexNet for images of one channel, as tutorials train it on Fashion-MNIST."""

from ..autograd import Tensor
from ..nn import Conv2d, Dropout, Flatten, Linear, MaxPool2d, Module, ReLU, Sequential


class AlexNet(Module):
    """AlexNet on 1 x 227 x 227: 58,299,082 parameters, 56,885,962 with groups=2.

    groups=2 splits convolutions 2, 4 and 5 as the paper did over two GPUs.  Local response
    normalisation is left out, as tutorials do.
    Source: Krizhevsky, Sutskever, Hinton 2012; shapes from its figure 2 with 227 for 224.
    """

    input_shape = (1, 227, 227)
    background, ink = 0.0, 1.0
    resizes = True  # images are interpolated to this size, as the tutorials do

    def __init__(self, num_classes: int = 10, groups: int = 1) -> None:
        super().__init__()
        self.features = Sequential(
            Conv2d(1, 96, 11, stride=4), ReLU(), MaxPool2d(3, 2),  # 96 x 27 x 27
            Conv2d(96, 256, 5, padding=2, groups=groups), ReLU(), MaxPool2d(3, 2),  # 256 x 13 x 13
            Conv2d(256, 384, 3, padding=1), ReLU(),
            Conv2d(384, 384, 3, padding=1, groups=groups), ReLU(),
            Conv2d(384, 256, 3, padding=1, groups=groups), ReLU(), MaxPool2d(3, 2),  # 256 x 6 x 6
        )  # fmt: skip
        self.head = Sequential(
            Flatten(),
            Linear(9216, 4096), ReLU(), Dropout(0.5),
            Linear(4096, 4096), ReLU(), Dropout(0.5),
            Linear(4096, num_classes),
        )  # fmt: skip

    def forward(self, input: Tensor) -> Tensor:
        """(N, 1, 227, 227) -> logits (N, num_classes)."""
        return self.head(self.features(input))
