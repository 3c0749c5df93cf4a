#!/usr/bin/env python3
"""What a budget search saves by reusing what the prompts of a question share.

    python3 benches/engine/search_prefix.py MODEL.gguf [--questions 50] [--rounds 2] [--concurrency 16]

The prompts of one question differ in their last words only: "Let's think step by step and use less than 50
tokens:". Each round searches the same questions with the engine's prefix cache and without, in an order that
alternates, since machines drift. Both must give the same answers (temperature 0, `reproducible`). Printed are,
from the runs' own journals, the prompt tokens that were evaluated, the ratio of both, over all questions and over
those whose search went on after the vanilla answer, and the ratio of wall times.
"""
import argparse
import json
import os
import pathlib
import sqlite3
import statistics
import subprocess
import sys
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
DATA = ROOT / "examples" / "data" / "gsm8k-test-200.jsonl"


def search(a, folder, reuse):
    name = "with" if reuse else "without"
    manifest = folder / f"{name}.toml"
    manifest.write_text(f"""
name = "{name}"
task = "search"
concurrency = {a.concurrency}
[llm]
plugin = "llama-cpp"
model = "{a.model}"
temperature = 0
max_tokens = {a.max_tokens}
options = {{ prefix_cache = {str(reuse).lower()}, threads = {a.threads} }}
[dataset]
plugin = "gsm8k"
path = "{a.data}"
limit = {a.questions}
""")
    run = folder / "runs" / name
    begun = time.monotonic()
    # Nothing may come out of another run's answers.
    done = subprocess.run([a.tale, "run", manifest, "--quiet", "--fresh"], cwd=folder, capture_output=True, text=True,
                          env={**os.environ, "TALE_CALL_CACHE": "off"})
    seconds = time.monotonic() - begun
    if done.returncode != 0:
        sys.exit(done.stderr)
    searches = [json.loads(line) for line in (run / "search.jsonl").read_text().splitlines()]
    journal = sqlite3.connect(run / "run.sqlite")
    total, cached = journal.execute("SELECT sum(input_tokens), sum(cached_input_tokens) FROM call").fetchone()
    # Calls of questions whose vanilla answer was right: there a search has something to reuse.
    went_on = """SELECT sum(c.input_tokens), sum(c.cached_input_tokens) FROM call c WHERE c.id IN (
        SELECT call FROM attempt a WHERE (SELECT count(*) FROM attempt b
            WHERE b.cell = a.cell AND b.position = a.position) > 1)"""
    total_on, cached_on = journal.execute(went_on).fetchone()
    answers = [(s["id"], s["ending"], s["budget"], s["completion"]) for s in searches]
    return {"seconds": seconds, "calls": sum(s["calls"] for s in searches), "answers": answers,
            "evaluated": total - cached, "evaluated_on": (total_on or 0) - (cached_on or 0),
            "found": sum(s["ending"] == "found" for s in searches),
            "right": sum(bool(s["trace"]) for s in searches)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=lambda path: str(pathlib.Path(path).expanduser().resolve()))
    parser.add_argument("--questions", type=int, default=50)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--concurrency", type=int, default=16)
    parser.add_argument("--max-tokens", type=int, default=512)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    parser.add_argument("--data", type=lambda path: str(pathlib.Path(path).resolve()), default=str(DATA))
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    parser.add_argument("--tale", type=lambda path: str(pathlib.Path(path).resolve()),
                        default=str(pathlib.Path(target) / "release" / "tale"))
    a = parser.parse_args()
    rounds = []
    for number in range(a.rounds):
        with tempfile.TemporaryDirectory() as folder:
            order = [True, False] if number % 2 else [False, True]
            done = {reuse: search(a, pathlib.Path(folder), reuse) for reuse in order}
        reused, anew = done[True], done[False]
        if reused["answers"] != anew["answers"]:
            differ = sum(x != y for x, y in zip(reused["answers"], anew["answers"]))
            sys.exit(f"{differ} of {len(anew['answers'])} questions have another answer with the prefix cache")
        rounds.append((reused["evaluated"] / anew["evaluated"],
                       reused["evaluated_on"] / max(1, anew["evaluated_on"]),
                       reused["seconds"] / anew["seconds"]))
        print(f"round {number + 1}: {anew['calls']} calls, {anew['right']} of {a.questions} questions went on, "
              f"{anew['found']} found; evaluated {reused['evaluated']} of {anew['evaluated']} prompt tokens "
              f"({rounds[-1][0]:.3f}; of questions that went on {rounds[-1][1]:.3f}); "
              f"{reused['seconds']:.1f} s of {anew['seconds']:.1f} s ({rounds[-1][2]:.3f}); same answers", flush=True)
    medians = [statistics.median(column) for column in zip(*rounds)]
    print("median: prompt tokens evaluated {:.3f}, of questions that went on {:.3f}, wall time {:.3f}".format(*medians))


if __name__ == "__main__":
    main()
