"""PEFT reads an adapter that this project wrote, and must give the logits of the fixture.

    python check_peft.py BASE ADAPTER sft.json
"""

import json
import sys

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

base, adapter, fixture = sys.argv[1:]
expected = json.load(open(fixture))
model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager")
model = PeftModel.from_pretrained(model, adapter).eval()
with torch.no_grad():
    logits = model(torch.tensor([expected["pairs"][0]["prompt"]])).logits[0, -1]
difference = (logits - torch.tensor(expected["adapter_logits"])).abs().max().item()
print(f"PEFT with our adapter: largest difference of a logit {difference:.1e}")
sys.exit(difference > 1e-5)
