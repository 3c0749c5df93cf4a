"""Compares fixtures that were just made with those in the tree.

    python compare.py MADE TREE …

Every file of a folder MADE must be in TREE and say the same: texts and counts exactly, names in any order, weights bit for
bit, lists of numbers within a thousandth of their largest (another CPU adds in another order, and ten
steps of Adam enlarge that). Versions that differ are shown, and are no fault.
"""

import json
import sys
from pathlib import Path

TOLERANCE = 1e-3


def numbers(value):
    """The numbers in nested lists; none if there is something else."""
    if isinstance(value, list):
        parts = [numbers(v) for v in value]
        return None if any(p is None for p in parts) else [n for p in parts for n in p]
    return [value] if isinstance(value, (int, float)) and not isinstance(value, bool) else None


def differences(made, kept, at):
    """Yields (place, difference over the largest, or None for what cannot be measured)."""
    if all(isinstance(v, list) and all(isinstance(w, str) for w in v) for v in (made, kept)):
        # PEFT writes a set of names, in an order that changes with Python's hashes.
        made, kept = sorted(made), sorted(kept)
    left, right = numbers(made), numbers(kept)
    if left is not None and right is not None:
        if len(left) != len(right):
            yield f"{at}: {len(left)} numbers, {len(right)} in the tree", None
        elif any(isinstance(n, float) for n in right):
            largest = max(map(abs, right), default=0) or 1
            yield at, max((abs(a - b) for a, b in zip(left, right)), default=0) / largest
        elif left != right:
            yield at, None
    elif isinstance(made, dict) and isinstance(kept, dict):
        for key in sorted({*made, *kept}):
            if key == "made_with":
                if made.get(key) != kept.get(key):
                    print(f"  made with {made.get(key)}, in the tree with {kept.get(key)}")
            elif key in made and key in kept:
                yield from differences(made[key], kept[key], f"{at}.{key}")
            else:
                yield f"{at}.{key} is on one side only", None
    elif isinstance(made, list) and isinstance(kept, list) and len(made) == len(kept):
        for index, pair in enumerate(zip(made, kept)):
            yield from differences(*pair, f"{at}[{index}]")
    elif made != kept:
        yield at, None


def check(made, kept):
    if not kept.is_file():
        return [f"{kept}: not in the tree"]
    if made.suffix != ".json":
        same = made.read_bytes() == kept.read_bytes()
        print(f"{kept}: {'the same bytes' if same else 'OTHER BYTES'}")
        return [] if same else [f"{kept}: other bytes"]
    found = list(differences(json.loads(made.read_text()), json.loads(kept.read_text()), kept.name))
    worst = max((d for _, d in found if d is not None), default=0)
    print(f"{kept}: largest difference {worst:.1e}")
    return [f"{kept}: {at}" for at, d in found if d is None or not d <= TOLERANCE]


faults = []
for made, kept in zip(map(Path, sys.argv[1::2]), map(Path, sys.argv[2::2])):
    files = [made] if made.is_file() else sorted(path for path in made.rglob("*") if path.is_file())
    for file in files:
        faults += check(file, kept if made.is_file() else kept / file.relative_to(made))
for fault in faults:
    print("DIFFERS", fault)
sys.exit(bool(faults))
