"""`agenttask-operator`: read the settings, then run until told to stop."""

import os
import sys

from agenttask_operator.logs import configure_logging
from agenttask_operator.settings import BadSetting, read_settings


def main() -> int:
    """Run the operator; exit code 2 = the environment is wrong."""
    try:
        settings = read_settings(os.environ)
    except BadSetting as error:
        sys.stderr.write(f"agenttask-operator: {error}\n")
        return 2
    configure_logging(settings.log_level)
    # kopf takes a moment to import: a bad setting is told before.
    from agenttask_operator import handlers

    handlers.run(settings)
    return 0


if __name__ == "__main__":
    sys.exit(main())
