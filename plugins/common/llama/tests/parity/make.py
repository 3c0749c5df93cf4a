"""Makes the parity fixtures: a tiny model with random weights of each architecture, and what
Transformers makes of it. `cargo xtask parity` runs this; versions are in each expected.json.

    python make.py FOLDER

The weights are exact in bfloat16 and computed in float32, so that the files are small and both sides
read the same numbers.
"""

import json
import sys
from pathlib import Path

import torch
import transformers
from transformers import AutoModelForCausalLM, LlamaConfig, Qwen2Config

SEED = 1024
COMMON = dict(vocab_size=96, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
              rms_norm_eps=1e-5, max_position_embeddings=512, bos_token_id=1, eos_token_id=2, pad_token_id=0)
MODELS = {
    "llama2": LlamaConfig(**COMMON, num_key_value_heads=4, tie_word_embeddings=False),
    "llama3": LlamaConfig(
        **COMMON, num_key_value_heads=2, head_dim=16, tie_word_embeddings=False,
        rope_parameters=dict(rope_type="llama3", rope_theta=500000.0, factor=8.0, low_freq_factor=1.0,
                             high_freq_factor=4.0, original_max_position_embeddings=64)),
    "smollm2": LlamaConfig(**COMMON, num_key_value_heads=2, tie_word_embeddings=True,
                           rope_parameters=dict(rope_type="default", rope_theta=100000.0)),
    "qwen2": Qwen2Config(**COMMON, num_key_value_heads=2, tie_word_embeddings=True,
                         rope_parameters=dict(rope_type="default", rope_theta=1000000.0)),
}


def main(folder: Path) -> None:
    for index, (name, config) in enumerate(MODELS.items()):
        torch.manual_seed(SEED + index)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager").float().eval()
        with torch.no_grad():
            for parameter in model.parameters():
                # Larger than a model's usual start, or every position would look alike.
                spread = torch.randn_like(parameter) * 0.15
                parameter.copy_((parameter + spread).bfloat16().float())
            prompt = torch.randint(3, config.vocab_size, (1, 100))
            logits = model(prompt).logits[0]
            text = prompt[:, :16]
            for _ in range(64):
                best = model(text).logits[:, -1].argmax(-1, keepdim=True)
                text = torch.cat([text, best], 1)
        out = folder / name
        model.bfloat16().save_pretrained(out)
        (out / "generation_config.json").unlink(missing_ok=True)
        # Some rows whole; a sum over all rows holds the others.
        expected = {
            "made_with": {"torch": torch.__version__, "transformers": transformers.__version__, "seed": SEED + index},
            "prompt": prompt[0].tolist(),
            "rows": {str(row): [round(v, 6) for v in logits[row].tolist()] for row in (0, 1, 40, 99)},
            "sum_of_absolutes": logits.abs().sum().item(),
            "greedy": text[0].tolist(),
        }
        (out / "expected.json").write_text(json.dumps(expected, separators=(",", ":")) + "\n")


main(Path(sys.argv[1]))
