import os
import tempfile
from pathlib import Path

# A folder for temporary files of each of pytest's workers: what measures takes turns by a lock that lies there.
worker = os.environ.get("PYTEST_XDIST_WORKER")
if worker and Path(tempfile.gettempdir()).name != worker:
    parent = Path(tempfile.mkdtemp(prefix="tvm-bench-tests-"))
    parent.chmod(0o755)  # some tests run as nobody
    tempfile.tempdir = os.environ["TMPDIR"] = str(parent / worker)
    Path(tempfile.tempdir).mkdir()
