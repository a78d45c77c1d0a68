"""Network definitions that no library ships as we need them: the paper's LeNet and CIFAR-sized ResNets and VGG-16.

Pure ``torch.nn`` modules without weights; ``models`` names them and fills them. Submodules are named as in the authors'
own state dicts, so their checkpoints load unchanged. Each class carries ``input_size``, the (c, h, w) it was made for.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class LeNet(nn.Sequential):
    """The MatConvNet MNIST network that Rafegas & Vanrell (arXiv 1511.05084) decode: 431,080 parameters.

    20@5x5, max-pool, 50@5x5, max-pool, 500@4x4, ReLU, 10@1x1: no activation after the first two convolutions.
    Weights start as 0.01 * randn and biases as zero (``cnn_mnist_init.m``). Input (n, 1, 28, 28) is raw 0-255
    pixels minus the training mean image; output (n, 10) are logits. A larger input of a size for which the last
    map is not 1 x 1 gives (n, 10, h, w).
    """

    input_size = (1, 28, 28)

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(1, 20, 5)
        self.pool1 = nn.MaxPool2d(2)
        self.conv2 = nn.Conv2d(20, 50, 5)
        self.pool2 = nn.MaxPool2d(2)
        self.conv3 = nn.Conv2d(50, 500, 4)
        self.relu = nn.ReLU()
        self.conv4 = nn.Conv2d(500, 10, 1)
        for layer in (self.conv1, self.conv2, self.conv3, self.conv4):
            nn.init.normal_(layer.weight, std=0.01)
            nn.init.zeros_(layer.bias)

    def forward(self, input: Tensor) -> Tensor:
        maps = super().forward(input)
        return maps.flatten(1) if maps.shape[2:] == (1, 1) else maps


class Shortcut(nn.Module):
    """Option A of He et al. (arXiv 1512.03385, section 4.2): every second pixel, new channels zero, no parameters."""

    def __init__(self, channels_in: int, channels_out: int) -> None:
        super().__init__()
        self.missing = channels_out - channels_in

    def forward(self, x: Tensor) -> Tensor:
        x = x[:, :, ::2, ::2]
        before = self.missing // 2
        return F.pad(x, (0, 0, 0, 0, before, self.missing - before))


class BasicBlock(nn.Module):
    """Two 3x3 convolutions with batch normalisation and the residual sum."""

    def __init__(self, channels_in: int, channels_out: int, stride: int) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(channels_in, channels_out, 3, stride=stride, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(channels_out)
        self.relu1 = nn.ReLU()
        self.conv2 = nn.Conv2d(channels_out, channels_out, 3, padding=1, bias=False)
        self.bn2 = nn.BatchNorm2d(channels_out)
        self.shortcut = Shortcut(channels_in, channels_out) if stride != 1 or channels_in != channels_out else nn.Identity()
        self.relu2 = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        inner = self.bn2(self.conv2(self.relu1(self.bn1(self.conv1(x)))))
        return self.relu2(inner + self.shortcut(x))


class CifarResNet(nn.Module):
    """ResNet of depth 6 b + 2 for 32 x 32 images (He et al., section 4.2): stages of 16, 32 and 64 channels.

    The state dict is that of the public checkpoints (github.com/akamaster/pytorch_resnet_cifar10).
    """

    input_size = (3, 32, 32)

    def __init__(self, blocks: int, n_classes: int = 10) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(16)
        self.relu = nn.ReLU()
        channels_in = 16
        for stage, channels in enumerate((16, 32, 64), start=1):
            layers = []
            for block in range(blocks):
                layers.append(BasicBlock(channels_in, channels, stride=2 if stage > 1 and block == 0 else 1))
                channels_in = channels
            self.add_module(f"layer{stage}", nn.Sequential(*layers))
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.linear = nn.Linear(64, n_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.kaiming_normal_(layer.weight)

    def forward(self, x: Tensor) -> Tensor:
        x = self.relu(self.bn1(self.conv1(x)))
        x = self.layer3(self.layer2(self.layer1(x)))
        return self.linear(torch.flatten(self.avgpool(x), 1))


class VGG16Blocks(nn.Module):
    """The first two blocks of VGG-16 (arXiv 1409.1556): four convolutions, in their order 64, 64, 128 and 128 maps. No classifier.

    ``features`` is numbered as torchvision's ``vgg16``.
    """

    input_size = (3, 224, 224)

    def __init__(self) -> None:
        super().__init__()
        one = [nn.Conv2d(3, 64, 3, padding=1), nn.ReLU(), nn.Conv2d(64, 64, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2)]
        two = [nn.Conv2d(64, 128, 3, padding=1), nn.ReLU(), nn.Conv2d(128, 128, 3, padding=1), nn.ReLU()]
        self.features = nn.Sequential(*one, *two)

    def forward(self, x: Tensor) -> Tensor:
        return self.features(x)


class CifarVGG16(nn.Module):
    """VGG-16 with batch normalisation for 32 x 32 images: the thirteen convolutions, global pooling, one linear layer.

    Simonyan & Zisserman (arXiv 1409.1556), configuration D, with the three wide linear layers replaced by a single
    one, as is usual on CIFAR-10 (the last map is 1 x 1 x 512). ``features`` is numbered as torchvision's ``vgg16_bn``.
    """

    input_size = (3, 32, 32)
    plan = (64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M")

    def __init__(self, n_classes: int = 10) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels_in = 3
        for step in self.plan:
            if step == "M":
                layers.append(nn.MaxPool2d(2))
                continue
            layers += [nn.Conv2d(channels_in, step, 3, padding=1), nn.BatchNorm2d(step), nn.ReLU()]
            channels_in = step
        self.features = nn.Sequential(*layers)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.classifier = nn.Linear(512, n_classes)
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(layer.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(torch.flatten(self.avgpool(self.features(x)), 1))


def resnet50_cifar(n_classes: int = 10) -> nn.Module:
    """torchvision's ResNet-50 for 32 x 32 images: a first convolution of 3 x 3 with stride 1 and no pool after it, as is usual there.

    He et al. (arXiv 1512.03385) for the blocks; with the stem for 224 pixels the last map would be a single one.
    """
    from torchvision.models import resnet50

    model = resnet50(weights=None, num_classes=n_classes)
    model.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    nn.init.kaiming_normal_(model.conv1.weight, mode="fan_out", nonlinearity="relu")
    model.maxpool = nn.Identity()
    model.input_size = (3, 32, 32)
    return model
