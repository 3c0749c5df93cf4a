#!/usr/bin/env python3
"""Pairs `tale run` itself with llama.cpp's own tools, on GSM8K questions.

    python3 benches/engine/tale_run.py MODEL.gguf [--sequences 1,8,16] [--output 96] [--rounds 3]

As `pair.py`, which it builds on, but ours is the program as people run it: manifest, loaded plugin, journal,
grading and report. Some waves of questions a sequence (`--waves`) are asked by vanilla CoT and cut at `--output` tokens,
with the prefix cache off, since the tools have none here. The tools then get as many tokens a prompt and an
answer as ours had in the mean. The time of a run whose only question is too long for the context, so that
nothing is computed, is taken off ours: it is what starting and reporting cost, which the tools do not count.
"""
import argparse
import json
import os
import pathlib
import statistics
import subprocess
import sys
import tempfile
import time

import pair

DATA = pair.ROOT / "examples" / "data" / "gsm8k-test-200.jsonl"


class TaleRun:
    def __init__(self, a):
        self.binary = pathlib.Path(a.tale)
        if not self.binary.exists():
            sys.exit(f"no `{self.binary}`: run `cargo xtask build`")

    def timed(self, a, sequences, questions):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            (folder / "q.jsonl").write_text("".join(json.dumps(q) + "\n" for q in questions))
            (folder / "m.toml").write_text(f"""
name = "bench"
concurrency = {sequences}
[llm]
plugin = "llama-cpp"
model = "{a.model}"
temperature = 0
max_tokens = {a.output}
options = {{ prefix_cache = false, threads = {a.threads}, context = 512 }}
[dataset]
plugin = "jsonl"
path = "q.jsonl"
options = {{ gold_after = "####" }}
[evaluate]
methods = ["vanilla-cot"]
""")
            begun = time.monotonic()
            # A question that is too long ends the run with 3: done, but some samples failed.
            done = subprocess.run([self.binary, "run", "m.toml", "--quiet", "--no-cache"], cwd=folder, env=pair.ENVIRONMENT,
                                  capture_output=True, text=True)
            seconds = time.monotonic() - begun
            if done.returncode not in (0, 3):
                sys.exit(done.stderr)
            lines = (folder / "runs" / "bench" / "samples.jsonl").read_text().splitlines()
            return seconds, [json.loads(line) for line in lines]

    def measure(self, a, sequences, questions):
        nothing, _ = self.timed(a, sequences, [{"question": "one and " * 1000, "answer": "#### 1"}])
        seconds, samples = self.timed(a, sequences, questions)
        read = sum(s["input_tokens"] for s in samples)
        made = sum(s["output_tokens"] for s in samples)
        size = (round(read / len(samples)), round(made / len(samples)))
        return {"speed": (read + made) / (seconds - nothing)}, size


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", type=lambda path: str(pathlib.Path(path).resolve()))
    parser.add_argument("--sequences", default="1,8,16")
    parser.add_argument("--output", type=int, default=96, help="tokens of an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--waves", type=int, default=6, help="questions a sequence")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    target = os.environ.get("CARGO_TARGET_DIR", pair.ROOT / "target")
    parser.add_argument("--tale", default=pathlib.Path(target) / "release" / "tale")
    a = parser.parse_args()
    binaries = pair.tools()
    questions = [json.loads(line) for line in DATA.read_text().splitlines()]
    ours = TaleRun(a)
    texts = [q["question"] for q in questions]
    others = [pair.BatchedBench(binaries), pair.Server(binaries, lambda: texts)]
    print(f"{'sequences':>9} {'against':>14} {'ratio':>6} {'range':>13} {'ours':>8} {'theirs':>8}  tok/s")
    for sequences in map(int, a.sequences.split(",")):
        rounds = []
        for number in range(a.rounds):
            asked = questions[number * sequences:][:a.waves * sequences]
            mine, size = ours.measure(a, sequences, asked)
            # The tools' sizes: what a question had here in the mean.
            theirs = argparse.Namespace(**{**vars(a), "prompt": size[0], "output": size[1]})
            found = {"ours": mine["speed"]}
            for other in others[:: 1 if number % 2 else -1]:
                found[other.name] = other.measure(theirs, sequences)["speed"]
            rounds.append(found)
        for other in others:
            ratios = sorted(r["ours"] / r[other.name] for r in rounds)
            mine, yours = (statistics.median(r[name] for r in rounds) for name in ("ours", other.name))
            print(f"{sequences:>9} {other.name:>14} {statistics.median(ratios):>6.3f} "
                  f"{ratios[0]:>6.3f}-{ratios[-1]:.3f} {mine:>8.1f} {yours:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
