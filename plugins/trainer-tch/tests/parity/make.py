"""Makes the training fixtures: ten optimiser steps of PEFT's adapter on a tiny model, in a plain
loop of PyTorch, by SFT and by DPO with and without a reference. `cargo xtask parity` runs this.

    python make.py BASE FOLDER

BASE is the tiny qwen2 of `plugins/common/llama/tests/parity`. The loop computes prompt and answers of
each pair in sequences of their own, so it shares no trick with what it checks.
"""

import json
import sys
from pathlib import Path

import peft
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

SEED, STEPS, RATE, DECAY, CLIP, BETA = 1024, 10, 3e-2, 0.01, 1.0, 0.5
GENERATOR = torch.Generator().manual_seed(SEED)


def tokens(length):
    return torch.randint(3, 96, (length,), generator=GENERATOR).tolist()


def pair():
    lengths = torch.randint(3, 12, (3,), generator=GENERATOR).tolist()
    prompt, chosen, rejected = map(tokens, lengths)
    return {"prompt": prompt, "chosen": chosen + [2], "rejected": rejected + [2]}


PAIRS = [pair() for _ in range(6)]


def log_likelihoods(model, prompt, answer):
    logits = model(torch.tensor([prompt + answer])).logits[0, len(prompt) - 1 : -1]
    return logits.log_softmax(-1).gather(1, torch.tensor(answer)[:, None])[:, 0]


def sft(model):
    scores = [log_likelihoods(model, p["prompt"], p["chosen"]) for p in PAIRS]
    return -torch.cat(scores).mean()


def margin(model, p):
    return log_likelihoods(model, p["prompt"], p["chosen"]).sum() - log_likelihoods(model, p["prompt"], p["rejected"]).sum()


def dpo_printed(model):
    return torch.stack([-F.logsigmoid(margin(model, p)) for p in PAIRS]).mean()


def dpo_reference(model):
    losses = []
    for p in PAIRS:
        with torch.no_grad(), model.disable_adapter():
            reference = margin(model, p)
        losses.append(-F.logsigmoid(BETA * (margin(model, p) - reference)))
    return torch.stack(losses).mean()


def values(model):
    return {name: p.detach().flatten().tolist() for name, p in model.named_parameters() if p.requires_grad}


def main(base, folder):
    folder.mkdir(exist_ok=True, parents=True)
    for name, loss_of in {"sft": sft, "dpo_printed": dpo_printed, "dpo_reference": dpo_reference}.items():
        torch.manual_seed(SEED)
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
        config = LoraConfig(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "o_proj", "down_proj"], task_type="CAUSAL_LM")
        model = get_peft_model(model, config)
        with torch.no_grad():
            for parameter_name, parameter in model.named_parameters():
                if "lora_B" in parameter_name:
                    parameter.normal_(0, 0.05)
        if name == "sft":
            model.save_pretrained(folder / "start")
            (folder / "start/README.md").unlink(missing_ok=True)
            path = folder / "start/adapter_config.json"
            path.write_text(path.read_text().replace(str(base), "tiny-qwen2"))
            with torch.no_grad():
                logits = model(torch.tensor([PAIRS[0]["prompt"]])).logits[0, -1].tolist()
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(trained, lr=RATE, weight_decay=DECAY)
        losses, norms, gradients = [], [], None
        for step in range(STEPS):
            loss = loss_of(model)
            loss.backward()
            if step == 0:
                gradients = {n: p.grad.flatten().tolist() for n, p in model.named_parameters() if p.requires_grad}
            norms.append(torch.nn.utils.clip_grad_norm_(trained, CLIP).item())
            optimizer.step()
            optimizer.zero_grad()
            losses.append(loss.item())
        short = lambda d: {n: [float(f"{v:.7g}") for v in vs] for n, vs in d.items()}
        expected = {
            "made_with": {"torch": torch.__version__, "peft": peft.__version__, "seed": SEED},
            "options": {"learning_rate": RATE, "weight_decay": DECAY, "max_grad_norm": CLIP},
            "pairs": PAIRS, "losses": losses, "norms": norms, "adapter_logits": logits,
            "gradients": short(gradients), "end": short(values(model)),
        }
        (folder / f"{name}.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


main(Path(sys.argv[1]), Path(sys.argv[2]))
