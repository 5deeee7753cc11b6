"""Weights that are computed before each call (weight_norm, spectral_norm, pruning masks) become plain parameters."""

from typing import Any

import torch
from torch import nn
from torch.nn.utils import parametrize


@torch.no_grad()
def bake(module: nn.Module) -> None:
    """Give every layer the weights that it has in eval mode, as parameters. In place; the module has run before.

    Knows torch's parametrizations, and hooks that set an attribute of their module before it runs: those of
    weight_norm, spectral_norm and torch.nn.utils.prune, and any of their kind.
    """
    for layer in list(module.modules()):
        if parametrize.is_parametrized(layer):
            for name in [*layer.parametrizations]:  # type: ignore[misc]
                with torch.enable_grad():  # without, a weight made of several tensors would be no parameter
                    parametrize.remove_parametrizations(layer, name, leave_parametrized=True)
        for name, value in _computed(layer).items():
            delattr(layer, name)
            layer.register_parameter(name, nn.Parameter(value.detach().clone(), requires_grad=False))
            for key in [key for key, hook in layer._forward_pre_hooks.items() if _sets_weights(layer, key, hook)]:
                del layer._forward_pre_hooks[key]
                layer._forward_pre_hooks_with_kwargs.pop(key, None)
            for own in (layer._parameters, layer._buffers):  # weight_g, weight_orig, weight_mask: what it was made of
                for part in [part for part in own if part.startswith(f"{name}_")]:
                    del own[part]


def _computed(layer: nn.Module) -> dict[str, torch.Tensor]:
    """The weights of a layer that a hook sets: tensors that are neither parameters nor buffers."""
    own = {*layer._parameters, *layer._buffers}
    return {
        name: value
        for name, value in vars(layer).items()
        if layer._forward_pre_hooks and isinstance(value, torch.Tensor)
        if name in ("weight", "bias") or any(part.startswith(f"{name}_") for part in own)
    }


def _sets_weights(layer: nn.Module, key: int, hook: Any) -> bool:
    """Whether a hook does what a layer with parameters forbids: set one to a plain tensor."""
    try:
        hook(layer, (), *([{}] if key in layer._forward_pre_hooks_with_kwargs else []))
    except Exception as error:  # another hook may look at its input, and there is none
        return isinstance(error, TypeError) and "cannot assign" in str(error)
    return False


def computed_copies(module: nn.Module) -> dict[int, torch.Tensor]:
    """For copy.deepcopy's memo: hooks leave tensors behind that know where they are from, which it refuses to copy."""
    return {
        id(value): value.detach().clone()
        for layer in module.modules()
        for value in vars(layer).values()
        if isinstance(value, torch.Tensor) and not value.is_leaf
    }
