"""Times the kernels and torch at the same shapes, in turns, and writes a Markdown table of the medians.

    python compare.py PROGRAM [--rounds N] [--json OUT] [PART OF A NAME...]

PROGRAM is the benchmark that `cargo bench -p x0-kernels --bench kernels --no-run` names. Needs torch. torch's tensors lie as diffusers has them,
channels first, and it uses as many threads as the kernels (all processors, or X0_THREADS). `--json` keeps every repetition of both."""

import argparse
import collections
import json
import os
import statistics
import subprocess
import time

import torch
from torch.nn import functional as F

torch.manual_seed(0)
torch.set_grad_enabled(False)
torch.set_num_threads(int(os.environ.get("X0_THREADS") or len(os.sched_getaffinity(0))))


def split(batch, tokens, heads, width):
    """As diffusers calls it: a view of a layer's answer."""
    return torch.randn(batch, tokens, heads * width).view(batch, tokens, heads, width).transpose(1, 2)


def conv2d(batch, size, inputs, outputs, kernel, stride, upsample):
    x, w, b = torch.randn(batch, inputs, size, size), torch.randn(outputs, inputs, kernel, kernel) * 0.02, torch.randn(outputs)
    enlarge = (lambda x: F.interpolate(x, scale_factor=2.0, mode="nearest")) if upsample else (lambda x: x)
    return lambda: F.conv2d(enlarge(x), w, b, stride=stride, padding=kernel // 2)


def linear(rows, inputs, outputs):
    x, w, b = torch.randn(rows, inputs), torch.randn(outputs, inputs) * 0.02, torch.randn(outputs)
    return lambda: F.linear(x, w, b)


def attention(batch, queries, keys, heads, width):
    q, k, v = (split(batch, n, heads, width) for n in (queries, keys, keys))
    return lambda: F.scaled_dot_product_attention(q, k, v)


def group_norm_silu(batch, size, channels):
    x, w = torch.randn(batch, channels, size, size), torch.randn(channels)
    return lambda: F.silu(F.group_norm(x, 32, w, w))


def layer_norm(rows, channels):
    x, w = torch.randn(rows, channels), torch.randn(channels)
    return lambda: F.layer_norm(x, (channels,), w, w)


def geglu(rows, channels):
    x = torch.randn(rows, 2 * channels)

    def run():
        value, gate = x.chunk(2, dim=-1)
        return value * F.gelu(gate)

    return run


def repeat(run):
    """As main.rs does it."""
    run()
    begin, seconds = time.perf_counter(), []
    while len(seconds) < 2 or (time.perf_counter() - begin < 0.25 and len(seconds) < 50):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return seconds


def by_torch(case):
    make = {"conv2d": conv2d, "linear": linear, "attention": attention, "group_norm_silu": group_norm_silu,
            "layer_norm": layer_norm, "geglu": geglu}.get(case["kernel"])
    if make is None:
        return []
    return repeat(make(**{name: int(value) for name, value in (pair.split("=") for pair in case["shape"].split())}))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--json")
    parser.add_argument("parts", nargs="*")
    args = parser.parse_args()
    ours, theirs, cases = collections.defaultdict(list), collections.defaultdict(list), {}
    for _ in range(args.rounds):
        machine = ["fma", "read"] if args.parts else []
        out = subprocess.run([args.program, *machine, *args.parts], check=True, capture_output=True, text=True).stdout
        for case in map(json.loads, out.splitlines()):
            key = case["kernel"], case["shape"]
            cases[key] = case
            ours[key] += case["seconds"]
            theirs[key] += by_torch(case)
    if args.json:
        with open(args.json, "w") as f:
            f.writelines(json.dumps(case | {"seconds": ours[key], "torch": theirs[key]}) + "\n" for key, case in cases.items())
    best = {key: min(seconds) for key, seconds in ours.items()}
    peak = max(cases[key]["flops"] / s for key, s in best.items() if key[0] == "fma")
    traffic = max(cases[key]["bytes"] / s for key, s in best.items() if key[0] == "read")
    print(f"Peak {peak / 1e9:.0f} GFLOP/s, {traffic / 1e9:.1f} GB/s.\n")
    print("| kernel | shape | GFLOP | MB | floor ms | x0 ms | of peak | torch ms | torch / x0 |\n|---|---|---|---|---|---|---|---|---|")
    for key, case in cases.items():
        if not theirs[key]:
            continue
        flops, size = case["flops"], case["bytes"]
        mine, other = statistics.median(ours[key]), statistics.median(theirs[key])
        shape = " ".join(pair for pair in case["shape"].split() if pair not in ("stride=1", "upsample=0"))
        of_peak = f"{flops / mine / peak:.0%}" if flops else "–"
        print(f"| {key[0]} | {shape} | {flops / 1e9:.2f} | {size / 1e6:.1f} | {1e3 * max(flops / peak, size / traffic):.2f} "
              f"| {1e3 * mine:.2f} | {of_peak} | {1e3 * other:.2f} | {other / mine:.2f} |")


if __name__ == "__main__":
    main()
