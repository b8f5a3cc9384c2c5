"""The process of one unit: ``python -m certify.lab.child``, in a folder that holds ``unit.json``.

It does the unit and keeps its result in the folder of the experiment, as its last act.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from certify.canonical import canonical
from certify.errors import CertifyError
from certify.files import write_bytes
from certify.lab.bench import Bench
from certify.lab.experiment import Unit
from certify.lab.experiments import EXPERIMENTS
from certify.sweep.child import end_with_parent
from certify.sweep.store import Store

UNIT, RESULT = "unit.json", "result.json"


def main() -> int:
    """Do the unit of this folder."""
    end_with_parent()
    asked = json.loads(Path(UNIT).read_bytes())
    experiment = EXPERIMENTS[asked["experiment"]]
    bench = Bench(Store(Path(asked["store"])))
    try:
        result = experiment.measure(Unit(asked["name"], asked["about"]), bench)
        found = {"result": result, "used": bench.used}
        data = canonical(found)
    except CertifyError as error:
        print(error, file=sys.stderr)  # noqa: T201  (the reason, for the process that waits)
        return error.exit_code
    write_bytes(Path(RESULT), data)
    return 0


if __name__ == "__main__":
    sys.exit(main())
