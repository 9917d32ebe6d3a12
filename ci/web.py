"""Build the page "Listen with it": its JavaScript from web/, the network as ONNX graphs, and sounds with their insides.

    python ci/web.py

ci/build.py calls it. It writes into _build/listen, copies that to the book's static files, and writes
_build/src/book/listen.html, which book/listen.md includes. Without npm, the page says what is missing.

The sounds are made in code. What the page shows of them before a reader loads the network is computed here: queries
and keys are rounded to 8 bits, everything is read back by web/src/sounds.ts.
"""

import base64
import hashlib
import html
import json
import shutil
import subprocess
from dataclasses import asdict
from pathlib import Path

import numpy as np
import torch

import astlib
from astlib import export, frontend
from common import BUILD, ROOT, SOURCE
from front import SECONDS, SOUNDS, TIME, hiss, struck

WEB = ROOT / "web"
MODEL = ROOT / "models" / "ast-tiny-esc50"
LISTEN = BUILD / "listen"  # everything that the page loads, except the runtime
PAGE = SOURCE / "book" / "listen.html"
MADE_FROM = ("decisions", "explain", "export", "frontend", "model", "saved")  # modules of astlib
MISSING = (
    '<p class="listen-missing">This copy of the book was built without npm, so that the page has no program. '
    "Install Node.js, then run <code>make book</code> again.</p>\n"
)


def siren() -> np.ndarray:
    """A siren: a tone with overtones whose pitch swings up and down."""
    hz = 900 + 400 * np.sin(2 * np.pi * 0.5 * TIME)
    phase = 2 * np.pi * np.cumsum(hz) / 16_000
    return sum(np.sin(k * phase) / k for k in range(1, 6)) + hiss(0.002)


def knocks() -> np.ndarray:
    """Knocks on wood: three at a time, each a few low resonances that die away at once."""

    def knock(since: np.ndarray) -> np.ndarray:
        return np.exp(-since / 0.03) * sum(np.sin(2 * np.pi * hz * since) for hz in (190, 410, 690))

    return struck(np.array([0.4, 0.65, 0.9, 2.4, 2.65, 2.9]), knock) + hiss(0.001)


MADE = {
    **{sound.label.replace("_", "-"): (sound.name, sound.make) for sound in SOUNDS},
    "siren": ("a siren", siren),
    "knocks": ("knocks on wood", knocks),
}


def digest(paths: list[Path]) -> str:
    return hashlib.sha256(b"".join(path.read_bytes() for path in paths)).hexdigest()


def bundle() -> str | None:
    """Compile and bundle web/ into _build/listen. Return why that is impossible, or None."""
    npm = shutil.which("npm")
    if npm is None:
        return "npm is not installed"
    sources = [*sorted((WEB / "src").rglob("*.*")), *sorted(WEB.glob("*.*"))]
    stamp, wanted = LISTEN / "bundle.txt", digest(sources)
    if stamp.exists() and stamp.read_text() == wanted:
        return None
    for words in (["ci", "--silent", "--no-audit", "--no-fund"], ["run", "--silent", "build"]):
        done = subprocess.run([npm, *words], cwd=WEB, capture_output=True, text=True)
        if done.returncode and words[0] == "ci":
            return f"npm could not fetch what web/package-lock.json lists: {done.stderr.strip()}"
        if done.returncode:
            raise SystemExit(f"error: web/ does not compile:\n{done.stdout}{done.stderr}")
    LISTEN.mkdir(parents=True, exist_ok=True)
    for path in (WEB / "dist").iterdir():
        shutil.copy(path, LISTEN)
    stamp.write_text(wanted)
    return None


def sixteen_bits(sound: np.ndarray) -> np.ndarray:
    """A sound as integers, half as loud as they can be."""
    return np.round(0.5 * 32767 * sound / np.abs(sound).max()).astype("int16")


def packed(values: np.ndarray) -> str:
    return base64.b64encode(np.ascontiguousarray(values).tobytes()).decode()


def rounded(values: np.ndarray) -> dict[str, str]:
    """Round `(layers, heads, tokens, dim)` to 8 bits, with one scale for each head's every dimension."""
    scales = np.maximum(np.abs(values).max(axis=2), 1e-12) / 127  # (layers, heads, dim)
    return {"values": packed(np.round(values / scales[:, :, None]).astype("int8")), "scales": packed(scales)}


