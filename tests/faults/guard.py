"""Runs a program and ends it with whoever started this, however that one ends.

    python guard.py SIGNAL USER COMMAND...

Standard input is the leash: once nobody holds its other end, the program gets SIGNAL. The first
line of standard output is its process id; what it prints goes to standard error. USER may be empty.
"""

import os
import pwd
import subprocess
import sys
import threading


def as_user(name):
    """Give the arguments of Popen that make a program *name*'s."""
    if not name:
        return {}
    return {"user": name, "group": pwd.getpwnam(name).pw_gid, "extra_groups": ()}


def main(signal, user, *command):
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=sys.stderr, **as_user(user)
    )
    print(process.pid, flush=True)

    def end_with_the_leash():
        os.read(0, 1)
        process.send_signal(int(signal))

    threading.Thread(target=end_with_the_leash, daemon=True).start()
    process.wait()


if __name__ == "__main__":
    main(*sys.argv[1:])
