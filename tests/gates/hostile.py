"""Run the bare checker on every hostile file, and print what it said, how long it took and how much
memory it had at most.

    python tests/gates/hostile.py [SECONDS] [WORD ...]

Words choose files by their names.  Ends with 1 if a file took more than its share: a gigabyte, five
seconds of a processor more than ``--time-limit``, which is five, or the seconds given; or a
traceback.  With more seconds, more memory is asked for.
"""

from __future__ import annotations

import os
import resource
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from time import monotonic

TESTS = Path(__file__).resolve().parents[1]
TIME_LIMIT, MORE_SECONDS, MOST_MEGABYTES = 5, 5, 1000

for folder in (*(TESTS / name for name in ("gates", "generators", "oracles")), TESTS.parent):
    sys.path.insert(0, str(folder))

import conformance


@dataclass(frozen=True)
class Run:
    """What the checker said of a file, and what that took."""

    said: str
    code: int
    elapsed: float
    seconds: float
    megabytes: float

    def findings(self, time_limit: int) -> list[str]:
        """Return what is wrong."""
        word = self.said.removeprefix("s ").partition(" ")[0]
        found = []
        if not self.said.startswith("s ") or self.code != conformance.CODES.get(word):
            found.append(f"no verdict, exit code {self.code}")
        if self.seconds > time_limit + MORE_SECONDS:
            found.append(f"more than {time_limit + MORE_SECONDS} s")
        if self.megabytes > MOST_MEGABYTES:
            found.append(f"more than {MOST_MEGABYTES} MB")
        return found


def checked(model: Path, certificate: Path, time_limit: int) -> Run:
    """Return how the bare checker fares with two files."""
    most = time_limit + 60

    def bounded() -> None:
        """Stop a run that is past hope, so that it does not take the machine with it."""
        resource.setrlimit(resource.RLIMIT_CPU, (most, most))
        resource.setrlimit(resource.RLIMIT_AS, (6 << 30, 6 << 30))

    line = [sys.executable, "-S", "-m", "checker", str(model), str(certificate)]
    start = monotonic()
    with tempfile.TemporaryFile("w+") as out:
        child = subprocess.Popen(
            [*line, "--time-limit", str(time_limit)],
            stdout=out,
            stderr=subprocess.STDOUT,
            cwd=TESTS.parent,
            preexec_fn=bounded,
        )
        _, status, used = os.wait4(child.pid, 0)
        child.returncode = os.waitstatus_to_exitcode(status)
        out.seek(0)
        lines = out.read().splitlines() or ["nothing"]
    seconds = used.ru_utime + used.ru_stime
    return Run(lines[-1], child.returncode, monotonic() - start, seconds, used.ru_maxrss / 1024)


def main(words: list[str]) -> int:
    """Run the suite, or the files named."""
    from hostile_files import SUITE

    failed, time_limit = 0, TIME_LIMIT
    if words and words[0].isdigit():
        time_limit, words = int(words[0]), words[1:]
    with tempfile.TemporaryDirectory() as folder:
        model, certificate = Path(folder) / "model.safetensors", Path(folder) / "certificate.json"
        for name, make in SUITE.items():
            if words and not any(word in name for word in words):
                continue
            for path, content in zip((model, certificate), make(), strict=True):
                path.write_bytes(content)
            run = checked(model, certificate, time_limit)
            findings = run.findings(time_limit)
            failed += bool(findings)
            print(
                f"{name:46} {run.elapsed:5.1f} s {run.seconds:5.1f} s cpu {run.megabytes:5.0f} MB  "
                f"{', '.join(findings) and 'FAIL: ' + ', '.join(findings) + '; '}{run.said[:60]}",
                flush=True,
            )
    print(f"{failed} failed")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
