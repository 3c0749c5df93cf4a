#!/usr/bin/env python3
"""Pairs the llama-cpp plugin with llama.cpp's own tools: same model, prompts and parallelism.

    python3 benches/engine/pair.py MODEL.gguf [--sequences 1,8,16] [--prompt 128] [--output 64] [--rounds 3]

Machines drift by a factor of two within minutes, so nothing is compared across runs: each round runs
ours, `llama-batched-bench` and `llama-server` one right after the other, in an order that rotates, and
only the ratios within a round count. Printed are the median and the range of the ratios.

* ours: `examples/throughput` of the plugin.
* `llama-batched-bench`: neither sampling nor text; the bare engine.
* `llama-server`: over HTTP, greedy, `ignore_eos`, without its prompt cache.

llama.cpp comes from the source distribution of PyPI's `llama-cpp-python`; the tools are built once into
the user's cache directory, with the flags that the plugin's build uses. Needs cmake (`CMAKE`, else the one
that `cargo xtask setup` fetched, else the system's).
"""
import argparse
import concurrent.futures
import json
import os
import pathlib
import re
import shutil
import socket
import statistics
import subprocess
import sys
import tarfile
import tempfile
import time
import urllib.error
import urllib.request

ROOT = pathlib.Path(__file__).resolve().parents[2]
CACHE = pathlib.Path(os.environ.get("XDG_CACHE_HOME", pathlib.Path.home() / ".cache")) / "tale" / "bench"
VERSION = "0.3.36"
TOOLS = ["llama-batched-bench", "llama-server"]
# As `tale` sets it for itself, and the same for all three: libgomp's default spins for milliseconds, and
# beside any other load every contestant is then several times slower.
ENVIRONMENT = {**os.environ, "GOMP_SPINCOUNT": os.environ.get("GOMP_SPINCOUNT", "3000")}


def say(text):
    print(text, file=sys.stderr, flush=True)


def cmake():
    fetched = ROOT / ".tools" / "cmake" / "data" / "bin" / "cmake"
    found = os.environ.get("CMAKE") or (str(fetched) if fetched.exists() else shutil.which("cmake"))
    if not found:
        sys.exit("no cmake: run `cargo xtask setup`, or set CMAKE")
    return found


def tools():
    """Where the tools are; builds them if they are not there."""
    source = CACHE / f"llama_cpp_python-{VERSION}"
    binaries = source / "build" / "bin"
    if all((binaries / tool).exists() for tool in TOOLS):
        return binaries
    CACHE.mkdir(parents=True, exist_ok=True)
    archive = CACHE / f"llama_cpp_python-{VERSION}.tar.gz"
    if not archive.exists():
        say(f"fetching llama-cpp-python {VERSION} (77 MB)")
        command = [sys.executable, "-m", "pip", "download", "--no-deps", "--no-binary", "llama-cpp-python"]
        subprocess.run([*command, "-d", str(CACHE), f"llama-cpp-python=={VERSION}"], check=True, stdout=sys.stderr)
    if not (source / "vendor").exists():
        with tarfile.open(archive) as packed:
            packed.extractall(CACHE, filter="data")
    say("building llama.cpp's tools, once; this takes some ten minutes")
    switches = {
        "CMAKE_BUILD_TYPE": "Release", "BUILD_SHARED_LIBS": "OFF", "GGML_NATIVE": "ON", "GGML_OPENMP": "ON",
        "LLAMA_CURL": "OFF", "LLAMA_OPENSSL": "OFF", "LLAMA_BUILD_TESTS": "OFF", "LLAMA_BUILD_EXAMPLES": "OFF",
        "LLAMA_BUILD_SERVER": "ON", "LLAMA_BUILD_UI": "OFF", "LLAMA_USE_PREBUILT_UI": "OFF",
    }
    configure = [cmake(), "-S", str(source / "vendor" / "llama.cpp"), "-B", str(source / "build")]
    subprocess.run(configure + [f"-D{k}={v}" for k, v in switches.items()], check=True, stdout=sys.stderr)
    build = [cmake(), "--build", str(source / "build"), "--target", *TOOLS, "-j", str(os.cpu_count())]
    subprocess.run(build, check=True, stdout=sys.stderr)
    return binaries


def versions():
    """llama.cpp's version in the tools and in the plugin, as far as the sources say."""
    def read(folder):
        text = (folder / "CMakeLists.txt").read_text() if folder else ""
        parts = [re.search(rf"LLAMA_VERSION_{p} (\d+)", text) for p in ("MAJOR", "MINOR", "PATCH")]
        return ".".join(p.group(1) for p in parts) if all(parts) else "unknown"

    registry = pathlib.Path(os.environ.get("CARGO_HOME", pathlib.Path.home() / ".cargo")) / "registry" / "src"
    ours = next(iter(registry.glob("*/llama-cpp-sys-2-0.1.161/llama.cpp")), None)
    return read(CACHE / f"llama_cpp_python-{VERSION}" / "vendor" / "llama.cpp"), read(ours)


def run(command, **kwargs):
    done = subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True, **kwargs)
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr[-2000:]}")
    return done.stdout


