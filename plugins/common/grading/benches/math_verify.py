"""Times math-verify on the file that `examples/grading_throughput.rs` reads, and writes its verdicts.

    pip install math-verify==0.9.0 antlr4-python3-runtime==4.13.2
    python benches/math_verify.py FILE [VERDICTS]

One process, one core. Parsing the gold answer and the completion and comparing them is timed, as in
the Rust half; importing sympy and reading the file is not, and the first ten lines are run once
before the clock starts, so that parser tables and caches are warm. Choices are handed to its string extraction.
"""

import json
import logging
import sys
import time

# This file bears the name of the package: take its folder off the search path.
sys.path.pop(0)

from math_verify import ExprExtractionConfig, LatexExtractionConfig, StringExtractionConfig, parse, verify

logging.disable(logging.CRITICAL)

MATH = [LatexExtractionConfig(), ExprExtractionConfig()]
CHOICE = [StringExtractionConfig(strings=tuple("ABCDEFGHIJ"), lowercase=False)]


def grade(line):
    """The verdict of math-verify: correct or wrong, or error where it raises."""
    config = CHOICE if line["kind"] == "choice" else MATH
    gold = line["gold"]
    # Bare LaTeX is read only inside of delimiters; numbers are read as they are.
    try:
        gold = parse(gold, config, parsing_timeout=5)
        answer = parse(line["completion"], config, parsing_timeout=5)
        return "correct" if verify(gold, answer, timeout_seconds=5) else "wrong"
    except Exception as error:  # a grader's exception is a result to be recorded here
        return f"error: {type(error).__name__}"


def main():
    with open(sys.argv[1], encoding="utf-8") as file:
        lines = [json.loads(line) for line in file]
    for line in lines[:10]:
        grade(line)
    verdicts, slowest = [], 0.0
    start = time.perf_counter()
    for line in lines:
        before = time.perf_counter()
        verdicts.append(grade(line))
        slowest = max(slowest, time.perf_counter() - before)
    seconds = time.perf_counter() - start
    print(
        f"{len(lines)} grades in {seconds:.2f} s: {len(lines) / seconds:.1f} a second, "
        f"slowest {slowest * 1000:.0f} ms; "
        + ", ".join(f"{verdicts.count(v)} {v}" for v in sorted(set(verdicts))),
        file=sys.stderr,
    )
    if len(sys.argv) > 2:
        with open(sys.argv[2], "w", encoding="utf-8") as file:
            for verdict in verdicts:
                file.write(json.dumps({"verdict": verdict}) + "\n")


if __name__ == "__main__":
    main()
