"""The duels on critical samples, on digits and networks that no threshold was chosen on.

    python -m benchmarks.critical_draws [PAIRS [DRAW ...]]

What a proof may cost, and where it is tried, was chosen on draw 0, which is also the draw of the
table; here is what it is worth on others.
"""

from __future__ import annotations

import sys

from benchmarks.__main__ import sentence
from benchmarks.rows.critical import duels


def main(pairs: int, draws: list[int]) -> None:
    for draw in draws:
        for duel in duels(draw):
            print(f"draw {draw}, {sentence(duel.run(pairs))}", flush=True)


if __name__ == "__main__":
    numbers = [int(word) for word in sys.argv[1:]]
    main(numbers[0] if numbers else 3, numbers[1:] or [1, 2, 3])
