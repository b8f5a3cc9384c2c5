"""Models: their configuration, their file, and what they compute in float64."""

from certify.model.config import Config
from certify.model.file import Model, load_model, save_model
from certify.model.importers import import_model
from certify.model.tensors import Tensor, optional_shapes, required_shapes

__all__ = [
    "Config",
    "Model",
    "Tensor",
    "load_model",
    "save_model",
    "import_model",
    "required_shapes",
    "optional_shapes",
]
