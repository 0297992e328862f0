#!/usr/bin/env python3
"""(g) The size of the binary, and how long it takes to start. No cluster is needed.

  benches/binary.py [--rounds 3] [--keep FILE]

CMDR names the binary. It is started 20 times in each round, after one start that is not measured. The aims: under
20 MB, and `cmdr --version` under 15 ms.
"""
import argparse, json, os, pathlib, shutil, statistics, subprocess, sys, time

STARTS = 20


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("--keep", type=pathlib.Path, help="write the results to this file, as JSON")
    options = parser.parse_args()
    program = shutil.which(os.environ.get("CMDR", "cmdr")) or sys.exit("cmdr is not on PATH, and CMDR names no program")
    size = pathlib.Path(program).stat().st_size / 1e6
    start(program)
    starts = [start(program) for _ in range(STARTS * options.rounds)]
    median = statistics.median(starts)
    print(f"{'size':36} {size:8.1f} MB   (aim: under 20 MB)")
    print(f"{'cmdr --version':36} {median * 1000:8.1f} ms   (aim: under 15 ms; fastest: {min(starts) * 1000:.1f} ms)")
    if options.keep:
        medians = {"cmdr --version": round(median, 5)}
        result = {"rounds": options.rounds, "size_mb": round(size, 2), "seconds": {"medians": medians, "ratios": {}}, "runs": starts}
        options.keep.write_text(json.dumps(result, indent=1) + "\n")


def start(program):
    """The seconds that one start takes, with its output discarded."""
    began = time.perf_counter()
    subprocess.run([program, "--version"], check=True, stdout=subprocess.DEVNULL)
    return round(time.perf_counter() - began, 5)


main()
