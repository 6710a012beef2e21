"""The first moments of a forked child, and the promise that it dies with its parent."""

import ctypes
import faulthandler
import gc
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable

from fastmail_ingest.errors import FastmailIngestError

_PR_SET_PDEATHSIG = 1
_PR_SET_NAME = 15
_libc = ctypes.CDLL(None, use_errno=True)

EXIT_CRASHED = 70  # sysexits.h EX_SOFTWARE
STACK_DUMP_SIGNAL = signal.SIGUSR2
_IGNORED = (signal.SIGINT, signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1)
_DEFAULT = (signal.SIGTERM, signal.SIGQUIT, signal.SIGCHLD)


def become_child(name: str, parent_pid: int, lifeline: int) -> None:
    """Turn a fresh fork into a child: its own signals, its name, and death with the parent."""
    signal.set_wakeup_fd(-1)
    # A terminal sends Ctrl-C and hang-ups to the whole group: only the supervisor answers them.
    for number in _IGNORED:
        signal.signal(number, signal.SIG_IGN)
    for number in _DEFAULT:
        signal.signal(number, signal.SIG_DFL)
    _libc.prctl(_PR_SET_NAME, f"fmi-{name}"[:15].encode(), 0, 0, 0)
    die_with_parent(signal.SIGKILL)
    if os.getppid() != parent_pid:
        os._exit(EXIT_CRASHED)
    # PDEATHSIG is lost in some sandboxes; the pipe's other end closes with the parent in all of them.
    threading.Thread(target=_die_at_end_of, args=(lifeline,), name="lifeline", daemon=True).start()
    faulthandler.register(STACK_DUMP_SIGNAL, all_threads=True, chain=False)


def die_with_parent(number: signal.Signals) -> None:
    """Ask the kernel to send this process a signal when its parent dies (prctl(2) PR_SET_PDEATHSIG)."""
    _libc.prctl(_PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def _die_at_end_of(lifeline: int) -> None:
    os.read(lifeline, 1)
    os._exit(EXIT_CRASHED)


def run_and_exit(run: Callable[[], int], describe: Callable[[str], None]) -> None:
    """Run a child's work and leave the process, by no other way than os._exit.

    `describe` is given one line about the error that ended the work, if any.
    """
    code = EXIT_CRASHED
    try:
        gc.enable()
        code = run()
    except SystemExit as leaving:
        # Nobody but us may say that this process has done its work.
        describe(f"something in it called sys.exit({leaving.code!r})")
    except FastmailIngestError as error:
        code = error.exit_code
        describe(str(error))
    except BaseException as error:
        describe(f"{type(error).__name__}: {error}")
        traceback.print_exc()
    finally:
        try:
            sys.stdout.flush()
            sys.stderr.flush()
        finally:  # a full disk, a closed stream: this process ends here in any case
            os._exit(code)
