"""The door behind the last publisher, in a file of its own since a plugin has one place in a hook's order."""

import os
import signal
from pathlib import Path

from bot import hookimpl

HOME = Path(__file__).parent


@hookimpl(trylast=True)
def publish(change):
    shut = HOME / "shut" / "published"
    if shut.exists():
        shut.unlink()
        os.kill(os.getpid(), signal.SIGKILL)
