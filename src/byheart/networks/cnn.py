"""The papers' small CNN, with a replica dimension in every parameter."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional

from byheart.networks.batch_norm import LAYOUT, Pool, ReplicatedBatchNorm
from byheart.networks.size import CNNShapes, cnn_shapes
from byheart.seeds import generator
from byheart.trial import CNN


def glorot_cnn(shapes: CNNShapes, kernel: int, seed: int) -> tuple[list[Tensor], list[Tensor]]:
    r"""Return the initial weights of one CNN.

    Formula: w ~ U(-a, a) with a = sqrt(6 / (fan_in + fan_out)); a filter's fans are its channels
    times the k k places of its kernel.

    Args:
        shapes: sizes of the network.
        kernel: side k of the filters.
        seed: replica's seed; the draw depends on it and on the shapes of the weights alone.

    Returns:
        For each convolution [filters, inputs, k, k], for each dense layer [fan_in, fan_out],
        float64.

    Source: Glorot & Bengio (2010), eq. 16; Keras' default when the papers were written.
    """
    filters = [(stage.filters, stage.inputs, kernel, kernel) for stage in shapes.stages]
    dense = list(itertools.pairwise(shapes.dense))
    rng = generator("init", seed, filters, dense)

    def draw(shape: tuple[int, ...], fans: int) -> Tensor:
        bound = math.sqrt(6.0 / fans)
        return torch.from_numpy(rng.uniform(-bound, bound, size=shape))

    return (
        [draw(shape, (shape[0] + shape[1]) * kernel**2) for shape in filters],
        [draw(shape, sum(shape)) for shape in dense],
    )


class ReplicatedCNN:
    """R CNNs of one architecture, trained and evaluated as one program by grouped convolution.

    Crop, then for each convolution: zero padding that keeps the size, batch norm, ReLU, max pool;
    then dense layers, each hidden one followed by batch norm and ReLU. Layers before a batch norm
    have no bias, since it takes every constant away: one that started at zero would stay there.

    Attributes:
        network: the architecture.
        shapes: its sizes on these inputs.
        filters: for each convolution [R, filters, inputs, k, k].
        weights: for each dense layer [R, fan_in, fan_out].
        norms: after each convolution and hidden dense layer.
        bias: [R, 1, classes] of the last layer.
        grey: the inputs of the source have no channel dimension.
    """

    def __init__(
        self,
        network: CNN,
        shapes: CNNShapes,
        filters: list[Tensor],
        weights: list[Tensor],
        norms: list[ReplicatedBatchNorm],
        bias: Tensor,
        *,
        grey: bool,
    ) -> None:
        self.network = network
        self.shapes = shapes
        self.filters = filters
        self.weights = weights
        self.norms = norms
        self.bias = bias
        self.grey = grey
        self._shift: Tensor | None = None
        self._scale: Tensor | None = None

    @classmethod
    def initialised(
        cls,
        network: CNN,
        shape: tuple[int, ...],
        classes: int,
        seeds: Sequence[int],
        *,
        dtype: torch.dtype = torch.float32,
        device: str | torch.device = "cpu",
    ) -> ReplicatedCNN:
        """Return one replica per seed, each initialised by :func:`glorot_cnn`.

        Args:
            network: the architecture.
            shape: shape of one input, (channels, height, width) or (height, width) of a grey one.
            classes: number of outputs.
            seeds: seeds of the replicas.
            dtype: dtype of the parameters.
            device: device of the parameters.

        Raises:
            InputError: the inputs are no images, or too small for the network.
        """
        shapes = cnn_shapes(network, shape, classes)
        drawn = [glorot_cnn(shapes, network.kernel, seed) for seed in seeds]
        filters, weights = (
            [torch.stack(layer).to(device, dtype) for layer in zip(*layers, strict=True)]
            for layers in zip(*drawn, strict=True)
        )
        bias = torch.zeros(len(seeds), 1, classes, dtype=dtype, device=device)
        features = [stage.filters for stage in shapes.stages] + list(shapes.dense[1:-1])
        norms = [
            ReplicatedBatchNorm.initialised(len(seeds), count, like=bias) for count in features
        ]
        return cls(network, shapes, filters, weights, norms, bias, grey=len(shape) == 2)

    @property
    def replicas(self) -> int:
        """Number of replicas R."""
        return self.bias.shape[0]

    @property
    def inputs(self) -> int:
        """Number of values in one input."""
        return math.prod(self.shapes.source)

    @property
    def hidden(self) -> list[int]:
        """Widths of the layers that dropout and noise act on: the hidden dense layers."""
        return list(self.shapes.dense[1:-1])

    def perturb_hidden(self, shift: Tensor | None, scale: Tensor | None) -> None:
        """Shift and scale the hidden dense units, each [R, B, units], in the next training batch.

        Formula: h <- (h + shift) * scale, after the ReLU.
        """
        self._shift, self._scale = shift, scale

    def parameters(self) -> list[Tensor]:
        """Return what is trained, each [R, ...]."""
        scales = [values for norm in self.norms for values in (norm.gamma, norm.beta)]
        return [*self.filters, *self.weights, *scales, self.bias]

    def untrained_tensors(self) -> list[Tensor]:
        """Return the running statistics, each [R, features]."""
        return [values for norm in self.norms for values in (norm.mean, norm.variance)]

    def __call__(self, x: Tensor) -> Tensor:
        """Return logits [R, N, classes] in eval mode, of x [R, N, D], or [N, D] shared by all."""
        return self._logits(x.expand(self.replicas, *x.shape[-2:]), training=False)

    def training_logits(self, x: Tensor) -> Tensor:
        """Return logits [R, N, classes] in train mode, and update running statistics in place."""
        return self._logits(x, training=True)

    def _logits(self, x: Tensor, *, training: bool) -> Tensor:
        network, replicas, examples = self.network, self.replicas, x.shape[1]
        norms = iter(self.norms)
        h = self._images(x)
        for filters in self.filters:
            kernels = filters.flatten(0, 1).contiguous(memory_format=LAYOUT)
            h = functional.conv2d(h, kernels, padding=network.kernel // 2, groups=replicas)
            # A single grey replica has no layout of its own to pass on.
            h, norm = h.contiguous(memory_format=LAYOUT), next(norms)
            if training and h.device.type == "cpu":  # nowhere else has it been tried
                h = norm.train_and_pool(h, Pool(network.pool, network.stride))
            else:
                # The largest of rectified values is the rectified largest: there are fewer.
                h = norm(h, training=training)
                h = functional.max_pool2d(h, network.pool, network.stride).relu_()
        h = h.reshape(examples, replicas, -1).transpose(0, 1)
        shifts, scales = (
            [None] * len(self.hidden)
            if values is None or not training
            else torch.split(values, self.hidden, dim=2)
            for values in (self._shift, self._scale)
        )
        for weights, shift, scale in zip(self.weights[:-1], shifts, scales, strict=True):
            h = torch.bmm(h, weights).transpose(0, 1).reshape(examples, -1)
            h = torch.relu(next(norms)(h, training=training))
            h = h.view(examples, replicas, -1).transpose(0, 1)
            h = h if shift is None else h + shift
            h = h if scale is None else h * scale
        return torch.baddbmm(self.bias, h, self.weights[-1])

    def _images(self, x: Tensor) -> Tensor:
        """Return [R, N, D] as images [N, R * channels, height, width], cropped."""
        channels, height, width = self.shapes.source
        replicas, examples, _ = x.shape
        crop = self.network.crop
        images = x.view(replicas, examples, channels, height, width)
        images = images[..., crop : height - crop, crop : width - crop].transpose(0, 1)
        stacked = images.reshape(examples, replicas * channels, *images.shape[-2:])
        return stacked.contiguous(memory_format=LAYOUT)

    def select(self, replicas: Tensor) -> ReplicatedCNN:
        """Return a copy of some replicas, by index or mask."""
        return ReplicatedCNN(
            self.network,
            self.shapes,
            [values[replicas] for values in self.filters],
            [values[replicas] for values in self.weights],
            [norm.select(replicas) for norm in self.norms],
            self.bias[replicas],
            grey=self.grey,
        )

    def finite(self) -> Tensor:
        """Return for each replica whether parameters and statistics are finite, bool [R]."""
        total = sum(v.flatten(1).sum(1) for v in (*self.parameters(), *self.untrained_tensors()))
        return torch.isfinite(torch.as_tensor(total))

    def module(self, replica: int) -> nn.Sequential:
        """Return one replica as an ordinary module in eval mode, with copies of its parameters."""
        network, norms = self.network, iter(self.norms)
        layers: list[nn.Module] = []
        if self.grey:
            layers.append(GreyImages(self.shapes.source[1:]))
        if network.crop:
            layers.append(nn.ZeroPad2d(-network.crop))
        for filters in self.filters:
            count, inputs, kernel, _ = filters[replica].shape
            convolution = nn.Conv2d(inputs, count, kernel, padding=kernel // 2, bias=False)
            normalised = nn.BatchNorm2d(count)
            layers += [
                convolution,
                normalised,
                nn.ReLU(),
                nn.MaxPool2d(network.pool, network.stride),
            ]
            convolution.weight = _copied(filters[replica])
            next(norms).fill(normalised.to(filters), replica)
        layers.append(nn.Flatten())
        for weight in self.weights[:-1]:
            linear = nn.Linear(weight.shape[1], weight.shape[2], bias=False)
            flat = nn.BatchNorm1d(weight.shape[2])
            layers += [linear, flat, nn.ReLU()]
            linear.weight = _copied(weight[replica].T)
            next(norms).fill(flat.to(weight), replica)
        last = nn.Linear(*self.weights[-1].shape[1:])
        last.weight, last.bias = (
            _copied(self.weights[-1][replica].T),
            _copied(self.bias[replica, 0]),
        )
        return nn.Sequential(*layers, last).eval()


class GreyImages(nn.Module):
    """Gives grey images [N, height, width] their one channel, by a reshape that can be traced."""

    def __init__(self, side: tuple[int, int]) -> None:
        super().__init__()
        self.height, self.width = side

    def forward(self, x: Tensor) -> Tensor:
        """Return [N, 1, height, width]."""
        return x.reshape(x.size(0), 1, self.height, self.width)


def _copied(values: Tensor) -> nn.Parameter:
    return nn.Parameter(values.detach().clone(memory_format=torch.contiguous_format))
