"""The classifier: a backbone that gives features, and one linear layer that names the breed."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from torch.nn import functional

from dogbreed.data.breeds import normalise
from dogbreed.errors import DogbreedError, UsageError
from dogbreed.infer.preprocess import Preprocessing
from dogbreed.run import STARTER, WEIGHTS, Run
from dogbreed.train.job import check_weights
from dogbreed.train.torchvision_cpu import torchvision

STARTER_BACKBONE = "starter"
_IMAGENET_CLASSES = 1000


class Classifier(nn.Module):
    """Images float [n, 3, h, w] -> logits [n, breeds]; `backbone` alone gives features [n, width]."""

    def __init__(self, backbone: nn.Module, width: int, breeds: int) -> None:
        super().__init__()
        self.backbone = backbone
        self.head = nn.Linear(width, breeds)

    def forward(self, images: Tensor) -> Tensor:
        """Logits."""
        logits: Tensor = self.head(self.backbone(images))
        return logits


@dataclass(frozen=True)
class Start:
    """Where training starts: the model, its preprocessing, and where its weights came from."""

    model: Classifier
    preprocessing: Preprocessing
    origin: str
    # Breeds whose row of the head the starting weights knew already.
    known: frozenset[str]


class _TensorflowConv2d(nn.Conv2d):
    """A stride-2 convolution padded as TensorFlow's SAME does at even sizes: nothing before, one after."""

    def forward(self, images: Tensor) -> Tensor:
        return super().forward(functional.pad(images, (0, 1, 0, 1)))


def start(backbone: str, weights: str, breeds: tuple[str, ...], seed: int) -> Start:
    """Build the model for `breeds` and load its starting weights.

    `backbone` is "starter" or a torchvision classifier; `weights` is starter, imagenet, none or a file.
    Rows of the head whose breed the weights already know are taken over; the others are drawn from `seed`.
    Raises UsageError for names that do not exist or do not fit, DogbreedError when weights cannot be had.
    """
    torch.manual_seed(seed)
    net, width, preprocessing = _backbone(backbone)
    check_weights(backbone, weights)
    model = Classifier(net, width, len(breeds))
    state, labels, origin = _weights(backbone, weights)
    if state:
        _load(model, state, labels, breeds, origin)
    return Start(model, preprocessing, origin, frozenset(breeds) & frozenset(labels))


def _backbone(name: str) -> tuple[nn.Module, int, Preprocessing]:
    vision = torchvision()
    if name == STARTER_BACKBONE:
        net = vision.models.mobilenet_v2(dropout=0.0)
        _pad_like_tensorflow(net)
        return net, _cut_head(net), Preprocessing()
    if name not in vision.models.list_models(module=vision.models):
        known = ", ".join(vision.models.list_models(module=vision.models))
        raise UsageError(f"there is no backbone {name}", f"starter, or one of torchvision's: {known}")
    net = vision.models.get_model(name, weights=None)
    if hasattr(net, "transform_input"):
        # Inception and GoogLeNet were trained on another normalisation than their preset's, and convert to it.
        net.transform_input = True
    preset = vision.models.get_model_weights(name).DEFAULT.transforms()
    if getattr(net, "aux_logits", False):
        # The auxiliary classifiers of Inception and GoogLeNet only serve training on ImageNet from nothing.
        net.aux_logits = False
        for branch in ("AuxLogits", "aux1", "aux2"):
            if hasattr(net, branch):
                setattr(net, branch, None)
    preprocessing = Preprocessing(
        resize=preset.resize_size[0],
        crop=preset.crop_size[0],
        filter=preset.interpolation.value if preset.interpolation.value == "bicubic" else "bilinear",
        mean=tuple(preset.mean),
        std=tuple(preset.std),
    )
    return net, _cut_head(net), preprocessing


def _pad_like_tensorflow(net: nn.Module) -> None:
    for parent in net.modules():
        for name, child in parent.named_children():
            if isinstance(child, nn.Conv2d) and child.stride == (2, 2):
                padded = _TensorflowConv2d(
                    child.in_channels, child.out_channels, 3, stride=2, groups=child.groups, bias=False
                )
                setattr(parent, name, padded)


def _cut_head(net: nn.Module) -> int:
    """Put Identity in place of the layer that made the class scores; the width of the features left."""
    for name, layer in reversed(list(net.named_modules())):
        if isinstance(layer, (nn.Linear, nn.Conv2d)):
            parent, _, last = name.rpartition(".")
            setattr(net.get_submodule(parent), last, nn.Identity())
            return layer.in_features if isinstance(layer, nn.Linear) else layer.in_channels
    raise UsageError("this backbone has no layer to replace", "choose another --backbone")


