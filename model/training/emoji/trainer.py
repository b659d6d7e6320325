"""The training loop of both trained stages. Resumable: run the same command again and it goes on.

On a processor it runs as several processes of one thread on shared memory: each makes the gradients of its part of the
batch, then changes its share of the parameters. That is faster than one process of many threads, which wait for each
other at every layer, and much faster while other programs want the same cores. On a GPU it is one process."""

import copy
import csv
import json
import os
import resource
import time

import torch
import torch.multiprocessing as mp

from muon import muon_step

WARMUP_STEPS = 100
SAVE_SECONDS = 120


def add_arguments(a, steps, cooldown, batch, rate):
    a.add_argument("--steps", type=int, default=steps, help="steps in all; may be changed until the cool-down has begun")
    a.add_argument("--cooldown", type=int, default=cooldown, help="the last steps, over which the learning rate falls linearly to zero")
    a.add_argument("--stop", type=int, help="end this sitting after so many steps in all")
    a.add_argument("--batch", type=int, default=batch)
    a.add_argument("--rate", type=float, default=rate)
    a.add_argument("--processes", type=int, default=os.cpu_count())
    a.add_argument("--float32", action="store_true", help="no bfloat16 autocast (for processors without AVX-512 BF16)")


def device_of():
    return "cuda" if torch.cuda.is_available() else "cpu"


def learning_rate(step, a):
    return a.rate * min(1.0, (step + 1) / WARMUP_STEPS, (a.steps - step) / a.cooldown)


def ema_decay(step):
    """Follows closely at first, then averages over the last five hundred steps or so."""
    return min(0.998, (1 + step) / (10 + step))


def split(networks):
    """Parameters for Muon (the matrices between layers) and for AdamW (embeddings, ends, biases, norms)."""
    matrices, others = [], []
    for name, p in networks.named_parameters():
        ends = "embedding" in name or "conv_in" in name or "conv_out" in name
        (others if p.ndim < 2 or ends else matrices).append(p)
    return sorted(matrices, key=lambda p: -p.numel()), others


def train(networks, loss_of, a, checkpoint, saved=None):
    """Trains `networks` to `a.steps`. `loss_of(step, rank, ranks)` is the mean loss of that rank's part of a batch.

    Writes `checkpoint`, a copy of it named plateau.* when the cool-down begins, and the losses beside it; `saved(ema, step)`
    is called after each writing. Returns the moving average of the networks."""
    torch.set_num_threads(1)  # before the processes part: OpenMP's threads do not survive a fork
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    device, ranks = device_of(), 1 if torch.cuda.is_available() else a.processes
    networks.to(device, memory_format=torch.channels_last).train()
    ema = copy.deepcopy(networks).requires_grad_(False).eval()
    matrices, others = split(networks)
    state = dict(step=0, losses=[], adamw=None, momenta=[torch.zeros_like(p) for p in matrices])
    if os.path.exists(checkpoint):
        old = torch.load(checkpoint, map_location=device)
        networks.load_state_dict(old["networks"]), ema.load_state_dict(old["ema"])
        state = {k: old[k] for k in state}
        print(f"going on from step {state['step']}", flush=True)
    gradients = [[torch.zeros_like(p) for p in (*matrices, *others)] for _ in range(ranks)]
    if device == "cpu":
        for t in (*networks.parameters(), *ema.parameters(), *state["momenta"], *(g for of_rank in gradients for g in of_rank)):
            t.share_memory_()
    run = Run(networks, ema, matrices, others, gradients, state, loss_of, a, checkpoint, saved)
    if device == "cpu":
        barrier = mp.get_context("fork").Barrier(ranks)
        mp.start_processes(run, (ranks, barrier), ranks, start_method="fork")
    else:
        run(0, 1, None)
    return ema


class Run:
    def __init__(self, networks, ema, matrices, others, gradients, state, loss_of, a, checkpoint, saved):
        self.networks, self.ema, self.matrices, self.others, self.gradients = networks, ema, matrices, others, gradients
        self.state, self.loss_of, self.a, self.checkpoint, self.saved = state, loss_of, a, checkpoint, saved

    def __call__(self, rank, ranks, barrier):
        """One process: the gradients of its part of each batch, and the changes of its share of the parameters."""
        torch.set_num_threads(1)
        averages = {id(p): e for p, e in zip(self.networks.parameters(), self.ema.parameters())}
        everything = [*self.matrices, *self.others]
        for p, g in zip(everything, self.gradients[rank]):
            p.grad = g
        share, momenta = self.matrices[rank::ranks], self.state["momenta"][rank::ranks]
        adamw = None
        if rank == 0:
            adamw = torch.optim.AdamW(self.others, self.a.rate, betas=(0.9, 0.99), weight_decay=0.01)
            if self.state["adamw"] is not None:
                adamw.load_state_dict(self.state["adamw"])
        mine = [i for i, p in enumerate(everything) if (i % ranks == rank if i < len(self.matrices) else rank == 0)]
        step, started, running = self.state["step"], time.time(), None
        saved_at = started
        before = self.state["losses"][-1][2] if self.state["losses"] else 0.0
        last = self.a.steps if self.a.stop is None else min(self.a.stop, self.a.steps)
        while step < last:
            if rank == 0 and step == self.a.steps - self.a.cooldown and step > 0:
                self.save(step, adamw, "plateau." + os.path.basename(self.checkpoint))
            rate = learning_rate(step, self.a)
            with torch.autocast(device_of(), dtype=torch.bfloat16, enabled=not self.a.float32):
                loss = self.loss_of(step, rank, ranks)
            (loss / ranks).backward()
            if barrier:
                barrier.wait()
            with torch.no_grad():
                for i in mine:
                    for other in range(ranks):
                        if other != rank:
                            everything[i].grad.add_(self.gradients[other][i])
                muon_step(share, momenta, rate)
                if adamw:
                    for group in adamw.param_groups:
                        group["lr"] = rate
                    adamw.step()
                for i in mine:
                    averages[id(everything[i])].lerp_(everything[i], 1 - ema_decay(step))
            if barrier:
                barrier.wait()
            torch._foreach_zero_(self.gradients[rank])
            step += 1
            if rank != 0:
                continue
            running = loss.item() if running is None else 0.98 * running + 0.02 * loss.item()
            if step % 20 == 0:
                self.state["losses"].append((step, round(running, 6), round(before + time.time() - started, 1)))
                print(json.dumps(dict(step=step, loss=round(running, 5), seconds=round(time.time() - started, 1))), flush=True)
            if time.time() - saved_at > SAVE_SECONDS or step == last:
                saved_at = time.time()
                self.save(step, adamw, os.path.basename(self.checkpoint))
                if self.saved:
                    self.saved(self.ema, step)

    def save(self, step, adamw, name):
        folder = os.path.dirname(self.checkpoint)
        torch.save(dict(networks=self.networks.state_dict(), ema=self.ema.state_dict(), adamw=adamw.state_dict(),
                        momenta=self.state["momenta"], step=step, losses=self.state["losses"]), f"{folder}/{name}.new")
        os.replace(f"{folder}/{name}.new", f"{folder}/{name}")
        with open(f"{folder}/{name.removesuffix('.pt')}-loss.csv", "w", newline="") as f:
            csv.writer(f).writerows([("step", "loss", "seconds"), *self.state["losses"]])
