"""Trains a LoRA adapter with TRL; the plugin `trl` of TALE starts this under `accelerate launch`.

    train.py JOB.json

Everything is decided in the job: the pairs come as tokens, so that prompts and ends of answers are
those of TALE's own trainer. What this says on its standard output is JSON, an object a line; all else
goes to standard error. When its standard input ends, nobody waits any more, and it ends too.
"""

import errno
import json
import math
import os
import stat
import sys
import threading
import time
import traceback

RANK, WORLD = int(os.environ.get("RANK", 0)), int(os.environ.get("WORLD_SIZE", 1))

# Libraries print. What they print must not fall between the messages.
SPEECH = os.dup(1)
os.dup2(2, 1)


def say(kind, everybody=False, **more):
    if RANK == 0 or everybody:
        # One write: lines of several processes do not mix.
        os.write(SPEECH, (json.dumps({"type": kind, **more}) + "\n").encode())


def end_with_the_input():
    """A launcher that was killed leaves its workers behind; their standard input is the plugin's pipe."""

    def watch():
        while os.read(0, 4096):
            pass
        os._exit(1)

    if stat.S_ISFIFO(os.fstat(0).st_mode):
        threading.Thread(target=watch, daemon=True).start()


class Diverged(Exception):
    pass


def share(job):
    """Pairs at a time in a process, and how often before a step, so that a step is of `batch` pairs."""
    if job["batch"] % WORLD:
        raise ValueError(f"`batch` = {job['batch']} cannot be divided among {WORLD} processes")
    each = job["batch"] // WORLD
    at_a_time = next(n for n in range(min(job["micro_batch"], each), 0, -1) if each % n == 0)
    return at_a_time, each // at_a_time


def rows(job):
    with open(job["pairs"]) as file:
        for line in file:
            pair = json.loads(line)
            prompt, chosen, rejected = pair["prompt"], pair["chosen"], pair["rejected"]
            if job["method"] == "sft":
                yield {"input_ids": prompt + chosen, "completion_mask": [0] * len(prompt) + [1] * len(chosen)}
            else:
                row = {"prompt_ids": prompt, "chosen_ids": chosen, "rejected_ids": rejected}
                # Without a reference the difference is taken from nothing.
                none = {} if job["reference"] else {"ref_chosen_logps": 0.0, "ref_rejected_logps": 0.0}
                yield {**row, **none}


