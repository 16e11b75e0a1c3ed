"""A compiled library as an application of its own, which needs neither this package nor PyTorch."""

from __future__ import annotations

import shutil
from importlib import metadata
from pathlib import Path

from ...host import cpu, manifest, packages
from ...host.files import write_json
from ...spec.errors import UserError

FILES = Path(__file__).with_name("files")
EXECUTOR = Path(__file__).parents[2] / "backends" / "relay" / "runtime.py"
REQUIREMENTS = ("numpy", "pillow")
# In the package `tvm`: the folders of the headers that its C++ interface needs.
HEADERS = ("include", "3rdparty/dlpack/include", "3rdparty/dmlc-core/include")


def write(artifact: Path, folder: Path) -> None:
    """Write the application of a built library to `folder`, which is new or empty.

    Raises `UserError` for a folder with files in it, and for a library whose files are missing or changed. The CPU is
    not checked: the library may be for another machine.
    """
    if not (tvm := packages.folder("tvm")):
        raise UserError(
            "the package `tvm` is not installed, and its runtime is part of an application. Run `make setup`."
        )
    if folder.exists() and any(folder.iterdir()):
        raise UserError(f"'{folder}' is not empty. Give a new folder, or delete this one first.")
    about = manifest.verify_files(artifact)
    manifest.need_relay(artifact, about)
    model = folder / "model"
    model.mkdir(parents=True, exist_ok=True)
    for name in about["files"]:
        shutil.copy(artifact / name, model / name)
    write_json(model / manifest.NAME, {**about, "cpu_flags": cpu.flags(about["cpu_features"])})
    for file in filter(Path.is_file, FILES.iterdir()):  # pip has compiled predict.py, into a folder
        shutil.copy(file, folder)
    shutil.copy(EXECUTOR, folder / "tvm_runtime.py")
    versions = (f"{name}=={metadata.version(name)}\n" for name in REQUIREMENTS)
    (folder / "requirements.txt").write_text("".join(versions))
    shutil.copy(tvm / "libtvm_runtime.so", folder)
    for headers in HEADERS:
        shutil.copytree(tvm / headers, folder / "include", dirs_exist_ok=True)