@torch.inference_mode()
def store(model: astlib.AST, name: str, samples: np.ndarray) -> None:
    """Write a sound of 16-bit samples, its log-mel and what the network computes from it, as two scripts.

    A script may be loaded by a page that was opened as a file, other files may not.
    """
    features, prefix = astlib.Features(model.cfg), model.cfg.prefix_tokens
    waveform = torch.from_numpy(samples.astype("float32") / 32768)[None]
    mel = features.mel(waveform)
    inside = export.FromMel(model)(mel)
    low, high = mel.min().item(), mel.max().item()
    sound = {
        "waveform": packed(samples),
        "mel": packed(np.round((mel[0].numpy() - low) / (high - low) * 255).astype("uint8")),
        "low": low,
        "high": high,
        "logits": inside.logits[0].tolist(),
        "rollout": inside.rollout[0, :prefix, prefix:].mean(dim=0).tolist(),
    }
    attention = {"queries": rounded(inside.queries[0].numpy()), "keys": rounded(inside.keys[0].numpy())}
    for kind, content in (("sound", sound), ("attention", attention)):
        text = f'globalThis.listenStored["{name}.{kind}"] = {json.dumps(content)};\n'
        (LISTEN / f"{name}.{kind}.js").write_text(text, encoding="utf-8")


def export_network() -> dict:
    """Write the graphs and the stored sounds into _build/listen, unless they are up to date. Return what the page needs
    to know of them.
    """
    parts = (MODEL / name for name in ("config.json", "decision.json", "model.safetensors"))
    sources = [*(path for path in parts if path.exists()), *(ROOT / "astlib" / f"{name}.py" for name in MADE_FROM)]
    wanted = digest([*sources, Path(__file__), ROOT / "ci" / "front.py"])
    about = LISTEN / "about.json"
    if about.exists() and (found := json.loads(about.read_text(encoding="utf-8")))["digest"] == wanted:
        return found
    LISTEN.mkdir(parents=True, exist_ok=True)
    model, log_mel = astlib.AST.from_pretrained(MODEL), astlib.LogMel()
    cfg = model.cfg
    paths = export.inside_to_onnx(model, LISTEN, torch.float16)
    shutil.copy(MODEL / "model.safetensors", LISTEN)  # for the download of a taught network
    for name, (_, make) in MADE.items():
        store(model, name, sixteen_bits(make()))
    edges = frontend.hz_to_mel(torch.tensor([frontend.LOW_HZ, log_mel.sample_rate / 2]))
    corners = torch.linspace(edges[0], edges[1], cfg.input_fdim + 2)
    found = {
        "digest": wanted,
        "labels": cfg.labels,
        "multiLabel": cfg.multi_label,
        "decision": asdict(model.decision),
        "frames": cfg.input_tdim,
        "mels": cfg.input_fdim,
        "rate": log_mel.sample_rate,
        "frame": log_mel.frame_samples,
        "hop": log_mel.hop_samples,
        "hz": [round(hz, 2) for hz in (700 * torch.expm1(corners / 1127)).tolist()],  # corners of the triangles
        "patch": cfg.patch,
        "stride": [cfg.fstride, cfg.tstride],
        "prefix": cfg.prefix_tokens,
        "layers": cfg.depth,
        "heads": cfg.heads,
        "dim": cfg.dim,
        "fills": {fill: frontend.fill_value(fill, cfg.mean) for fill in frontend.FILLS},
        "seconds": SECONDS,
        "sounds": [{"id": name, "name": text} for name, (text, _) in MADE.items()],
        "config": asdict(cfg),
        "networkBytes": sum(path.stat().st_size for path in paths),
    }
    about.write_text(json.dumps(found), encoding="utf-8")
    return found


def element(about: dict, static: str = "../_static") -> str:
    """The page's part that web/ fills. `static` is where the book's static files lie, seen from the page."""
    told = html.escape(json.dumps(about), quote=True)
    return (
        f'<link rel="stylesheet" href="{static}/listen/listen.css">\n'
        f'<div class="listen" data-about="{told}" data-runtime="{static}/vendor/onnxruntime/">'
        "<p>This page needs JavaScript.</p></div>\n"
        f'<script src="{static}/listen/listen.js" defer></script>\n'
    )


def write(with_runtime: bool) -> None:
    """Add the page to the staged book, or the sentence that says what it lacks."""
    reason = bundle() if with_runtime else "ONNX Runtime could not be fetched"
    PAGE.parent.mkdir(parents=True, exist_ok=True)
    if reason:
        print(f'The page "Listen with it" only says what is missing: {reason}')
        PAGE.write_text(MISSING, encoding="utf-8")
        return
    PAGE.write_text(element(export_network()), encoding="utf-8")
    shutil.copytree(LISTEN, SOURCE / "book" / "_static" / "listen", dirs_exist_ok=True)


if __name__ == "__main__":
    write(with_runtime=True)
    print(f'the page "Listen with it": {PAGE}, {LISTEN}')
