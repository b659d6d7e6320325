import math
import random
import unittest

import intervals


class Intervals(unittest.TestCase):
    def test_equal_ratios_leave_no_doubt(self):
        for end in intervals.paired([2, 4, 6], [1, 2, 3]):
            self.assertAlmostEqual(end, 2)

    def test_known_interval(self):
        # Logarithms 0, 1, 2: mean 1, standard error 1/sqrt(3), t(2) = 4.303.
        ratio, low, high = intervals.paired([1, math.e, math.e**2], [1, 1, 1])
        self.assertAlmostEqual(ratio, math.e)
        self.assertAlmostEqual(math.log(high), 1 + 4.303 / math.sqrt(3))
        self.assertAlmostEqual(math.log(low), 1 - 4.303 / math.sqrt(3))

    def test_one_turn_says_nothing_about_the_spread(self):
        self.assertEqual(intervals.paired([2], [1]), (2, 0, math.inf))

    def test_turns_have_partners(self):
        with self.assertRaises(ValueError):
            intervals.paired([1, 2], [1])

    def test_intervals_cover_the_truth(self):
        draw = random.Random(0)
        covered = 0
        for _ in range(400):
            theirs = [2 * math.exp(draw.gauss(0, 0.05)) for _ in range(5)]
            ours = [math.exp(draw.gauss(0, 0.05)) for _ in range(5)]
            _, low, high = intervals.paired(theirs, ours)
            covered += low < 2 < high
        self.assertGreaterEqual(covered / 400, 0.93)


if __name__ == "__main__":
    unittest.main()
