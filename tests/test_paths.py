"""Where things are looked for: environment variables first, then the user's cache, in a checkout and in a wheel."""

from pathlib import Path

import pytest

from astlib import paths

ROOT = Path(__file__).resolve().parents[1]


@pytest.fixture(autouse=True)
def nothing_is_set(monkeypatch):
    for name in ("ASTLIB_DATA", "ASTLIB_WEIGHTS", "ASTLIB_RUNS", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)


def test_a_checkout_has_its_things_beside_the_package():
    assert paths.checkout() == ROOT
    assert (paths.results(), paths.models(), paths.runs()) == (ROOT / "results", ROOT / "models", ROOT / "runs")
    assert paths.results().is_dir() and paths.models().is_dir()


def test_a_wheel_has_them_inside_and_writes_to_the_current_folder(tmp_path, monkeypatch):
    package = tmp_path / "site-packages" / "astlib"
    (package / "_results").mkdir(parents=True)
    monkeypatch.setattr(paths, "PACKAGE", package)
    monkeypatch.chdir(tmp_path)
    assert paths.checkout() is None
    assert (paths.results(), paths.models()) == (package / "_results", package / "_models")
    assert paths.runs() == tmp_path / "runs"


def test_what_is_set_comes_first(tmp_path, monkeypatch):
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    for name in ("DATA", "WEIGHTS", "RUNS"):
        monkeypatch.setenv(f"ASTLIB_{name}", str(tmp_path / name))
    cache = tmp_path / "cache" / "astlib"
    assert paths.cache() == cache
    assert paths.runs() == tmp_path / "RUNS"
    assert paths.weight_folders() == [tmp_path / "WEIGHTS", cache / "weights"]
    assert paths.data_folders("esc50") == [tmp_path / "DATA" / "esc50", cache / "data" / "esc50"]


def test_the_home_folder_is_the_last_resort(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    cache = tmp_path / ".cache" / "astlib"
    assert paths.weight_folders() == [cache / "weights"]
    assert paths.data_folders("esc50") == [cache / "data" / "esc50"]
    monkeypatch.setenv("ASTLIB_DATA", "~/sounds")
    monkeypatch.setenv("ASTLIB_RUNS", "~/runs")
    assert paths.data_folders("esc50")[0] == tmp_path / "sounds" / "esc50" and paths.runs() == tmp_path / "runs"


def test_an_empty_variable_is_not_set(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    before = paths.cache(), paths.runs(), paths.weight_folders(), paths.data_folders("esc50")
    for name in ("ASTLIB_DATA", "ASTLIB_WEIGHTS", "ASTLIB_RUNS", "XDG_CACHE_HOME"):
        monkeypatch.setenv(name, "")
    assert (paths.cache(), paths.runs(), paths.weight_folders(), paths.data_folders("esc50")) == before


def test_an_empty_folder_is_no_data(tmp_path, monkeypatch):
    monkeypatch.setenv("ASTLIB_DATA", str(tmp_path / "chosen"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert paths.find_data("esc50") is None
    chosen, cached = paths.data_folders("esc50")
    chosen.mkdir(parents=True)
    assert paths.find_data("esc50") is None
    cached.mkdir(parents=True)
    (cached / "a.wav").touch()
    assert paths.find_data("esc50") == cached
    (chosen / "a.wav").touch()
    assert paths.find_data("esc50") == chosen
