"""``python -m byheart`` is ``byheart``."""

import sys

from byheart.cli.main import main

sys.exit(main())
