"""Ratios of times, with 95 % confidence intervals."""

import math
import statistics

# Student's t: two-sided 95 %, by degrees of freedom from 1 on.
T = (12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086)


def t(freedom):
    """The smallest that is needed; for many degrees of freedom a little more."""
    return T[min(freedom, len(T)) - 1] if freedom > 0 else math.inf


def interval(center, error, freedom):
    half = t(freedom) * error if error > 0 else 0.0
    return math.exp(center), math.exp(center - half), math.exp(center + half)


def paired(theirs, ours):
    """The mean ratio of times that were measured in turns, and the interval's ends. What slows the machine in a turn slows both."""
    logs = [math.log(a / b) for a, b in zip(theirs, ours, strict=True)]
    error = statistics.stdev(logs) / math.sqrt(len(logs)) if len(logs) > 1 else math.inf
    return interval(statistics.fmean(logs), error, len(logs) - 1)
