"""Greedy generation: the plugin `llama-tch` and Transformers' `generate`, in turn.

    python benches/generation/pair.py [--batches 1,16] [--prompt 32] [--output 64] [--rounds 3] [--threads 2]

SmolLM2-135M's shape with random weights, float32 on the CPU. Each side runs in a process of its own,
alternating and in an order that turns with the rounds; each warms up with the same prompts first, and
timed is the whole answer, prompt included. Printed are tokens a second and the ratio of each round.
The Python is the one of `cargo xtask parity`; the plugin's example is built by
`cargo build --release -p tale-llm-llama-tch --example generation`.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
VOCABULARY = 49152


def make(folder, prompts, length):
    """A model with random weights whose tokens are words `w0 w1 …`, and prompts of exact lengths."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1024)
    config = LlamaConfig(vocab_size=VOCABULARY, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                         num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=2048,
                         rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1, pad_token_id=2,
                         rope_parameters=dict(rope_type="default", rope_theta=100000.0))
    LlamaForCausalLM(config).float().save_pretrained(folder / "base")
    tokenizer = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "base/tokenizer.json"))
    (folder / "base/tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "w1", "pad_token": "w2", "unk_token": "w0",
         "chat_template": "{% for m in messages %}{{ m.content }} {% endfor %}"}))
    ids = torch.randint(3, VOCABULARY, (prompts, length), generator=torch.Generator().manual_seed(1024))
    (folder / "prompts.json").write_text(json.dumps([" ".join(f"w{i}" for i in row) for row in ids.tolist()]))


def transformers(folder, batch, output, threads):
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32).eval()
    prompts = json.loads((folder / "prompts.json").read_text())[:batch]
    ids = torch.tensor([[int(word[1:]) for word in prompt.split()] for prompt in prompts])
    for _ in range(2):
        start = time.perf_counter()
        with torch.inference_mode():
            model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=output, min_new_tokens=output, do_sample=False)
        seconds = time.perf_counter() - start
    return batch * output / seconds


def tale(folder, batch, output, threads):
    options = {"device": "cpu", "threads": threads}
    command = [ROOT / "target/release/examples/generation", folder / "base", str(batch), str(output), folder / "prompts.json", json.dumps(options)]
    found = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    assert found["tokens"] == batch * output, "an answer ended early: no fair comparison"
    return found["tokens"] / found["seconds"]


SIDES = {"tale": tale, "transformers": transformers}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", default="1,16")
    parser.add_argument("--prompt", type=int, default=32)
    parser.add_argument("--output", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        print(json.dumps(SIDES[args.side](args.folder, args.batch, args.output, args.threads)))
        return
    # As `tale` sets it for itself, and the same for both.
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    batches = [int(batch) for batch in args.batches.split(",")]
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder), max(batches), args.prompt)
        for batch in batches:
            ratios = []
            for round_ in range(args.rounds):
                found = {}
                for side in sorted(SIDES, reverse=round_ % 2 == 1):
                    command = [sys.executable, __file__, "--side", side, "--batch", str(batch), "--folder", folder,
                               "--output", str(args.output), "--threads", str(args.threads)]
                    run = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
                    found[side] = json.loads(run.stdout.splitlines()[-1])
                ratios.append(found["tale"] / found["transformers"])
                numbers = "  ".join(f"{side} {speed:.1f} tokens/s" for side, speed in found.items())
                print(f"batch {batch}, round {round_ + 1}: {numbers}  ratio {ratios[-1]:.2f}", flush=True)
            print(f"batch {batch}: median ratio {statistics.median(ratios):.2f}", flush=True)


main()
