#!/usr/bin/env python3
"""How long a search of a whole data set takes, from a search of a sample of it.

    python3 benches/engine/predict_search.py RUN --questions 7473 --prompt-speed 300 --output-speed 63
    python3 benches/engine/predict_search.py RUN --questions 7473 --seconds 540

RUN is a run directory with a finished search; its journal says what a question costs in the mean: calls, prompt
tokens evaluated (those that the engine's prefix cache answered for left out) and tokens generated. Speeds are the
machine's, in tokens per second over all sequences at the run's concurrency. With `--seconds`, what that very run
took, both speeds follow from it: a prompt token is taken to cost `--prompt-weight` of a generated one. The range is
95% over the choice of questions (bootstrap); it knows nothing of how well the speeds are known.
"""
import argparse
import json
import pathlib
import random
import sqlite3


def questions(run):
    """Per searched question: calls, prompt tokens evaluated, tokens generated."""
    journal = sqlite3.connect(f"file:{run / 'run.sqlite'}?mode=ro", uri=True)
    rows = journal.execute("""
        SELECT a.cell, a.position, count(DISTINCT c.id), sum(c.input_tokens - c.cached_input_tokens),
               sum(c.output_tokens)
        FROM attempt a JOIN call c ON c.id = a.call GROUP BY a.cell, a.position""")
    return [(calls, prompt or 0, output or 0) for _, _, calls, prompt, output in rows]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--questions", type=int, default=7473, help="of the whole data set")
    parser.add_argument("--prompt-speed", type=float)
    parser.add_argument("--output-speed", type=float)
    parser.add_argument("--seconds", type=float, help="what RUN took, in place of speeds")
    parser.add_argument("--prompt-weight", type=float, default=0.25)
    parser.add_argument("--start", type=float, default=0, help="seconds until the first call")
    a = parser.parse_args()
    sample = questions(a.run)
    if not sample:
        parser.error(f"{a.run} holds no finished search")
    if a.seconds:
        work = sum(a.prompt_weight * prompt + output for _, prompt, output in sample)
        a.output_speed = work / (a.seconds - a.start)
        a.prompt_speed = a.output_speed / a.prompt_weight
    elif not (a.prompt_speed and a.output_speed):
        parser.error("give --prompt-speed and --output-speed, or --seconds")

    def hours(drawn):
        scale = a.questions / len(drawn)
        prompt, output = (scale * sum(q[i] for q in drawn) for i in (1, 2))
        return (prompt / a.prompt_speed + output / a.output_speed + a.start) / 3600

    draw = random.Random(1024)
    resampled = sorted(hours(draw.choices(sample, k=len(sample))) for _ in range(2000))
    mean = [sum(q[i] for q in sample) / len(sample) for i in range(3)]
    print(json.dumps({
        "sample": len(sample), "questions": a.questions,
        "calls": round(a.questions * mean[0]), "prompt_tokens": round(a.questions * mean[1]),
        "output_tokens": round(a.questions * mean[2]),
        "prompt_speed": round(a.prompt_speed, 1), "output_speed": round(a.output_speed, 1),
        "hours": round(hours(sample), 3), "hours_ci95": [round(resampled[49], 3), round(resampled[1949], 3)],
    }, indent=2))


if __name__ == "__main__":
    main()
