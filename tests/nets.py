"""Small networks of known make, for `py:nets:...`."""

import itertools

import torch
from torch import nn
from torch.nn import functional


def tiny() -> nn.Module:
    """A CNN with BatchNorm, ReLU6 and a depthwise convolution: 32 x 32 pixels, 5 classes."""
    torch.manual_seed(7)
    net = nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2, padding=1, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Conv2d(16, 16, 3, padding=1, groups=16, bias=False),
        nn.BatchNorm2d(16),
        nn.ReLU6(),
        nn.Conv2d(16, 32, 1),
        nn.ReLU(),
        nn.AdaptiveAvgPool2d(1),
        nn.Flatten(),
        nn.Linear(32, 5),
    )
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):  # statistics that a trained network could have
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.2, 1.5)
    return net


def features() -> nn.Module:
    """32 features of an image, and no classes."""
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(3, 16, 3, stride=2), nn.ReLU(), nn.Conv2d(16, 32, 3), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten()
    )


def tiny_attention(classes: int = 5) -> nn.Module:
    """A Vision Transformer: 32 x 32 pixels, 5 classes."""
    from timm.models import VisionTransformer

    torch.manual_seed(7)
    return VisionTransformer(img_size=32, patch_size=8, embed_dim=48, depth=2, num_heads=3, num_classes=classes)


def attention_features() -> nn.Module:
    """The same without classes: 48 features."""
    return tiny_attention(0)


def tiny_softmax() -> nn.Module:
    """`tiny` with a softmax, and no weights more."""
    return nn.Sequential(*tiny(), nn.Softmax(1))


def not_a_module() -> str:
    return "not a module"


def segmenter() -> nn.Module:
    return nn.Conv2d(3, 2, 1)


