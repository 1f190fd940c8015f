"""Runs probe, restore, encode and the loaders on damaged files of every kind, and checks that none of them does harm.

    tools/fuzz.py --count 2000                   run what CI runs
    tools/fuzz.py --count 100000 --seed 1        run more cases by hand (some hours)
    tools/fuzz.py --seed 1 --only 4711 --keep .  run one case again and keep its file

A case is a file with one kind of damage; both are drawn from (seed, number). Worker processes with limited memory run
the cases. A worker that takes too long or dies counts as a failure. These are failures too: an exception other than
AudioSRError, a sample that is not finite, an output whose length differs from what was decoded, a file left behind, and
a file that lost half of its music without a warning.

The table at the end counts the outcomes: refused with an error message, accepted with a warning, accepted without one,
or broken (a failure).
"""

import argparse
import contextlib
import multiprocessing
import multiprocessing.connection
import os
import resource
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT), str(ROOT / "tools")]

from fuzzing.cases import SHARES, Broken, Cases, make_seeds  # noqa: E402

from keras_audiosr.presets import DEFAULT_PRESET, bundled_folder  # noqa: E402


def work(connection, seeds: Path, seed: int, gigabytes: float) -> None:
    """Runs in a worker process: receives numbers of cases over a pipe, and sends back (outcome, fault) for each."""
    limit = int(gigabytes * 2**30)
    resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
    os.dup2(os.open(os.devnull, os.O_WRONLY), 2)  # hides progress bars and messages of libraries
    cases = Cases(seeds, seed)
    while (number := connection.recv()) is not None:
        with tempfile.TemporaryDirectory(dir=seeds) as folder:
            try:
                outcome, fault = cases.run(number, Path(folder)), ""
            except Broken as broken:
                outcome, fault = "broken", str(broken)
            except BaseException as error:
                outcome, fault = "broken", f"{type(error).__name__}: {error}"
        connection.send((outcome, fault))


class Worker:
    """One worker process, which is replaced when it dies."""

    def __init__(self, *arguments):
        self._arguments = arguments
        self.number: int | None = None
        self._start()

    def _start(self) -> None:
        self.connection, other = multiprocessing.Pipe()
        self._process = multiprocessing.get_context("spawn").Process(target=work, args=(other, *self._arguments))
        self._process.start()
        other.close()

    def give(self, number: int) -> None:
        """Sends the worker the number of a case."""
        self.number, self.since = number, time.monotonic()
        self.connection.send(number)

    def take(self, patience: float) -> tuple[str, str] | None:
        """Returns the outcome and the fault of the case, or `None` while it is running.

        Args:
            patience: seconds after which the worker is killed.
        """
        try:
            if self.connection.poll(0.0 if time.monotonic() - self.since < patience else 0.1):
                return self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            code = self._process.exitcode
            self._start()
            return "broken", f"the process died with code {code}"
        if time.monotonic() - self.since < patience:
            return None
        self._process.kill()
        self._process.join()
        self._start()
        return "broken", f"it was still running after {patience:.0f} s"

    def end(self) -> None:
        """Ends the worker process."""
        with contextlib.suppress(OSError):
            self.connection.send(None)
        self._process.join()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    add = parser.add_argument
    add("--count", type=int, default=2000, help="number of cases (default 2000)")
    add("--seed", type=int, default=0, help="seed that the cases are drawn from (default 0)")
    add("--only", type=int, metavar="NUMBER", help="run only this case, in this process")
    add("--keep", type=Path, metavar="FOLDER", help="folder for the damaged files of failed cases")
    add("--jobs", type=int, default=os.cpu_count(), help="number of worker processes (default: one for each core)")
    add("--patience", type=float, default=60.0, help="longest time for a case in seconds (default 60)")
    add("--memory", type=float, default=8.0, help="address space of each worker in GiB (default 8)")
    add("--model", type=Path, default=bundled_folder(DEFAULT_PRESET), help="exported model (default: the bundled one)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="fuzz-") as folder:
        seeds = Path(folder)
        make_seeds(seeds, args.model)
        drawn = Cases(seeds, args.seed)

        def failed(number: int, fault: str) -> None:
            target, name, damage, damaged, _ = drawn.draw(number)
            print(f"case {number}: {target} {name} {damage}: {fault}", flush=True)
            if args.keep:
                args.keep.mkdir(parents=True, exist_ok=True)
                (args.keep / f"{args.seed}-{number}-{target}-{Path(name).name}").write_bytes(damaged)

        if args.only is not None:
            case = seeds / "case"
            case.mkdir()
            failed(args.only, "its file is kept" if args.keep else "run again")
            print(drawn.run(args.only, case))
            return 0
        outcomes: Counter[tuple[str, str]] = Counter()
        slowest = (0.0, 0)
        broken = 0
        started = time.monotonic()
        workers = [Worker(seeds, args.seed, args.memory) for _ in range(args.jobs)]
        numbers = iter(range(args.count))
        while True:
            for worker in workers:
                if worker.number is not None and (result := worker.take(args.patience)):
                    number, worker.number = worker.number, None
                    slowest = max(slowest, (time.monotonic() - worker.since, number))
                    outcomes[drawn.draw(number)[0], result[0]] += 1
                    if result[0] == "broken":
                        broken += 1
                        failed(number, result[1])
                if worker.number is None and (number := next(numbers, None)) is not None:
                    worker.give(number)
            busy = [worker.connection for worker in workers if worker.number is not None]
            if not busy:
                break
            multiprocessing.connection.wait(busy, timeout=1.0)
        for worker in workers:
            worker.end()
        print(f"{args.count} cases of seed {args.seed} in {time.monotonic() - started:.0f} s, {args.jobs} in parallel")
        print(f"slowest: case {slowest[1]}, {slowest[0]:.1f} s")
        kinds = ("refused", "warned", "accepted", "broken")
        print(f"{'':10}" + "".join(f"{kind:>9}" for kind in kinds))
        for target in SHARES:
            print(f"{target:10}" + "".join(f"{outcomes[target, kind]:9}" for kind in kinds))
    return 1 if broken else 0


if __name__ == "__main__":
    sys.exit(main())
