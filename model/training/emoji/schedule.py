"""What the two trainings share: the course of the learning rate and of the moving average."""

WARMUP_STEPS = 200


def learning_rate(step, steps, peak):
    """Warms up, stays, and falls linearly to zero over the last quarter. Until that has begun, `steps` may be changed."""
    return peak * min(1.0, (step + 1) / WARMUP_STEPS, (steps - step) / (steps / 4))


def ema_decay(step):
    """Follows closely at first, then averages over the last thousand steps or so."""
    return min(0.999, (1 + step) / (10 + step))