def _weights(backbone: str, weights: str) -> tuple[Mapping[str, Tensor], tuple[str, ...], str]:
    """A state dict in `Classifier`'s names, the breeds of its head's rows, and words on its origin."""
    if weights == "none":
        return {}, (), "random"
    if weights == "starter":
        run = Run.open(STARTER)
        return load_safetensors(run.read(WEIGHTS)), run.labels, f"starter {run.info['id']}"
    if weights == "imagenet":
        return (*_split_head(backbone, _imagenet(backbone)), f"torchvision ImageNet weights of {backbone}")
    path = Path(weights)
    if path.is_dir():
        run = Run.open(path)
        return load_safetensors(run.read(WEIGHTS)), run.labels, f"run {run.name}"
    data = path.read_bytes()
    origin = f"{path.name} sha256:{hashlib.sha256(data).hexdigest()}"
    try:
        # weights_only: tensors and nothing else are taken from the file, so it cannot run code.
        state = load_safetensors(data) if path.suffix == ".safetensors" else torch.load(path, weights_only=True)
        if not all(isinstance(value, Tensor) for value in state.values()):
            raise ValueError("not all of its values are tensors")
    except Exception as error:
        # Of a file that could run code, PyTorch says how to let it.
        what = "" if "weights_only" in str(error) else ": " + str(error).partition("\n")[0]
        raise UsageError(f"{path} holds no weights{what}", "give a .safetensors or .pth state dict") from error
    return (*_split_head(backbone, state), origin)


def _imagenet(backbone: str) -> Mapping[str, Tensor]:
    if backbone == STARTER_BACKBONE:
        raise UsageError(
            "torchvision has no weights for the starter's backbone", "choose --backbone mobilenet_v2, or other weights"
        )
    try:
        state: Mapping[str, Tensor] = (
            torchvision()
            .models.get_model_weights(backbone)
            .DEFAULT.get_state_dict(progress=False, check_hash=True, weights_only=True)
        )
    # No network, a wrong checksum, a cached file that is none: each raises a kind of its own.
    except Exception as error:
        what = str(error).partition("\n")[0]
        raise DogbreedError(
            f"the ImageNet weights of {backbone} could not be downloaded: {what}",
            "offline, use --backbone starter --weights starter, or --weights FILE",
        ) from error
    return state


def imagenet_file(backbone: str) -> Path:
    """The file of torchvision's ImageNet weights in torch's cache folder, downloaded if it is not there yet."""
    _imagenet(backbone)
    url: str = torchvision().models.get_model_weights(backbone).DEFAULT.url
    return Path(torch.hub.get_dir()) / "checkpoints" / url.rpartition("/")[2]


def _split_head(backbone: str, state: Mapping[str, Tensor]) -> tuple[Mapping[str, Tensor], tuple[str, ...]]:
    """Rename a torchvision state dict to `Classifier`'s names, and name the rows of an ImageNet head."""
    if "head.weight" in state and any(name.startswith("backbone.") for name in state):
        return state, ()
    vision = torchvision()
    net = vision.models.mobilenet_v2() if backbone == STARTER_BACKBONE else vision.models.get_model(backbone)
    layers = [name for name, layer in net.named_modules() if isinstance(layer, (nn.Linear, nn.Conv2d))]
    renamed = {}
    for name, value in state.items():
        layer, _, kind = name.rpartition(".")
        renamed[f"head.{kind}" if layer == layers[-1] else f"backbone.{name}"] = (
            value.flatten(1) if (layer == layers[-1] and kind == "weight") else value
        )
    rows = len(renamed["head.weight"]) if "head.weight" in renamed else 0
    if rows != _IMAGENET_CLASSES:
        return renamed, ()
    categories = vision.models.get_model_weights("mobilenet_v2").DEFAULT.meta["categories"]
    return renamed, tuple(normalise(name) for name in categories)


def _load(
    model: Classifier, state: Mapping[str, Tensor], labels: tuple[str, ...], breeds: tuple[str, ...], origin: str
) -> None:
    own = model.state_dict()
    known = {name: value for name, value in state.items() if name in own and not name.startswith("head.")}
    body = {name: value.to(own[name].dtype) for name, value in known.items()}
    expected = {name for name in own if name.startswith("backbone.")}
    wrong = sorted(expected - set(body)) + [name for name in body if body[name].shape != own[name].shape]
    if wrong:
        message = f"these weights do not fit the backbone ({origin}): {wrong[0]}"
        raise UsageError(message, "give the --backbone they are of")
    model.load_state_dict(body, strict=False)
    if not labels:
        return
    rows = {breed: index for index, breed in enumerate(labels)}
    with torch.no_grad():
        for index, breed in enumerate(breeds):
            if breed in rows:
                model.head.weight[index] = state["head.weight"][rows[breed]].float()
                if "head.bias" in state:
                    model.head.bias[index] = state["head.bias"][rows[breed]].float()


def to_state(model: Classifier) -> dict[str, Tensor]:
    """The model's tensors on the CPU, contiguous, for a safetensors file."""
    return {name: value.detach().cpu().contiguous() for name, value in model.state_dict().items()}
