"""The report of what was measured, as Markdown."""

import statistics

import intervals

PEERS = {"torch": "torch", "openvino": "OpenVINO"}
NETWORKS = {"unet-512": "UNet, 512 × 512, a guided step (2 rows)", "unet-256": "UNet, 256 × 256, a guided step (2 rows)",
            "vae_decode-512": "VAE decoder, 512 × 512", "vae_decode-256": "VAE decoder, 256 × 256", "text_encoder": "text encoder, 2 texts"}


def ratio(values):
    center, low, high = values
    return f"**{center:.2f}** ({low:.2f}–{high:.2f})"


def about(machine):
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    return f"""{machine["processor"]}, {machine["threads"]} threads, kernels for {machine["isa"]}. Measured at best {machine["peak_gflops"]:.0f} GFLOP/s in float32
({machine["peak_gflops_of_one_thread"]:.0f} of one thread) and {machine["memory_gigabytes_per_second"]:.0f} GB/s from memory. Peers: {versions}, in float32, on as many threads.
"""


def networks(results, peak):
    lines = ["| | GFLOP | x0, s | GFLOP/s | of peak | torch, s | OpenVINO, s | torch / x0 | OpenVINO / x0 | differs from torch |",
             "|---|---|---|---|---|---|---|---|---|---|"]
    for item, name in NETWORKS.items():
        if item not in results:
            continue
        result = results[item]
        seconds, gflop = result["seconds"], result["gflop"]
        median = {who: statistics.median(times) for who, times in seconds.items()}
        rate = gflop / median["x0"]
        ratios = [ratio(intervals.paired(seconds[peer], seconds["x0"])) for peer in PEERS]
        lines.append(f"| {name} | {gflop:.0f} | {median['x0']:.3g} | {rate:.0f} | {rate / peak:.0%} | {median['torch']:.3g} | {median['openvino']:.3g} "
                     f"| {ratios[0]} | {ratios[1]} | {result['agreement']['torch']['relative']:.0e} |")
    return "\n".join(lines)


def serving(policies):
    lines = ["| policy | load | in time | p50, s | p95, s | p99, s | first preview p50, s |", "|---|---|---|---|---|---|---|"]
    found = [policy for policy in policies if policy["goodput"]]
    for policy in found:
        borne = [trial for trial in policy["trials"] if trial["load"] <= policy["goodput"]["load"] and not trial["stopped"]]
        for trial in sorted(borne, key=lambda trial: trial["load"])[-1:]:
            times = [trial["latency"]["p50"], trial["latency"]["p95"], trial["latency"]["p99"], trial["first_preview"]["p50"]]
            lines.append(f"| {policy['policy']} | {trial['load']:.2f} | {trial['in_time']:.0%} | " + " | ".join(f"{t:.3f}" for t in times) + " |")
    goodput = {policy["policy"]: policy["goodput"]["requests_per_second"] for policy in found}
    if ours := goodput.pop("best-value", None):
        compared = "".join(f", {ours / other:.1f} times that of {name}" for name, other in goodput.items())
        lines.append(f"\nGoodput of best-value: {ours:.2f} requests a second{compared}.")
    different = sum(trial["different"] for policy in policies for trial in policy["trials"])
    pictures = sum(trial["requests"] for policy in policies for trial in policy["trials"])
    lines.append(f"\nOf {pictures} pictures {different or 'none'} had other bytes than alone.")
    return "\n".join(lines)


def markdown(results):
    machine = results["machine"]
    peak = machine["peak_gflops"]
    parts = ["# Benchmarks\n", "Written by `tests/bench/run`, which measures everything anew. " + about(machine)]
    if any(item in results for item in NETWORKS):
        parts.append("""## Networks

Random weights of Stable Diffusion 1.5's size; each contestant has the same weights and inputs, and all take turns. Times are medians, ratios
geometric means of the turns' with 95 % confidence intervals; above 1, x0 is faster. GFLOP and GFLOP/s count the networks as they are defined: Winograd's
convolutions need fewer. *Differs* is the relative error in the mean square.
""" + "\n" + networks(results, peak) + "\n")
    if "memory" in results:
        ours, theirs = results["memory"]["x0"], results["memory"]["torch"]
        parts.append(f"Peak memory of a whole picture of 512 × 512 pixels with that model, in float32: x0 {ours / 1e9:.1f} GB, diffusers {theirs / 1e9:.1f} GB.\n")
    if "serve" in results:
        parts.append("""## Serving

`x0 bench serve`: requests with 4, 12 and 30 steps, with and without guidance, of the models that are part of the program, at random times
(a Poisson stream). A load of 1 is what one image after the other can bear. A request is in time within three times what it takes alone; *goodput* is the
greatest load with nine in ten in time, to within a tenth, and each policy is shown at its own.
""" + "\n" + serving(results["serve"]) + "\n")
    parts.append("[kernels.md](kernels.md) has the kernels one by one.\n")
    return "\n".join(parts)