def make(job, steps):
    import torch
    import trl
    from datasets import Dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback, set_seed

    at_a_time, accumulated = share(job)
    on_cpu = job["device"] == "cpu" or not torch.cuda.is_available()
    in_bf16 = job["precision"] == "bf16" or job["precision"] == "auto" and not on_cpu
    common = dict(
        output_dir=job["checkpoints"], seed=job["seed"], use_cpu=on_cpu, bf16=in_bf16, fp16=False,
        num_train_epochs=job["epochs"], per_device_train_batch_size=at_a_time, gradient_accumulation_steps=accumulated,
        learning_rate=job["learning_rate"], weight_decay=job["weight_decay"], max_grad_norm=job["max_grad_norm"],
        lr_scheduler_type={"constant": "constant_with_warmup"}.get(job["schedule"], job["schedule"]),
        warmup_steps=math.ceil(job["warmup"] * steps), gradient_checkpointing=job["activation_checkpointing"],
        save_strategy="steps", save_steps=job["checkpoint_steps"], save_total_limit=2, logging_steps=1,
        # A loss that is no number must be seen.
        logging_nan_inf_filter=False, report_to="none", disable_tqdm=True, dataloader_pin_memory=not on_cpu,
        ddp_find_unused_parameters=False, max_length=None,
    )
    # Before the model: it tells DeepSpeed how to load one in parts.
    if job["method"] == "sft":
        config = trl.SFTConfig(completion_only_loss=True, loss_type="nll", packing=False, **common)
    else:
        config = trl.DPOConfig(beta=job["beta"], loss_type="sigmoid", **common)
    # FSDP wants weights and adapter of one kind, and computes in bf16 by its own policy.
    sharded = os.environ.get("ACCELERATE_USE_FSDP", "false").lower() in ("true", "1")
    dtype = torch.bfloat16 if in_bf16 and not sharded else torch.float32
    model = AutoModelForCausalLM.from_pretrained(job["base"], dtype=dtype)
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=os.path.join(job["base"], "tokenizer.json"))
    # Filling is masked: which token it is does not matter.
    tokenizer.eos_token = tokenizer.pad_token = tokenizer.convert_ids_to_tokens(job["end"])
    lora = LoraConfig(r=job["rank"], lora_alpha=job["alpha"], target_modules=job["projections"], lora_dropout=0.0,
                      bias="none", task_type="CAUSAL_LM")

    class Preferences(trl.DPOTrainer):
        def _prepare_dataset(self, dataset, *_):
            return dataset

    class Reports(TrainerCallback):
        tokens, time = 0, 0.0

        def on_train_begin(self, *_, **__):
            self.time = time.monotonic()

        def on_log(self, _args, state, _control, logs=None, **__):
            if "loss" not in logs:
                return
            loss, now, tokens = logs["loss"], time.monotonic(), int(logs.get("num_tokens", 0))
            # Before the checkpoint of this step is written.
            if not math.isfinite(loss):
                say("diverged", step=state.global_step, loss=str(loss))
                raise Diverged(f"the loss of step {state.global_step} is {loss}")
            names = {"learning_rate": "learning_rate", "grad_norm": "gradient_norm", "rewards/accuracies": "preferred",
                     "rewards/margins": "margin"}
            more = {ours: float(logs[theirs]) for theirs, ours in names.items() if math.isfinite(logs.get(theirs, math.nan))}
            say("step", step=state.global_step, total_steps=state.max_steps, loss=loss, tokens=tokens - self.tokens,
                seconds=now - self.time, more=more)
            self.tokens, self.time = tokens, now

        def on_save(self, args, state, *_, **__):
            say("checkpoint", step=state.global_step, path=os.path.join(args.output_dir, f"checkpoint-{state.global_step}"))

    set_seed(job["seed"])
    trainer = (trl.SFTTrainer if job["method"] == "sft" else Preferences)(
        model, args=config, train_dataset=Dataset.from_list(list(rows(job))), processing_class=tokenizer,
        peft_config=lora, callbacks=[Reports()])
    if job["method"] == "dpo" and not job["reference"]:
        trainer.precompute_ref_logps = True
    return trainer


def main():
    with open(sys.argv[1]) as file:
        job = json.load(file)
    end_with_the_input()
    with open(job["pairs"]) as file:
        pairs = sum(1 for _ in file)
    steps = job["epochs"] * -(-pairs // job["batch"])
    trainer = make(job, steps)
    say("start", total_steps=steps, processes=WORLD)
    trainer.train(resume_from_checkpoint=job["resume"])
    # All processes take part in gathering what is spread over them.
    trainer.save_model(job["adapter"])
    trainer.accelerator.wait_for_everyone()
    say("done", steps=trainer.state.global_step)


def kind_of(error):
    text = str(error)
    if type(error).__name__ == "OutOfMemoryError" or "out of memory" in text or "can't allocate memory" in text:
        return "memory"
    full = ("No space left", "PytorchStreamWriter failed", "iostream error")
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT) or any(part in text for part in full):
        return "disk"
    return "missing" if isinstance(error, ImportError) else "failed"


try:
    main()
except Diverged:
    os._exit(1)
except Exception as error:
    traceback.print_exc()
    sys.stderr.flush()
    say("error", everybody=True, kind=kind_of(error), message=f"{type(error).__name__}: {error}"[:2000])
    # Without waiting for the other processes, which may wait for this one.
    os._exit(1)
