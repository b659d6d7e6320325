"""Muon (Jordan 2024, https://kellerjordan.github.io/posts/muon/): momentum, made orthogonal by five Newton–Schulz steps.

Here for matrices and, flattened to (out, in × height × width), for convolutions. The step is scaled to the size of AdamW's
(Liu et al. 2025, "Muon is Scalable for LLM Training"), so that one learning rate serves both."""

import torch

MOMENTUM = 0.95
WEIGHT_DECAY = 0.01
COEFFICIENTS = (3.4445, -4.7750, 2.0315)  # of Jordan's quintic
ITERATIONS = 5


def orthogonal(matrices):
    """Semi-orthogonal matrices near the given ones: bfloat16 (n, rows, columns), rows ≤ columns."""
    x = matrices / (matrices.norm(dim=(1, 2), keepdim=True) + 1e-7)
    a, b, c = COEFFICIENTS
    for _ in range(ITERATIONS):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x


@torch.no_grad()
def muon_step(parameters, momenta, rate):
    """Changes the parameters, each of two dimensions or more with its `.grad`, and their momenta in place."""
    same_shape = {}
    for p, m in zip(parameters, momenta):
        m.lerp_(p.grad, 1 - MOMENTUM)
        update = p.grad.lerp(m, MOMENTUM).flatten(1)
        same_shape.setdefault(tuple(update.shape), []).append((p, update))
    for (rows, columns), members in same_shape.items():
        updates = torch.stack([u for _, u in members]).bfloat16()
        updates = orthogonal(updates) if rows <= columns else orthogonal(updates.mT).mT
        for (p, _), update in zip(members, updates.float() * (0.2 * max(rows, columns) ** 0.5)):
            p.mul_(1 - rate * WEIGHT_DECAY).sub_(update.reshape(p.shape), alpha=rate)
