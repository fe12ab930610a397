"""Runs a type checker over a program that uses the package."""

import os
import subprocess
import sys
from pathlib import Path

import homethrive_db


def type_check(script, folder):
    """Run mypy, strict, over a script."""
    (folder / "script.py").write_text(script)
    root = Path(homethrive_db.__file__).parents[1]
    checkout = {"MYPYPATH": str(root)} if (root / "setup.cfg").exists() else {}
    return subprocess.run(
        [sys.executable, "-m", "mypy", "--strict", "--follow-imports=silent", "script.py"],
        cwd=folder,
        env={**os.environ, **checkout},
        capture_output=True,
        text=True,
        check=False,
    )
