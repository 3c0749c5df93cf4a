#!/usr/bin/env python3
"""How fast `tale run` asks a server of chat completions, and what a call costs.

Starts `chat-server` (the test server) on loopback, runs `tale run` against it and prints wall time,
the ratio to the ideal (calls / concurrency * latency), calls a second, the processor time and the peak
memory of `tale` alone, and the connections it opened.

    cargo build --release -p tale-runtime -p tale-llm-openai -p tale-test-server
    python3 benches/remote/load.py                    # the two loads of docs/results/remote
    python3 benches/remote/load.py --questions 10000 --concurrency 1000 --latency-ms 100 --whole
"""

import argparse
import json
import os
import pathlib
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]


def run(args, questions, concurrency, latency_ms, stream):
    target = pathlib.Path(args.target)
    server = subprocess.Popen(
        [target / "chat-server", "--latency-ms", str(latency_ms), "--forget", "--model", "some-model",
         "--words", str(args.words), "--threads", "1"],
        stdout=subprocess.PIPE, text=True)
    url = server.stdout.readline().strip()
    try:
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            with open(folder / "q.jsonl", "w") as file:
                for i in range(questions):
                    file.write(json.dumps({"question": f"What is {i} plus 1?", "answer": str(i + 1)}) + "\n")
            (folder / "m.toml").write_text(f"""name = "load"
concurrency = {concurrency}
[llm]
plugin = "openai"
model = "some-model"
[llm.options]
base_url = "{url}"
profile = "vllm"
stream = {str(stream).lower()}
[dataset]
plugin = "jsonl"
path = "q.jsonl"
[evaluate]
methods = ["vanilla-cot"]
""")
            begin = time.perf_counter()
            child = subprocess.Popen([target / "tale", "run", "m.toml", "--quiet"], cwd=folder,
                                     stdout=subprocess.DEVNULL)
            _, status, usage = os.wait4(child.pid, 0)
            wall = time.perf_counter() - begin
            if status != 0:
                raise SystemExit(f"tale ended with {os.waitstatus_to_exitcode(status)}")
    finally:
        server.terminate()
        server.wait()
    cpu = usage.ru_utime + usage.ru_stime
    ideal = questions / concurrency * latency_ms / 1e3
    print(f"{questions:>7} questions  {concurrency:>5} at a time  {latency_ms:>5.0f} ms  "
          f"{'stream' if stream else 'whole ':6}  {wall:6.2f} s"
          + (f" ({wall / ideal:.2f} of ideal)" if ideal else "")
          + f"  {questions / wall:7.0f} calls/s  {cpu / questions * 1e3:.3f} ms/call  "
          f"{usage.ru_maxrss / 1024:.0f} MiB", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--target", default=ROOT / "target/release", help="where the binaries are")
    parser.add_argument("--questions", type=int)
    parser.add_argument("--concurrency", type=int, default=1000)
    parser.add_argument("--latency-ms", type=float, default=100)
    parser.add_argument("--words", type=int, default=60, help="of an answer, about")
    parser.add_argument("--whole", action="store_true", help="not streamed")
    parser.add_argument("--repeat", type=int, default=3)
    args = parser.parse_args()
    for _ in range(args.repeat):
        if args.questions:
            run(args, args.questions, args.concurrency, args.latency_ms, not args.whole)
            continue
        for stream in (False, True):
            run(args, 10_000, 1000, 100, stream)
            run(args, 10_000, 32, 100, stream)
            run(args, 30_000, 64, 0, stream)


if __name__ == "__main__":
    main()
