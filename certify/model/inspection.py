"""What a foreign file looks like, and the command that imports it."""

from __future__ import annotations

import json
import shlex
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from certify.errors import BadInput, CertifyError, Unsupported
from certify.model.contents import read_contents
from certify.model.facts import Told
from certify.model.importers import Reading, examine_contents


@dataclass(frozen=True, slots=True)
class Inspection:
    """What was found in a file.

    ``layout`` is None where none is known or several state dicts could be meant; ``tensors`` holds
    dtype and shape by name; ``config`` the fields that are known; ``missing`` pairs of a fact and
    its option; ``skipped`` why an entry is left out, by name; ``command`` imports the file, with a
    usual value for each fact that is missing; ``notes`` say how it is read.  ``refusal`` is the
    failure where nothing can be imported, and then there is no command.
    """

    layout: str | None
    title: str
    tensors: Mapping[str, tuple[str, tuple[int, ...]]]
    config: Mapping[str, object]
    missing: tuple[tuple[str, str], ...]
    skipped: Mapping[str, str]
    command: str | None
    notes: tuple[str, ...]
    refusal: CertifyError | None


def inspect_file(path: Path | str, told: Told | None = None) -> Inspection:
    """Return what a foreign file holds, and the command to try.

    Errors: ``BadInput`` or ``Unsupported`` if it cannot be read or holds no tensor;
            ``WrongOption`` for an entry that is not there.
    """
    told = told or Told()
    contents = read_contents(Path(path))
    try:
        reading = examine_contents(contents, str(path), None, "", told)
    except (BadInput, Unsupported) as error:
        tensors = {
            ".".join(part for part in (state.entry, name) if part): (array.dtype.name, array.shape)
            for state in contents.states
            for name, array in state.tensors.items()
        }
        return Inspection(None, contents.kind, tensors, {}, (), {}, None, (), error)
    notes = () if reading.imported is None else reading.imported.notes
    assumed = (f"{field} is assumed: {why}" for field, why in reading.assumed.items())
    return Inspection(
        reading.layout,
        reading.title,
        reading.shapes,
        reading.fields,
        tuple((fact.what, fact.option) for fact in reading.missing),
        reading.skipped,
        _command(Path(path), told, reading),
        (*notes, *assumed),
        None,
    )


def json_text(found: Inspection) -> str:
    """Return what was found as one JSON object."""
    return json.dumps(
        {
            "layout": found.layout,
            "tensors": {
                name: {"dtype": dtype, "shape": list(shape)}
                for name, (dtype, shape) in found.tensors.items()
            },
            "config": dict(found.config),
            "missing": [{"fact": fact, "option": option} for fact, option in found.missing],
            "skipped": dict(found.skipped),
            "command": found.command,
        },
        sort_keys=True,
    )


def _command(path: Path, told: Told, reading: Reading) -> str:
    """Return the command that imports a file, facts that are missing filled in."""
    words = ["certify", "import", str(path)]
    words += [word for fact in reading.missing for word in _split(fact.usual)]
    words += ["--entry", told.entry] if told.entry is not None else []
    words += [word for name in told.skip for word in ("--skip", name)]
    stem = path.name if path.is_dir() else path.stem
    out = Path(f"{stem}.safetensors")
    taken = out.resolve() == path.resolve()
    words += ["--out", "model.safetensors" if taken else str(out)]
    return shlex.join(words)


def _split(option: str) -> list[str]:
    """Return an option and its value, which may hold spaces."""
    name, space, value = option.partition(" ")
    return [name, value] if space else [name]
