"""Where a result came from: the commit of the code, the machine, the versions, and a hash of the weights.

Chapter: notebooks/09_esc50.ipynb
"""

import importlib.metadata
import os
import platform
import subprocess
from dataclasses import dataclass
from pathlib import Path

import torch

from .. import paths

# Which draws a seed stands for: the order of the clips, masks, mixing partners, new weights. Raise it whenever the same
# seed comes to mean other draws; tests/ledger/test_provenance.py notices that.
DRAWS = 2
PACKAGES = ("torch", "numpy", "accelerate", "safetensors", "soundfile", "soxr", "timm")  # they influence a result


def git_state() -> tuple[str | None, bool | None]:
    """Ask git for the commit of the checkout that astlib runs from, and whether tracked files differ from it.

    Returns:
        The commit and whether anything was changed; (None, None) outside of a checkout.
    """
    root = _repository()
    if root is None:
        return None, None
    try:
        return _git(root, "rev-parse", "HEAD"), bool(_git(root, "status", "--porcelain", "--untracked-files=no"))
    except (OSError, subprocess.CalledProcessError):  # a repository without a commit
        return None, None


def _repository() -> Path | None:
    """The root of the checkout if it is a git repository, else None."""
    root = paths.checkout()
    try:
        # An unpacked copy may happen to lie in somebody's own repository.
        return root if root is not None and Path(_git(root, "rev-parse", "--show-toplevel")) == root else None
    except (OSError, subprocess.CalledProcessError):  # no git, or no repository
        return None


@dataclass(frozen=True)
class History:
    """The commits of this checkout. git is asked once, however many records are checked against them.

    Attributes:
        commits: the current commit and all its ancestors; None where astlib is not in a git repository.
        whole: False for a shallow clone, which lacks older commits.
    """

    commits: frozenset[str] | None
    whole: bool = True

    @classmethod
    def read(cls) -> "History":
        """Ask git for the history of the checkout that astlib runs from.

        Returns:
            The history; without commits outside of a git repository.
        """
        root = _repository()
        if root is None:
            return cls(None)
        try:
            commits = _git(root, "rev-list", "HEAD").split()
            return cls(frozenset(commits), _git(root, "rev-parse", "--is-shallow-repository") != "true")
        except (OSError, subprocess.CalledProcessError):  # a repository without a commit
            return cls(None)

    def knows(self, commit: str) -> bool | None:
        """Say whether a commit is in the history.

        Args:
            commit: 40 hexadecimal digits.

        Returns:
            None where it cannot be known: outside of a git repository, or in a shallow clone that lacks the commit.
        """
        if self.commits is None:
            return None
        return commit in self.commits or (None if not self.whole else False)


def _git(folder: Path, *words: str) -> str:
    done = subprocess.run(["git", "-C", str(folder), *words], check=True, capture_output=True, text=True)
    return done.stdout.strip()


def hardware(device: torch.device, processes: int = 1) -> dict[str, str | int | None]:
    """Describe what a run runs on.

    Args:
        device: the device of this process.
        processes: how many devices share the run.

    Returns:
        "device" (its kind), "name", "count" (of devices), "cores" (CPU cores of this process) and "memory_gib" (of the
        accelerator, or on a CPU of the machine).
    """
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
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    names = (line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    return next(names, "") or platform.processor() or platform.machine()


def versions() -> dict[str, str | None]:
    """Return the versions of Python, of the random draws and of the packages that influence a result.

    Returns:
        Name to version; None for a package that is not installed.
    """
    by_name: dict[str, str | None] = {"python": platform.python_version(), "draws": str(DRAWS)}
    for name in PACKAGES:
        try:
            by_name[name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            by_name[name] = None
    return by_name


def peak_memory(device: torch.device) -> int:
    """Return how much memory this process has held at most.

    Args:
        device: that the process runs on.

    Returns:
        Bytes: of the accelerator, or on a CPU the largest resident size of the process.
    """
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    if platform.system() == "Windows":
        import psutil  # comes with accelerate

        return int(psutil.Process().memory_info().peak_wset)
    import resource

    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # on macOS in bytes, on Linux in KiB
    return peak if platform.system() == "Darwin" else 1024 * peak
