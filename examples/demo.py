"""make demo: start the cloud, deploy every example, drive them with real requests, show the result.

Everything goes through the front door: the stratolite command, boto3, plain HTTP. Exits 1 at the first thing
that is not as it should be. usage: demo.py [EXAMPLE ...]
"""

from __future__ import annotations

import os
import runpy
import sys
import tempfile

from driving import HERE, Cloud, check, say


def main():
    examples = sys.argv[1:] or sorted(path.parent.name for path in HERE.glob("*/demo.py"))
    with tempfile.TemporaryDirectory(prefix="stratolite-demo-") as folder:
        os.environ.setdefault("STRATOLITE_KEYS", f"{folder}/keys")  # nothing of it stays
        cloud = Cloud(f"{folder}/data")
        try:
            for name in examples:
                check((HERE / name / "demo.py").exists(), f"there is no example {name}")
                runpy.run_path(str(HERE / name / "demo.py"))["drive"](cloud)
        finally:
            if cloud.process.poll() is None:
                cloud.stop()
    say("demo done")


if __name__ == "__main__":
    main()