class Ours:
    name = "ours"

    def __init__(self, arguments):
        self.binary = pathlib.Path(arguments.throughput)
        if not self.binary.exists():
            say("building the plugin's example")
            build = ["cargo", "build", "--release", "-p", "tale-llm-llama-cpp", "--example", "throughput"]
            subprocess.run(build, check=True, cwd=ROOT)

    def measure(self, a, sequences):
        size = [sequences, a.prompt, a.output]
        out = json.loads(run([self.binary, a.model, *map(str, size), f"threads={a.threads}", *a.option]))
        self.prompts = out.pop("prompts")
        return {"speed": out["speed"], "tg": out["speed_tg"]}


class BatchedBench:
    name = "batched-bench"

    def __init__(self, binaries):
        self.binary = binaries / "llama-batched-bench"

    def measure(self, a, sequences):
        context = sequences * (-(-(a.prompt + a.output + 64) // 256) * 256)
        size = ["-npp", a.prompt, "-ntg", a.output, "-npl", sequences, "-c", context, "-b", 512, "-ub", 512]
        out = run([self.binary, "-m", a.model, *map(str, size), "-t", str(a.threads), "--no-kv-unified",
                   "--output-format", "jsonl"])
        line = json.loads(next(l for l in out.splitlines() if l.startswith("{")))
        return {"speed": line["speed"], "tg": line["speed_tg"]}


class Server:
    name = "llama-server"

    def __init__(self, binaries, prompts):
        self.binary, self.prompts = binaries / "llama-server", prompts

    def measure(self, a, sequences):
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        context = sequences * (-(-(a.prompt + a.output + 64) // 256) * 256)
        size = ["-c", context, "-np", sequences, "-t", a.threads, "-b", 512, "-ub", 512, "--port", port]
        command = [self.binary, "-m", a.model, *map(str, size), "--host", "127.0.0.1", "--no-kv-unified"]
        with tempfile.TemporaryFile() as log:
            server = subprocess.Popen(command, env=ENVIRONMENT, stdout=log, stderr=log)
            try:
                return self.ask(f"http://127.0.0.1:{port}", server, a, sequences)
            finally:
                server.terminate()
                server.wait()

    def ask(self, url, server, a, sequences):
        for _ in range(600):
            if server.poll() is not None:
                sys.exit("llama-server ended by itself")
            try:
                urllib.request.urlopen(url + "/health").read()
                break
            except (urllib.error.URLError, ConnectionError):
                time.sleep(0.1)

        def complete(prompt):
            body = {"prompt": prompt, "n_predict": a.output, "temperature": 0, "ignore_eos": True, "cache_prompt": False}
            request = urllib.request.Request(url + "/completion", json.dumps(body).encode(),
                                             {"Content-Type": "application/json"})
            return json.loads(urllib.request.urlopen(request).read())

        begun = time.monotonic()
        with concurrent.futures.ThreadPoolExecutor(sequences) as pool:
            answers = list(pool.map(complete, self.prompts()[:sequences]))
        seconds = time.monotonic() - begun
        read = sum(x["timings"]["prompt_n"] for x in answers)
        made = sum(x["timings"]["predicted_n"] for x in answers)
        first = max(x["timings"]["prompt_ms"] for x in answers) / 1000
        return {"speed": (read + made) / seconds, "tg": made / max(seconds - first, 1e-9)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("--sequences", default="1,8,16")
    parser.add_argument("--prompt", type=int, default=128, help="tokens of a prompt")
    parser.add_argument("--output", type=int, default=64, help="tokens of an answer")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    target = os.environ.get("CARGO_TARGET_DIR", ROOT / "target")
    parser.add_argument("--throughput", default=pathlib.Path(target) / "release" / "examples" / "throughput")
    parser.add_argument("--option", action="append", default=[], help="name=value, an option of the plugin")
    parser.add_argument("--json", action="store_true", help="every measurement as a line on stdout")
    a = parser.parse_args()
    binaries = tools()
    theirs, plugin = versions()
    print(f"llama.cpp {theirs} in the tools, {plugin} in the plugin; {a.threads} threads, "
          f"{a.prompt} + {a.output} tokens a sequence, GOMP_SPINCOUNT={ENVIRONMENT['GOMP_SPINCOUNT']}")
    ours = Ours(a)
    contestants = [ours, BatchedBench(binaries), Server(binaries, lambda: ours.prompts)]
    print(f"{'sequences':>9} {'against':>14} {'measure':>8} {'ratio':>6} {'range':>13} {'ours':>8} {'theirs':>8}  tok/s")
    for sequences in map(int, a.sequences.split(",")):
        rounds = []
        for number in range(a.rounds):
            shift = number % len(contestants) if number else 0
            found = {}
            for contestant in contestants[shift:] + contestants[:shift]:
                found[contestant.name] = contestant.measure(a, sequences)
            rounds.append(found)
            if a.json:
                print(json.dumps({"sequences": sequences, "round": number, **found}), flush=True)
        for other in contestants[1:]:
            for measure in ("speed", "tg"):
                pairs = [(r["ours"][measure], r[other.name][measure]) for r in rounds]
                ratios = sorted(x / y for x, y in pairs)
                mine, yours = (statistics.median(p[i] for p in pairs) for i in (0, 1))
                print(f"{sequences:>9} {other.name:>14} {measure:>8} {statistics.median(ratios):>6.3f} "
                      f"{ratios[0]:>6.3f}-{ratios[-1]:.3f} {mine:>8.1f} {yours:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
