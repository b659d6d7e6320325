"""The report of what was measured, as Markdown."""

import statistics
from typing import NamedTuple

import intervals
import items

PEERS = {"eager": "torch", "compiled": "torch compiled", "openvino": "OpenVINO"}


class Unit(NamedTuple):
    """Of times and rates of networks: a GPU does in milliseconds what takes a processor seconds."""

    time: str
    rate: str
    a_second: float


SECONDS, MILLISECONDS = Unit("s", "GFLOP/s", 1), Unit("ms", "TFLOP/s", 1000)


def on_gpu(machine):
    return "device" in machine


def ratio(values):
    center, low, high = values
    return f"**{center:.2f}** ({low:.2f}–{high:.2f})"


def table(head, rows):
    lines = ["|" + "".join(f" {cell} |" if cell else " |" for cell in cells) for cells in (head, *rows)]
    return "\n".join([lines[0], "|" + "---|" * len(head), *lines[1:]])


def named(results, kind):
    """Results of a kind, each with its item."""
    found = [(items.read(name), result) for name, result in results.items() if name != "machine"]
    return [(item, result) for item, result in found if isinstance(item, kind)]


def peers_of(results):
    """The peers that any of the results has, in the order of a table's columns."""
    return [peer for peer in PEERS if any(peer in result["seconds"] for _, result in results)]


def compared(seconds, peers):
    """How many times as long each peer takes as x0."""
    return [ratio(intervals.paired(seconds[peer], seconds["x0"])) if peer in seconds else "" for peer in peers]


def about(machine):
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    peers = f"Peers: {versions}, in " if versions else "x0 was measured alone, in "
    if on_gpu(machine):
        how = """: maps with their channels last, attention by
`scaled_dot_product_attention`, convolutions chosen by `cudnn.benchmark`, and what is compiled is so by `torch.compile` with the mode
`max-autotune`""" if versions else ""
        return f"""{machine["device"]}, {machine["processor"]}. Products of matrices of 8192 rows and columns by cuBLAS reach
{machine["peak_gflops"] / 1000:.0f} TFLOP/s in {machine["precision"]} there: the peak below. {peers}{machine["precision"]}{how}.
"""
    return f"""{machine["processor"]}, {machine["threads"]} threads, kernels for {machine["isa"]}. Measured at best {machine["peak_gflops"]:.0f} GFLOP/s in float32
({machine["peak_gflops_of_one_thread"]:.0f} of one thread) and {machine["memory_gigabytes_per_second"]:.0f} GB/s from memory. {peers}float32, on as many threads.
"""


def network_name(item, rows):
    if item.stage == "text_encoder":
        return f"text encoder, {rows} texts"
    size = f"{item.size} × {item.size}"
    if item.stage == "vae_decode":
        return f"VAE decoder, {size}"
    return f"UNet, {size}, " + ("a guided step (2 rows)" if rows == 2 else f"{rows} rows")


def networks(found, machine):
    unit, peers = MILLISECONDS if on_gpu(machine) else SECONDS, peers_of(found)
    stages = ("unet", "vae_decode", "text_encoder")
    found = sorted(found, key=lambda pair: (stages.index(pair[0].stage), -pair[0].size, pair[0].rows))
    rows = []
    for item, result in found:
        seconds, gflop = result["seconds"], result["gflop"]
        median = {who: statistics.median(times) for who, times in seconds.items()}
        rate = gflop / median["x0"]
        times = [f"{median[who] * unit.a_second:.3g}" if who in median else "" for who in ("x0", *peers)]
        differs = [f"{result['agreement']['eager']['relative']:.0e}" if "eager" in result["agreement"] else ""] if "eager" in peers else []
        rows.append([network_name(item, result["rows"]), f"{gflop:.0f}", times[0], f"{rate / unit.a_second:.0f}",
                     f"{rate / machine['peak_gflops']:.0%}", *times[1:], *compared(seconds, peers), *differs])
    head = ["", "GFLOP", f"x0, {unit.time}", unit.rate, "of peak", *(f"{PEERS[peer]}, {unit.time}" for peer in peers),
            *(f"{PEERS[peer]} / x0" for peer in peers), *(["differs from torch"] if "eager" in peers else [])]
    return table(head, rows)


def whole_pictures(found, machine):
    found, peers = sorted(found, key=lambda pair: pair[0].at_once), peers_of(found)
    rows, alone = [], ""
    for item, result in found:
        seconds, count = result["seconds"], result["pictures"]
        median = {who: statistics.median(times) for who, times in seconds.items()}
        rates = [f"{count / median[who]:.3g}" if who in median else "" for who in ("x0", *peers)]
        share = result["gflop"] * count / median["x0"] / machine["peak_gflops"]
        rows.append([str(item.at_once), str(2 * item.at_once), rates[0], f"{share:.0%}", *rates[1:], *compared(seconds, peers)])
        if item.at_once == 1:
            each = ", ".join(f"{'x0' if who == 'x0' else PEERS[who]} {median[who]:.3f} s" for who in ("x0", *peers) if who in median)
            alone = f"\n\nOne picture alone takes: {each}."
    head = ["pictures at a time", "rows", "x0, pictures/s", "of peak", *(f"{PEERS[peer]}, pictures/s" for peer in peers),
            *(f"{PEERS[peer]} / x0" for peer in peers)]
    return table(head, rows) + alone


