"""A step of training: TALE's trainer, a plain loop of PyTorch and PEFT, and for SFT also TRL, in turn.

    python benches/training/train_step.py [sft|dpo] [--rounds 3] [--threads 2] [--without-trl]

SmolLM2-135M's shape with random weights, float32, 4 sequences of 256 tokens of which the second half
is the completion, rank 8 on q_proj and v_proj; for DPO 4 pairs of such sequences with one prompt each,
and the base model as reference. TRL's DPO gave NaN with such weights, so it is no yardstick. Each side runs in a process of its own, alternating;
printed are seconds a step and peak memory, and the ratios of each round. The Python is the one of
`cargo xtask parity` (with trl==1.16.0 for the third side); the trainer's example is built by
`cargo build --release -p tale-trainer-tch --example train`.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
SEQUENCES, LENGTH, STEPS = 4, 256, 3


def make(folder):
    """A model with random weights, whose tokens are words `w0 w1 …`, and pairs of exact lengths."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(1024)
    config = LlamaConfig(vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30,
                         num_attention_heads=9, num_key_value_heads=3, max_position_embeddings=2048,
                         rms_norm_eps=1e-5, tie_word_embeddings=True, bos_token_id=0, eos_token_id=1, pad_token_id=2,
                         rope_parameters=dict(rope_type="default", rope_theta=100000.0))
    LlamaForCausalLM(config).float().save_pretrained(folder / "base")
    words = {f"w{i}": i for i in range(config.vocab_size)}
    tokenizer = Tokenizer(models.WordLevel(words, unk_token="w0"))
    tokenizer.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    tokenizer.save(str(folder / "base/tokenizer.json"))
    template = "{% for m in messages %}{{ m.content }} {% endfor %}"
    (folder / "base/tokenizer_config.json").write_text(json.dumps(
        {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "w1", "pad_token": "w2", "unk_token": "w0",
         "chat_template": template}))
    generator = torch.Generator().manual_seed(1024)
    with open(folder / "pairs.jsonl", "w") as out:
        for _ in range(SEQUENCES * STEPS):
            half = LENGTH // 2
            ids = torch.randint(3, config.vocab_size, (3 * half - 2,), generator=generator).tolist()
            parts = (ids[:half], ids[half : 2 * half - 1], ids[2 * half - 1 :])
            text = [" ".join(f"w{i}" for i in part) for part in parts]
            pair = {"prompt": [{"role": "user", "content": text[0]}], "chosen": text[1], "rejected": text[2]}
            print(json.dumps(pair), file=out)


def pairs(folder):
    for line in open(folder / "pairs.jsonl"):
        pair = json.loads(line)
        texts = (pair["prompt"][0]["content"], pair["chosen"], pair["rejected"])
        prompt, chosen, rejected = ([int(w[1:]) for w in text.split()] for text in texts)
        yield prompt, chosen + [1], rejected + [1]


def preference(model, batch):
    """DPO with β = 0.5; the reference is the model with its adapter off."""
    import torch
    import torch.nn.functional as F

    prompts = len(batch[0][0])
    ids = torch.tensor([p + c for p, c, _ in batch] + [p + r for p, _, r in batch])

    def margins():
        logits = model(input_ids=ids).logits[:, prompts - 1 : -1]
        scores = logits.log_softmax(-1).gather(2, ids[:, prompts:, None]).sum((1, 2))
        return scores[: len(batch)] - scores[len(batch) :]

    with torch.no_grad(), model.disable_adapter():
        reference = margins()
    return -F.logsigmoid(0.5 * (margins() - reference)).mean()


