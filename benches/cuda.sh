#!/usr/bin/env bash
# What a CUDA card does, in one command: benches/cuda.sh [DEVICE, default cuda:0]
#
# Fetches PyTorch's libtorch with CUDA where LIBTORCH or LIBTORCH_USE_PYTORCH name none, builds, checks
# that the card computes (logits as on the CPU, texts, a loss that falls), and measures Llama-3.1-8B's shape with random weights, so that no model is fetched: tokens decoded a
# second at batch 1, 16, 64 and 256, and tokens trained a second. 40 GB of the card are needed.
# A line of JSON a measurement on stdout; what part of the card's limits that is, on stderr.
# SHAPE=smollm2-135m, MEMORY_TB_S and TFLOP_S change the model and the card; OPTIONS is handed on.
#
# EXPECTED ON AN H100 SXM (3.35 TB/s, 989 TFLOP/s dense bf16); no figure here has been measured.
#
# Decoding is bound by memory. A pass over B texts of C tokens reads every weight but the embedding
# once, 7.50e9 parameters of 2 bytes, and the keys and values of each text: 32 blocks x 2 x 8 heads x
# 128 x 2 bytes = 131,072 bytes a token. So
#     tokens/s = share x 3.35e12 x B / (15.0e9 + B x C x 131072)
# and with 128 + 64 tokens of context on average the limits are, at share 1: 223 at batch 1, 3,480 at
# 16, 12,900 at 64, and 40,000 at 256 (where computing, 989e12 / 15.0e9 = 65,900, is not yet the
# limit). Kernels are started one by one, some 600 a pass, without graphs; a share of 0.4 to 0.6 is
# expected: about 90 to 130, 1,400 to 2,100, 5,200 to 7,700, 16,000 to 24,000 tokens/s.
#
# Training is bound by computing. The base is frozen, so the backward pass goes through activations
# only: 4 FLOP a parameter and token in the blocks (6.98e9 parameters), and for the half of the tokens
# that are targets 4 FLOP in the vocabulary projection (0.525e9), 29.0 GFLOP a token in all:
#     tokens/s = share x 989e12 / 29.0e9
# 34,100 at share 1; with rank 8 on q_proj and v_proj, no recomputation and batches of 8,192 tokens a
# share of 0.35 to 0.5 is expected: 12,000 to 17,000 tokens/s.
set -euo pipefail
cd "$(dirname "$0")/.."

DEVICE=${1:-cuda:0} SHAPE=${SHAPE:-llama-3.1-8b}
case $DEVICE in
cuda*)
    command -v nvidia-smi >/dev/null || { echo "error: no nvidia-smi, so no driver of a card" >&2; exit 1; }
    nvidia-smi --query-gpu=name,driver_version,memory.total --format=csv,noheader >&2
    [ -n "${LIBTORCH:-}${LIBTORCH_USE_PYTORCH:-}" ] || export TALE_LIBTORCH=cuda
    ;;
esac
variables=$(cargo xtask env)
eval "$variables"

cargo build --release -p tale-trainer-tch --example card >&2
card=target/release/examples/card
"$card" smoke "$DEVICE"
report=$(cat <<'PYTHON'
import json, os, sys

memory, compute = float(os.environ.get("MEMORY_TB_S", 3.35)) * 1e12, float(os.environ.get("TFLOP_S", 989)) * 1e12
# Parameters of the blocks, of the vocabulary projection, and bytes of keys and values a token.
shapes = {"llama-3.1-8b": (6.98e9, 0.525e9, 131072), "smollm2-135m": (1.062e8, 2.83e7, 23040)}
blocks, head, token = shapes.get(os.environ["SHAPE"], (0, 0, 0))
for line in sys.stdin:
    m = json.loads(line)
    if m["what"] == "generation":
        context = m["prompt"] + m["tokens"] / 2
        limit = memory * m["batch"] / (2 * (blocks + head) + m["batch"] * context * token) if token else 0
        name = f"batch {m['batch']}"
    else:
        limit, name = compute / (4 * blocks + 2 * head) if token else 0, "training"
    share = f", {m['tokens_per_s'] / limit:.2f} of the limit of {limit:.0f}" if limit else ""
    print(line, end="", flush=True)
    print(f"{name}: {m['tokens_per_s']:.0f} tokens/s{share}", file=sys.stderr)
PYTHON
)
# shellcheck disable=SC2086 # OPTIONS are several words
"$card" "$SHAPE" "$DEVICE" ${OPTIONS:-} | SHAPE=$SHAPE python3 -c "$report"
