"""Files that a page of the documentation speaks of and that the repository does not have: the
published ones where they lie beside the repository, else others of the same form.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from foreign import older

from certify.model.file import load_model
from certify.model.tensors import Tensor
from certify.training.architecture import Architecture
from certify.training.balanced_brackets import BracketsRecipe, train_balanced_brackets

ROOT = Path(__file__).resolve().parents[2]
PUBLISHED = ROOT.parent / "shared" / "data" / "checkpoints"
ADDITION = "modadd113-equals-sign.pt"


def for_page(page: str, folder: Path) -> None:
    """Write what a page needs besides a clone."""
    if page == "from-the-web.md":
        for file in PUBLISHED.glob("*.pt"):
            shutil.copy(file, folder)
        if not (folder / ADDITION).exists():
            _addition(folder / ADDITION)
    if page == "transformer-lens.md":
        _hooked(folder)


def _saved(tensors: dict[str, Tensor], path: Path) -> None:
    """Write a state dict as PyTorch does."""
    torch = pytest.importorskip("torch")
    torch.save({name: torch.from_numpy(tensor) for name, tensor in tensors.items()}, path)


def _addition(path: Path) -> None:
    """Write our own model of addition with an equals sign in the older layout."""
    model = load_model(ROOT / "certificates" / "modadd113-equals-seed-0" / "model.safetensors")
    mask = np.tril(np.ones((model.config.n_ctx, model.config.n_ctx), np.float32))
    _saved({**older(model.tensors), "blocks.0.attn.mask": mask}, path)


def _hooked(folder: Path) -> None:
    """Write what the first program of the page writes, as if TransformerLens had trained it."""
    pytest.importorskip("torch")
    recipe = BracketsRecipe(margin=1.0, every=250)
    tensors, config = train_balanced_brackets(8, Architecture(), recipe)
    _saved(tensors, folder / "state.pt")
    (folder / "config.json").write_text(json.dumps(config.as_dict()))
