"""A study on a disk that fails: ``python -m tests.faults.failing ERRNO PACKS DIR RUNNER``.

Once so many packs are stored every write to a file fails.
"""

import errno
import sys

from tests.faults import driver
from tests.faults.syscalls import refuse_writes


def main():
    number, packs = getattr(errno, sys.argv.pop(1)), int(sys.argv.pop(1))

    class FailingStore(driver.NotedStore):
        left = packs

        def add(self, records):
            if type(self).left == 0:
                refuse_writes(number)
            type(self).left -= 1
            super().add(records)

    driver.NotedStore = FailingStore
    driver.main()


if __name__ == "__main__":
    main()