def previews(result):
    seconds, count = result["seconds"], result["previews"]
    longer, low, high = intervals.paired(seconds["with"], seconds["without"])
    more = statistics.median(a - b for a, b in zip(seconds["with"], seconds["without"], strict=True))
    each = f", {1000 * more / count:.2f} ms a preview" if count else ""
    return f"""With a preview of every step, {count} in all, a picture takes {longer:.3f} times ({low:.3f}–{high:.3f}) what it takes without any: {1000 * more:.1f} ms
more{each}."""


def serving(policies):
    rows = []
    found = [policy for policy in policies if policy["goodput"]]
    for policy in found:
        borne = [trial for trial in policy["trials"] if trial["load"] <= policy["goodput"]["load"] and not trial["stopped"]]
        for trial in sorted(borne, key=lambda trial: trial["load"])[-1:]:
            times = [trial["latency"]["p50"], trial["latency"]["p95"], trial["latency"]["p99"], trial["first_preview"]["p50"]]
            rows.append([policy["policy"], f"{trial['load']:.2f}", f"{trial['in_time']:.0%}", *(f"{t:.3f}" for t in times)])
    lines = [table(["policy", "load", "in time", "p50, s", "p95, s", "p99, s", "first preview p50, s"], rows)]
    goodput = {policy["policy"]: policy["goodput"]["requests_per_second"] for policy in found}
    if ours := goodput.pop("best-value", None):
        others = "".join(f", {ours / other:.1f} times that of {name}" for name, other in goodput.items())
        lines.append(f"\nGoodput of best-value: {ours:.2f} requests a second{others}.")
    different = sum(trial["different"] for policy in policies for trial in policy["trials"])
    pictures = sum(trial["requests"] for policy in policies for trial in policy["trials"])
    lines.append(f"\nOf {pictures} pictures {different or 'none'} had other bytes than alone.")
    return "\n".join(lines)


def markdown(results):
    machine = results["machine"]
    gpu = on_gpu(machine)
    title, command = ("# Benchmarks on a GPU\n", "tests/bench/run --device cuda") if gpu else ("# Benchmarks\n", "tests/bench/run")
    parts = [title, f"Written by `{command}`, which measures everything anew. " + about(machine)]
    if found := named(results, items.Network):
        counted = """GFLOP and TFLOP/s count the networks as they are defined. *Differs* is the
relative error in the mean square. A call ends when its answer is complete on the device; the keys and values of texts, which x0 computes once
a picture, are no part of its calls.""" if gpu else """GFLOP and GFLOP/s count the networks as they are defined: Winograd's
convolutions need fewer. *Differs* is the relative error in the mean square."""
        weights = f"Weights of the model `{machine['model']}`" if machine["model"] else "Random weights of Stable Diffusion 1.5's size"
        parts.append(f"""## Networks

{weights}; each contestant has the same weights and inputs, and all take turns. Times are medians, ratios
geometric means of the turns' with 95 % confidence intervals; above 1, x0 is faster. {counted}
""" + "\n" + networks(found, machine) + "\n")
    if found := named(results, items.Pictures):
        parts.append(f"""## Pictures

Of the same model, with {items.STEPS} steps of {items.SCHEDULER} and guidance, each of another text: texts, steps and decoding. x0 serves as many clients, of which each
asks for one picture after the other over HTTP and gets it as JPEG; diffusers' pipeline makes as many in one call, and leaves them as pixels. Loading,
compiling and recording are over before.
""" + "\n" + whole_pictures(found, machine) + "\n")
    if "preview" in results:
        parts.append("## Previews\n\n" + previews(results["preview"]) + "\n")
    if "memory" in results:
        ours, theirs = results["memory"]["x0"], results["memory"]["torch"]
        parts.append(f"Peak memory of a whole picture of 512 × 512 pixels with that model, in float32: x0 {ours / 1e9:.1f} GB, diffusers {theirs / 1e9:.1f} GB.\n")
    if "serve" in results:
        models = "of the same model at two sizes" if results["serve"]["models"] else "of the models that are part of the program"
        parts.append(f"""## Serving

`x0 bench serve`: requests with 4, 12 and 30 steps, with and without guidance, {models}, at random times
(a Poisson stream). A load of 1 is what one image after the other can bear. A request is in time within three times what it takes alone; *goodput* is the
greatest load with nine in ten in time, to within a tenth, and each policy is shown at its own.
""" + "\n" + serving(results["serve"]["policies"]) + "\n")
    if not gpu:
        parts.append("[kernels.md](kernels.md) has the kernels one by one.\n")
    return "\n".join(parts)