class ColourMap(nn.Module):
    """For each 2 x 2 pixels: nothing, red or blue."""

    def __init__(self) -> None:
        super().__init__()
        self.pool, self.scores = nn.AvgPool2d(2), nn.Conv2d(3, 3, 1)
        with torch.no_grad():
            self.scores.weight.copy_(torch.tensor([[0.0, 0, 0], [2, -1, -1], [-1, -1, 2]])[..., None, None])
            self.scores.bias.copy_(torch.tensor([1.0, 0, 0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.scores(self.pool(x))  # type: ignore[no-any-return]


def colour_map() -> nn.Module:
    return ColourMap()


class ColourBoxes(nn.Module):
    """A box around the middle of every 8 x 8 pixels, and how red and how blue these are."""

    def __init__(self) -> None:
        super().__init__()
        self.scores = nn.Conv2d(3, 2, 8, 8)
        with torch.no_grad():
            channels = torch.tensor([[1.0, -0.5, -0.5], [-0.5, -0.5, 1.0]]) / 64
            self.scores.weight.copy_(channels[..., None, None].expand(-1, -1, 8, 8))
            self.scores.bias.fill_(-2)

    def forward(self, x: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        scores = self.scores(x).sigmoid()
        rows, columns = (torch.arange(side) * 8.0 + 4 for side in scores.shape[2:])
        middles = torch.stack(torch.meshgrid(columns, rows, indexing="xy"), -1).flatten(0, 1)
        half = 3 + 4 * scores.flatten(2).transpose(1, 2).sum(2, keepdim=True)
        return torch.cat([middles - half, middles + half], 2), scores.flatten(2).transpose(1, 2)


def colour_boxes() -> nn.Module:
    return ColourBoxes()


def takes_one_channel() -> nn.Module:
    return nn.Sequential(nn.Conv2d(1, 2, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def averaged() -> nn.Module:
    """3 classes without a last linear layer: a convolution, averaged over places."""
    return nn.Sequential(nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 3, 1), nn.AdaptiveAvgPool2d(1), nn.Flatten())


def grey() -> nn.Module:
    """The first network that read digits goes this way: one channel, tanh, 5 classes."""
    torch.manual_seed(5)
    return nn.Sequential(
        nn.Conv2d(1, 6, 5, 2), nn.Tanh(), nn.Conv2d(6, 8, 5, 2), nn.Tanh(), nn.Flatten(), nn.Linear(200, 5)
    )


class Spectrum(nn.Module):
    """What litert-torch cannot convert: a spectrum."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.fft.fft2(x).abs().mean((2, 3))


def spectrum() -> nn.Module:
    return Spectrum()


class Deciding(nn.Module):
    """What no tracer can follow: a decision about values."""

    def __init__(self) -> None:
        super().__init__()
        self.head = nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pooled = x.mean((2, 3))
        return self.head(pooled) if pooled.sum() > 0 else -self.head(pooled)


def deciding() -> nn.Module:
    return Deciding()


class Bottlenecks(nn.Module):
    """A stem, a depthwise layer and two linear bottlenecks with a residual addition; channels of very uneven size."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.bn = nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8)
        self.deep = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.down = nn.Conv2d(8, 6, 1)
        self.up, self.again = nn.Conv2d(6, 8, 1), nn.Conv2d(8, 6, 1)
        self.last, self.head = nn.Conv2d(6, 16, 1), nn.Linear(16, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.deep(functional.relu6(self.bn(self.stem(x)))).relu()
        x = self.down(x)
        x = x + self.again(self.up(x).relu())
        return self.head(self.last(x).relu().mean((2, 3)))


def bottlenecks() -> nn.Module:
    torch.manual_seed(7)
    net = Bottlenecks().eval()
    with torch.no_grad():
        net.bn.weight *= torch.logspace(-2, 0, 8)
        net.deep.weight /= torch.logspace(-2, 0, 8).view(-1, 1, 1, 1)
        net.down.weight *= torch.logspace(-2, 0, 6).view(-1, 1, 1, 1)
        net.again.weight *= torch.logspace(-2, 0, 6).view(-1, 1, 1, 1)
        net.up.weight /= torch.logspace(-2, 0, 6).view(1, -1, 1, 1)
        net.last.weight /= torch.logspace(-2, 0, 6).view(1, -1, 1, 1)
    return net


class Upsampling(nn.Module):
    """The ways that segmenters go: a transposed convolution with BatchNorm, a join, a BatchNorm of its own, PReLU."""

    def __init__(self) -> None:
        super().__init__()
        self.down = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU())
        self.up = nn.ConvTranspose2d(8, 6, 2, 2, bias=False)
        self.up_norm = nn.BatchNorm2d(6)
        self.norm, self.act = nn.BatchNorm2d(9), nn.PReLU(9)
        self.head = nn.Conv2d(9, 5, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        up = self.up_norm(self.up(self.down(x))).relu()
        return self.head(self.act(self.norm(torch.cat([x, up], 1)))).mean((2, 3))


def upsampling() -> nn.Module:
    """`Upsampling`, 32 x 32 pixels, 5 classes."""
    torch.manual_seed(7)
    net = Upsampling()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.2, 1.5)
    return net


class Shared(nn.Module):
    """One convolution that runs twice."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 3, 3, padding=1), nn.Linear(3, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(self.conv(x)).mean((2, 3)))


def padded_pool() -> nn.Module:
    """A MaxPool with padding, whose padding is minus infinity."""
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU(), nn.MaxPool2d(3, 2, 1), nn.Conv2d(8, 16, 3), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip


def dropping() -> nn.Module:
    """`tiny` with dropout before its head."""
    *body, head = tiny()
    return nn.Sequential(*body, nn.Dropout(0.2), head)


def ending(last: nn.Module | None = None, classes: int = 5) -> nn.Module:
    """A small net whose logits are far enough apart to tell softmax from none, and what follows them."""
    torch.manual_seed(7)
    head = nn.Linear(16, classes)
    nn.init.normal_(head.weight, std=3.0)
    net = nn.Sequential(nn.Conv2d(3, 16, 3, 4), nn.ReLU(), nn.AdaptiveAvgPool2d(1), nn.Flatten(), head)
    return nn.Sequential(*net, last) if last else net


def ends_in_softmax() -> nn.Module:
    return ending(nn.Softmax(1))


def ends_in_log_softmax() -> nn.Module:
    return ending(nn.LogSoftmax(1))


def ends_in_sigmoid() -> nn.Module:
    return ending(nn.Sigmoid())


def one_logit() -> nn.Module:
    return ending(classes=1)


def untrained() -> nn.Module:
    """`tiny` whose head begins at zero, as some are made."""
    net = tiny()
    nn.init.zeros_(net[-1].weight)
    return net


def weight_normed() -> nn.Module:
    """`tiny` with weights that a hook computes before each call."""
    net = tiny()
    for i in (0, 6, 10):
        net[i] = nn.utils.weight_norm(net[i])
    return net


class Largest(nn.Module):
    """What litert-torch converts and LiteRT has no kernel for: the eight largest of each channel."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.head = nn.Conv2d(3, 4, 3, 4), nn.Linear(4, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.head(self.conv(x).flatten(2).sort(2).values[..., -8:].mean(2))


def largest() -> nn.Module:
    return nn.Sequential(nn.Identity(), Largest())


class Dying(nn.Module):
    """`tiny` with a branch whose activations are as good as dead, and whose last bias is not."""

    def __init__(self) -> None:
        super().__init__()
        self.body = tiny()
        self.faint, self.last = nn.Conv2d(3, 4, 3, 4), nn.Linear(4, 5)
        with torch.no_grad():
            self.faint.weight *= 1e-13
            self.faint.bias *= 1e-13
            self.last.bias.copy_(torch.tensor([2.0, -2.0, 1.0, 3.0, -1.0]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.body(x) + self.last(self.faint(x).relu().mean((2, 3)))


def dying() -> nn.Module:
    return Dying()


def embedder() -> nn.Module:
    """`tiny` without its classes: 16 features of an image."""
    torch.manual_seed(11)
    convolutions = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6(), nn.Conv2d(8, 16, 3, 2, 1), nn.ReLU6())
    return nn.Sequential(convolutions, nn.AdaptiveAvgPool2d(1), nn.Flatten())


class Roads(nn.Module):
    """A segmenter of colours, 3 classes at half the size: its scores follow what is red, green or blue."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(12)
        self.body = nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.ReLU6())
        self.head = nn.Conv2d(8, 3, 1)
        with torch.no_grad():
            self.body[0].weight.mul_(0.2)
            for channel in range(3):
                self.body[0].weight[channel, channel] += 0.5
            self.head.weight.copy_(4 * torch.eye(3, 8)[..., None, None])

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"out": self.head(self.body(x)), "aux": x.mean((2, 3))}


def roads() -> nn.Module:
    return Roads()


class Depth(nn.Module):
    """A map, and how sure it is."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(13)
        self.body, self.head = nn.Conv2d(3, 6, 3, 2, 1), nn.Conv2d(6, 1, 1)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        features = self.body(x).relu()
        return {"depth": self.head(features)[:, 0], "sure": features.mean((2, 3)).sigmoid()}


def depth() -> nn.Module:
    return Depth()


class Layer(nn.Module):
    """One that says where it reads."""

    def __init__(self, number, reads, part):
        super().__init__()
        self.i, self.f, self.part = number, reads, part

    def forward(self, x):
        return self.part(torch.cat(x, 1) if isinstance(x, list) else x)


class Heads(nn.Module):
    def __init__(self, number, reads, width, bins=4, classes=3):
        super().__init__()
        self.i, self.f, self.reg_max = number, reads, bins
        self.cv2 = nn.ModuleList(nn.Conv2d(width, 4 * bins, 1) for _ in reads)
        self.cv3 = nn.ModuleList(nn.Conv2d(width, classes, 1) for _ in reads)


class Walked(nn.Module):
    """As Ultralytics' DetectionModel is laid out."""

    def __init__(self):
        super().__init__()
        half = nn.MaxPool2d(2)
        joined = nn.Conv2d(16, 8, 1)
        layers = [
            Layer(0, -1, nn.Conv2d(3, 8, 8, 8)), Layer(1, -1, nn.Conv2d(8, 8, 2, 2)), Layer(2, 0, half),
            Layer(3, [-1, 1], joined), Heads(4, [0, 3], 8),
        ]  # fmt: skip
        self.model, self.save, self.names = nn.Sequential(*layers), [0, 1, 3], {0: "a", 1: "b", 2: "c"}

    def forward(self, x):
        return x


def walked() -> nn.Module:
    torch.manual_seed(7)
    return Walked()


class _Clips(nn.Module):
    """Every layer over time that there is a form for: split in two, whole, in groups, pools, a gate, a join, a mean."""

    def __init__(self, classes: int = 5) -> None:
        super().__init__()
        self.split = nn.Sequential(
            nn.Conv3d(3, 12, (1, 3, 3), (1, 2, 2), (0, 1, 1), bias=False),
            nn.BatchNorm3d(12),
            nn.ReLU(),
            nn.Conv3d(12, 16, (3, 1, 1), padding=(1, 0, 0), bias=False),
            nn.BatchNorm3d(16),
            nn.ReLU6(),
        )
        self.whole = nn.Conv3d(16, 16, 3, stride=(2, 1, 1), padding=1)
        self.grouped = nn.Conv3d(16, 16, 3, padding=1, groups=16, bias=False)
        self.norm = nn.BatchNorm3d(16)
        self.pool = nn.MaxPool3d((3, 3, 3), (1, 2, 2), 1)
        self.mean = nn.AvgPool3d((2, 2, 2), (1, 1, 1), count_include_pad=False)
        self.gate = nn.Sequential(nn.AdaptiveAvgPool3d(1), nn.Conv3d(16, 16, 1), nn.Hardsigmoid())
        self.head = nn.Linear(32, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.relu(self.whole(self.split(x)))
        x = x + functional.relu(self.norm(self.grouped(x)))
        x = x * self.gate(x)
        a, b = self.mean(self.pool(x)), self.mean(-self.pool(-x))
        return self.head(torch.cat([a, b], dim=1).mean((2, 3, 4)))


def clips() -> nn.Module:
    """A network that takes clips, [n, 3, 8, 24, 24], and has layers over time."""
    torch.manual_seed(7)
    net = _Clips()
    for module in net.modules():
        if isinstance(module, nn.BatchNorm3d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.2, 1.5)
    return net


class _Shifted(nn.Module):
    """A TSM (Lin et al. 2019, https://arxiv.org/abs/1811.08383) in miniature: two-dimensional, but it sees clips."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.stem = nn.Sequential(nn.Conv2d(3, 16, 3, 2, 1), nn.ReLU6())
        self.blocks = nn.ModuleList(
            nn.Sequential(
                nn.Conv2d(16, 32, 1),
                nn.ReLU6(),
                nn.Conv2d(32, 32, 3, 1, 1, groups=32),
                nn.ReLU6(),
                nn.Conv2d(32, 16, 1),
            )
            for _ in range(2)
        )
        self.last = nn.Sequential(nn.Conv2d(16, 24, 1), nn.ReLU())
        self.head = nn.Linear(24, classes)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        n, _, t, _, _ = x.shape
        x = self.stem(x.transpose(1, 2).flatten(0, 1))
        for block in self.blocks:
            x = x + block(shifted(x, t))
        return self.head(self.last(x).mean((2, 3)).unflatten(0, (n, t)).mean(1))


def shifted(x: torch.Tensor, frames: int) -> torch.Tensor:
    """Frames [n * t, c, h, w] with an eighth of the channels from the next frame, and an eighth from the last."""
    part = x.shape[1] // 8
    clips = x.unflatten(0, (-1, frames))
    after = functional.pad(clips[:, 1:, :part], (0, 0, 0, 0, 0, 0, 0, 1))
    before = functional.pad(clips[:, :-1, part : 2 * part], (0, 0, 0, 0, 0, 0, 1, 0))
    return torch.cat([after, before, clips[:, :, 2 * part :]], 2).flatten(0, 1)


def tsm() -> nn.Module:
    """A TSM for clips [n, 3, 8, 24, 24]."""
    torch.manual_seed(7)
    return _Shifted(5)


class _Brightening(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.layer = nn.Conv3d(3, 2, (8, 1, 1), bias=False)
        ramp = torch.linspace(-1, 1, 8).view(1, 8, 1, 1).expand(3, 8, 1, 1)
        self.layer.weight.data = torch.stack([ramp, -ramp])

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.layer(x).mean((2, 3, 4))


def brightening() -> nn.Module:
    """Whether a clip [n, 3, 8, h, w] grows brighter or darker: two classes that only the order of its frames tells."""
    return _Brightening()


class Listed(nn.Module):
    """Layers in lists of lists, whose ReLUs share their zero: 32 x 32 pixels, 5 classes."""

    def __init__(self) -> None:
        super().__init__()
        self.stem = nn.Conv2d(3, 8, 3, 2, 1)
        self.blocks = nn.ModuleList(
            nn.ModuleList([nn.Conv2d(8, 8, 3, padding=1), nn.Conv2d(8, 8, 1)]) for _ in range(3)
        )
        self.heads = nn.ModuleDict({"one": nn.Linear(8, 5), "other": nn.Linear(8, 5)})

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        for block in self.blocks:
            for conv in block:
                x = conv(x).relu()
        pooled = x.mean((2, 3))
        return self.heads["one"](pooled) + self.heads["other"](pooled)


def listed() -> nn.Module:
    torch.manual_seed(7)
    net = Listed()
    for layer in net.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(layer.weight)
            nn.init.zeros_(layer.bias)
    return net


def planted(seed: int = 0) -> nn.Module:
    """Six layers, one of which bears no eight bits: large weights, on a channel that is always 0, make its grid as coarse as what
    matters. `planted(seed).bad` is its path; tanh keeps channels from being equalised. 32 x 32 pixels, 5 classes."""
    torch.manual_seed(seed)
    widths = (3, 8, 8, 8, 8)
    body = [m for i, o in itertools.pairwise(widths) for m in (nn.Conv2d(i, o, 3, 2, 1), nn.Tanh())]
    net = nn.Sequential(*body, nn.Flatten(), nn.Linear(32, 16), nn.Tanh(), nn.Linear(16, 5))
    layers = [(name, m) for name, m in net.named_modules() if isinstance(m, nn.Conv2d | nn.Linear)]
    for _, layer in layers:
        nn.init.kaiming_normal_(layer.weight, a=0.5)
    place = 2 + seed % 3
    (_, before), (net.bad, bad) = layers[place - 1 : place + 1]
    with torch.no_grad():
        before.weight[0], before.bias[0] = 0, 0
        bad.weight[:, 0] = 30
    return net


class Chaotic(nn.Module):
    """Makes each rounding of its sums 500 times as large: the logistic map doubles what lies between two numbers."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(7)
        self.features = nn.Sequential(nn.Conv2d(3, 48, 4, stride=4), nn.ReLU(), nn.Flatten(), nn.Linear(48 * 64, 64))
        self.scores = nn.Linear(64, 5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = torch.sigmoid(4 * self.features(x))
        for _ in range(9):
            y = 4 * y * (1 - y)
        return self.scores(y)  # type: ignore[no-any-return]


def chaotic() -> nn.Module:
    return Chaotic()


def multiplied() -> nn.Module:
    """A convolution with two outputs for each of its inputs, which it sees alone, and a depthwise one: 32 x 32 pixels, 5 classes."""
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(3, 8, 3, 2), nn.ReLU(), nn.Conv2d(8, 16, 3, groups=8), nn.ReLU(), nn.Conv2d(16, 16, 3, groups=16), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip


def ragged() -> nn.Module:
    """A depthwise convolution of 20 channels, which no vector divides: 32 x 32 pixels, 5 classes."""
    torch.manual_seed(7)
    return nn.Sequential(
        nn.Conv2d(3, 20, 3, 2), nn.ReLU(), nn.Conv2d(20, 20, 3, groups=20), nn.ReLU(), nn.Conv2d(20, 16, 1), nn.ReLU(),
        nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(16, 5),
    )  # fmt: skip
