from edgekit.models import LoadedModel
from edgekit.recipe import Recipe


def finish(model: bytes, loaded: LoadedModel, recipe: Recipe) -> tuple[bytes, dict[str, str]]:
    return model, {}