def plain(folder, threads, method):
    import torch
    from peft import LoraConfig, get_peft_model
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(threads)
    model = AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32)
    model = get_peft_model(model, LoraConfig(r=8, lora_alpha=32, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    optimizer = torch.optim.AdamW([p for p in model.parameters() if p.requires_grad], lr=1e-4)
    data, times = list(pairs(folder)), []
    for step in range(STEPS):
        batch = data[step * SEQUENCES :][:SEQUENCES]
        start = time.perf_counter()
        if method == "dpo":
            loss = preference(model, batch)
        else:
            ids = torch.tensor([p + c for p, c, _ in batch])
            labels = torch.tensor([[-100] * len(p) + c for p, c, _ in batch])
            loss = model(input_ids=ids, labels=labels).loss
        assert loss.isfinite(), "no yardstick: the loss is not finite"
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
        times.append(time.perf_counter() - start)
    return times


def trl(folder, threads, _method):
    import torch
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, TrainerCallback
    from trl import SFTConfig, SFTTrainer

    torch.set_num_threads(threads)
    times = []

    class Clock(TrainerCallback):
        def on_step_begin(self, *_, **__):
            self.start = time.perf_counter()

        def on_step_end(self, *_, **__):
            times.append(time.perf_counter() - self.start)

    rows = [{"input_ids": p + c, "completion_mask": [0] * len(p) + [1] * len(c)} for p, c, _ in pairs(folder)]
    trainer = SFTTrainer(
        AutoModelForCausalLM.from_pretrained(folder / "base", dtype=torch.float32),
        args=SFTConfig(output_dir=str(folder / "trl"), per_device_train_batch_size=SEQUENCES, max_steps=STEPS, max_length=LENGTH,
                       use_cpu=True, bf16=False, report_to=[], save_strategy="no", gradient_checkpointing=False, learning_rate=1e-4),
        train_dataset=Dataset.from_list(rows), callbacks=[Clock()],
        peft_config=LoraConfig(r=8, lora_alpha=32, target_modules=["q_proj", "v_proj"], task_type="CAUSAL_LM"))
    trainer.train()
    return times


def tale(folder, threads, method):
    out = Path(tempfile.mkdtemp(dir=folder))
    options = {"threads": threads, "device": "cpu", "batch": SEQUENCES, "epochs": 1, "micro_batch_tokens": 2 * SEQUENCES * LENGTH}
    if method == "dpo":
        options["reference"] = True
    subprocess.run([ROOT / "target/release/examples/train", method, folder / "base", folder / "pairs.jsonl", out, json.dumps(options)],
                   check=True, capture_output=True)
    lines = [json.loads(line) for line in open(out / "metrics.jsonl")]
    # Tokens computed: a pair's prompt once.
    tokens = SEQUENCES * LENGTH * (3 if method == "dpo" else 2) // 2
    return [tokens / line["tokens_per_s"] for line in lines]


SIDES = {"tale": tale, "plain": plain, "trl": trl}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("method", nargs="?", choices=["sft", "dpo"], default="sft")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--without-trl", action="store_true")
    parser.add_argument("--side", choices=SIDES, help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.side:
        times = SIDES[args.side](args.folder, args.threads, args.method)
        who = resource.RUSAGE_CHILDREN if args.side == "tale" else resource.RUSAGE_SELF
        # The first step warms up.
        print(json.dumps({"step_s": statistics.median(times[1:]), "peak_gb": resource.getrusage(who).ru_maxrss / 2**20}))
        return
    os.environ.setdefault("GOMP_SPINCOUNT", "3000")
    sides = [side for side in SIDES if side != "trl" or not (args.without_trl or args.method == "dpo")]
    with tempfile.TemporaryDirectory() as folder:
        make(Path(folder))
        for round_ in range(args.rounds):
            found = {}
            for side in sides:
                command = [sys.executable, __file__, args.method, "--side", side, "--folder", folder, "--threads", str(args.threads)]
                found[side] = json.loads(subprocess.run(command, check=True, capture_output=True, text=True).stdout.splitlines()[-1])
            numbers = "  ".join(f"{side} {f['step_s']:.2f} s {f['peak_gb']:.2f} GB" for side, f in found.items())
            ratios = "  ".join(f"tale/{side} {found['tale']['step_s'] / found[side]['step_s']:.2f} time {found['tale']['peak_gb'] / found[side]['peak_gb']:.2f} memory"
                               for side in sides if side != "tale")
            print(f"round {round_ + 1}: {numbers}  {ratios}", flush=True)


main()
