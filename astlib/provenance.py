"""Where a result came from: the commit of the code, the machine, the versions, and a hash of the weights.

Chapter: notebooks/09_esc50.ipynb
"""

import hashlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import torch

PACKAGES = ("torch", "numpy", "accelerate", "safetensors", "soundfile", "soxr", "timm")


def weights_hash(state: dict[str, torch.Tensor]) -> str:
    """sha256 over names and values of a state dict, whatever file or hub it came from."""
    digest = hashlib.sha256()
    for key in sorted(state):
        digest.update(key.encode())
        digest.update(state[key].detach().cpu().contiguous().float().numpy().tobytes())
    return f"sha256:{digest.hexdigest()}"


def git_state() -> tuple[str | None, bool | None]:
    """Commit of the checkout that astlib runs from, and whether tracked files differ; (None, None) outside of one."""
    here = Path(__file__).resolve().parent
    try:
        if Path(_git(here, "rev-parse", "--show-toplevel")) != here.parent:
            return None, None  # an installed copy that happens to lie in somebody's own repository
        return _git(here, "rev-parse", "HEAD"), bool(_git(here, "status", "--porcelain", "--untracked-files=no"))
    except (
        OSError,
        subprocess.CalledProcessError,
    ):  # no git, or an installed wheel: the record says "unknown"
        return None, None


def knows_commit(commit: str) -> bool | None:
    """Whether a commit is in this checkout's history; None where nobody can tell: installed, or cloned without it."""
    here = Path(__file__).resolve().parent
    if git_state()[0] is None:
        return None
    try:
        _git(here, "merge-base", "--is-ancestor", commit, "HEAD")
        return True
    except subprocess.CalledProcessError:
        return None if _git(here, "rev-parse", "--is-shallow-repository") == "true" else False


def _git(folder: Path, *words: str) -> str:
    return subprocess.run(["git", "-C", folder, *words], check=True, capture_output=True, text=True).stdout.strip()


def hardware(device: torch.device, processes: int = 1) -> dict:
    """What the run ran on: kind and name of the device, how many, cores and memory of the machine."""
    if device.type == "cuda":
        name = torch.cuda.get_device_name(device)
        memory = torch.cuda.get_device_properties(device).total_memory
    else:
        name = _cpu_name()
        memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") if hasattr(os, "sysconf") else 0
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return {
        "device": device.type,
        "name": name,
        "count": processes,
        "cores": cores,
        "memory_gib": round(memory / 2**30),
    }


def _cpu_name() -> str:
    cpuinfo = Path("/proc/cpuinfo")
    names = [line.split(":")[1].strip() for line in cpuinfo.read_text().splitlines() if line.startswith("model name")] \
        if cpuinfo.is_file() else []  # fmt: skip
    return names[0] if names else platform.processor() or platform.machine()


def versions() -> dict:
    found = {"python": platform.python_version()}
    for name in PACKAGES:
        try:
            found[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found[name] = None
    return found


def peak_memory(device: torch.device) -> int:
    """Bytes: what the accelerator held at most, or on a CPU the largest resident size of the process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if platform.system() == "Windows":
        import psutil  # comes with accelerate

        return psutil.Process().memory_info().peak_wset
    import resource  # on Linux the unit is KiB, on macOS bytes

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if platform.system() == "Darwin" else 1024 * peak
