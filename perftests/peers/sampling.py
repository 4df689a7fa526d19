# SPDX-License-Identifier: BSD-2-Clause
"""Medians of rounds, and how sure they are."""
import random
import statistics

SEED = 1
RESAMPLES = 2000


def quartiles(values):
    """The first and the third; of one value that value."""
    if len(values) < 2:
        return values[0], values[0]
    first, _, third = statistics.quantiles(values, n=4, method="inclusive")
    return first, third


def ratio_interval(ours, theirs):
    """The ratio of two medians and its 95 % interval, by bootstrap. Both are by round: {round: value}.

    What was measured in one round is drawn together, since it was measured in turn, under the same load of the machine.
    """
    rounds = sorted(ours.keys() & theirs.keys())
    if not rounds:
        return None
    chance = random.Random(SEED)

    def ratio(of):
        return statistics.median(ours[i] for i in of) / statistics.median(theirs[i] for i in of)

    drawn = sorted(ratio(chance.choices(rounds, k=len(rounds))) for _ in range(RESAMPLES))
    return ratio(rounds), drawn[round(0.025 * (RESAMPLES - 1))], drawn[round(0.975 * (RESAMPLES - 1))]
