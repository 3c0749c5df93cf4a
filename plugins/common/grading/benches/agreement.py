"""Counts where TALE's grader and math-verify agree on the answers of real runs, by class of answer.

    pip install math-verify==0.9.0 antlr4-python3-runtime==4.13.2
    python benches/agreement.py RUN… [--tale PATH] [--list FILE]

A RUN is a run directory or a `samples.jsonl`. TALE's verdict is that of `tale grade`, on the whole
completion. math-verify gives two: one on the answer that TALE found, in `$…$` (equality alone), and
one on the completion as it is (extraction included; TALE's `[[…]]` is unknown to it, so the marks are
taken off first, as the paper's code does by its own pattern). Choices are left out: math-verify
compares letters as letters, and so does everybody.
"""

import argparse
import collections
import json
import logging
import pathlib
import re
import subprocess
import sys
import tempfile

# `math_verify.py` beside this file bears the name of the package: take its folder off the path.
sys.path.pop(0)

from math_verify import ExprExtractionConfig, LatexExtractionConfig, parse, verify

logging.disable(logging.CRITICAL)

MATH = [LatexExtractionConfig(), ExprExtractionConfig()]


def samples(path):
    path = pathlib.Path(path)
    if path.is_dir():
        path = path / "samples.jsonl"
    with open(path, encoding="utf-8") as file:
        for line in file:
            sample = json.loads(line)
            gold = sample.get("gold")
            if sample.get("completion") is None or gold is None or gold in list("ABCDEFGHIJ"):
                continue
            yield sample


def by_tale(tale, lines):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl", encoding="utf-8") as file:
        for number, sample in enumerate(lines):
            kept = {key: sample[key] for key in ("gold", "completion", "question", "kind") if sample.get(key)}
            file.write(json.dumps({"id": number, **kept}) + "\n")
        file.flush()
        out = subprocess.run([tale, "grade", "--quiet", file.name], check=True, capture_output=True, text=True)
    return [json.loads(line) for line in out.stdout.splitlines()]


def by_math_verify(gold, answer):
    try:
        gold, answer = parse(gold, MATH, parsing_timeout=5), parse(answer, MATH, parsing_timeout=5)
        return verify(gold, answer, timeout_seconds=5)
    except Exception:  # an exception of a grader is no verdict
        return None


def classify(answer):
    if answer is None:
        return "no answer"
    answer = answer.strip()
    if re.fullmatch(r"[-+]?\d+", answer):
        return "integer"
    if re.fullmatch(r"[-+]?\d[\d,]*,\d{3}(\.\d+)?", answer):
        return "thousands marks"
    if re.fullmatch(r"[-+]?\d*\.\d+", answer):
        return "decimal"
    if re.search(r"\\[a-zA-Z]", answer):
        return "LaTeX"
    if re.fullmatch(r"[-+]?[$€£]?\s*[\d,]*\.?\d+\s*(%|[^\W\d_][\w ./]*)?", answer):
        return "with unit, currency or %"
    if re.search(r"[-+*/=^]", answer) and re.search(r"\d", answer):
        return "expression or equation"
    return "words"


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("runs", nargs="+")
    parser.add_argument("--tale", default="target/release/tale")
    parser.add_argument("--list", help="write every disagreement there, a line each")
    arguments = parser.parse_args()
    lines = [sample for run in arguments.runs for sample in samples(run)]
    ours = by_tale(arguments.tale, lines)
    assert len(ours) == len(lines)
    table = collections.defaultdict(collections.Counter)
    listed = []
    known = {}
    for sample, graded in zip(lines, ours):
        gold, answer = f"${sample['gold']}$", graded["answer"]
        whole = sample["completion"].replace("[[", " ").replace("]]", " ")
        for key in ((gold, f"${answer}$"), (str(sample["gold"]), whole)):
            if key not in known:
                known[key] = by_math_verify(*key)
        equal = known[gold, f"${answer}$"] if answer is not None else False
        path = known[str(sample["gold"]), whole]
        row = table[classify(answer)]
        row["answers"] += 1
        row["same" if equal == graded["correct"] else f"equality: ours {graded['correct']}, theirs {equal}"] += 1
        row["whole same" if path == graded["correct"] else f"whole: ours {graded['correct']}, theirs {path}"] += 1
        if equal != graded["correct"] or path != graded["correct"]:
            listed.append(
                {
                    "class": classify(answer), "gold": sample["gold"], "answer": answer,
                    "ours": graded["correct"], "reason": graded["reason"], "equality": equal, "whole": path,
                    "completion": sample["completion"][-300:],
                }
            )
    for name, row in sorted(table.items(), key=lambda item: -item[1]["answers"]):
        print(f"{name}: " + ", ".join(f"{key} {count}" for key, count in row.items()))
    print("all: " + ", ".join(f"{key} {count}" for key, count in sum(table.values(), collections.Counter()).items()))
    if arguments.list:
        with open(arguments.list, "w", encoding="utf-8") as file:
            for line in listed:
                file.write(json.dumps(line, ensure_ascii=False) + "\n")


if __name__ == "__main__":
    main()
