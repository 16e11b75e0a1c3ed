"""Models whose code misbehaves while it is loaded, for tests of what a job tells of it."""

import os
import signal
import sys


def killed():
    os.kill(os.getpid(), signal.SIGKILL)


def not_utf8():
    sys.stdout.buffer.write(b"caf\xe9\n")
    sys.stdout.flush()
    os._exit(3)


def divided():
    return 1 / 0


def waiting():
    raise RuntimeError(f"threads wait: {os.environ.get('OMP_WAIT_POLICY', 'as usual')}")
