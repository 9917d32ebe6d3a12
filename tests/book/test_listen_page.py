"""The page "Listen with it" in Chromium, built from web/ alone, against astlib: no book is built for it."""

import json
import os
import shutil
import subprocess
import zipfile
from dataclasses import asdict

import build
import numpy as np
import pytest
import soundfile
import torch
from playwright.sync_api import sync_playwright
from sklearn.linear_model import LogisticRegression

import astlib
import check_browser
import web
from astlib import audio, explain
from astlib.decisions import Decision
from astlib.frontend import fill_value
from astlib.metrics import wilson
from astlib.networks import open_model
from astlib.predict import predict

RUNTIME = ("ort-wasm-simd-threaded.mjs", "ort-wasm-simd-threaded.wasm")
PAGE = """<!doctype html><html lang="en" data-theme="light"><meta charset="utf-8">
<meta name="viewport" content="width=device-width"><title>Listen with it</title><link rel="icon" href="data:,">
<link rel="stylesheet" href="../_static/book.css"><main><h1>Listen with it</h1>{element}</main></html>"""
READY = "() => globalThis.listen?.get().sound?.inside"
EXACT = "() => globalThis.listen.get().sound?.exact && !globalThis.listen.get().streaming"
ANSWERED = "() => listen.get().answer && listen.get().answer.painted === listen.get().painted"
STATE = """() => {
  const { sound } = listen.get(), list = name => Array.from(sound[name]);
  return JSON.stringify({
    samples: list("samples"), mel: list("mel"), logits: list("logits"), rollout: list("rollout") });
}"""
QUERIES = (1, 40)  # a class token and a patch
SPAN = 82_160  # samples of the network's input
SECONDS = 120_000  # of waiting at most, in milliseconds: other tests may run beside these


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """The page with everything that it loads, as the book has it."""
    missing = check_browser.HOW_TO_INSTALL if check_browser.find_browser() is None else web.bundle()
    if missing:
        (pytest.fail if os.environ.get("ASTLIB_REQUIRE_BROWSER") == "1" else pytest.skip)(missing)
    about, found = web.export_network(), tmp_path_factory.mktemp("site")
    shutil.copytree(web.LISTEN, found / "_static" / "listen")
    shutil.copy(web.ROOT / "book" / "_static" / "book.css", found / "_static")
    (found / "_static" / "vendor" / "onnxruntime").mkdir(parents=True)
    for name in RUNTIME:
        runtime = web.WEB / "node_modules" / "onnxruntime-web" / "dist" / name
        shutil.copy(runtime, found / "_static" / "vendor" / "onnxruntime")
    (found / "book").mkdir()
    (found / "book" / "listen.html").write_text(PAGE.format(element=web.element(about)), encoding="utf-8")
    return found


@pytest.fixture(scope="module")
def address(folder):
    server = check_browser.serve(folder)
    yield f"http://127.0.0.1:{server.server_address[1]}/book/listen.html"
    server.shutdown()


@pytest.fixture(scope="module")
def model():
    return astlib.AST.from_pretrained(web.MODEL)


@pytest.fixture(scope="module")
def sounds(tmp_path_factory):
    """The sounds of the page as WAV files."""
    found = tmp_path_factory.mktemp("sounds")
    for name, (_, make) in web.MADE.items():
        soundfile.write(found / f"{name}.wav", web.sixteen_bits(make()), 16_000, subtype="PCM_16")
    return sorted(found.iterdir())


@pytest.fixture(scope="module")
def browser(sounds):
    """Chromium with a microphone that plays the bell over and over."""
    path = sounds[0].with_name("loop.wav")
    soundfile.write(path, audio.load(sounds[0]).repeat(4).numpy(), 16_000, subtype="PCM_16")
    fake = [f"--use-fake-{kind}-for-media-stream" for kind in ("device", "ui")]
    with sync_playwright() as playwright:
        found = playwright.chromium.launch(
            executable_path=check_browser.find_browser(),
            args=[*check_browser.ARGUMENTS, *fake, f"--use-file-for-fake-audio-capture={path}"],
        )
        yield found
        found.close()


@pytest.fixture
def page(browser, address):
    """The page with a stored sound; the test fails if anything went wrong on it."""
    problems: list[str] = []
    context = browser.new_context(viewport={"width": 1300, "height": 900})
    found = context.new_page()
    found.set_default_timeout(SECONDS)
    found.on("pageerror", lambda error: problems.append(str(error)))
    check_browser.listen(found, problems, self_contained=True)
    found.goto(address)
    found.wait_for_function(READY)
    yield found
    context.close()
    assert problems == []


def load_network(page):
    page.get_by_role("button", name="Load the network").click()
    page.wait_for_function(EXACT)


def shown(page):
    """The sound of the page, as lists; by way of text, because that is how many numbers travel fast."""
    return json.loads(page.evaluate(STATE))


def attention(page, query):
    """What the page shows for one query token in every head of every block, `(layers, heads, tokens)`."""
    rows = page.evaluate(
        """query => { const { about } = listen, { inside } = listen.get().sound, rows = [];
        for (let b = 0; b < about.layers; b++) { rows.push([]);
          for (let h = 0; h < about.heads; h++) rows[b].push(Array.from(listen.attention(inside, b, h, query))); }
        return JSON.stringify(rows); }""",
        query,
    )
    return torch.tensor(json.loads(rows))


def percent(share):
    return f"{100 * share:.1f}\N{NO-BREAK SPACE}%"


def difference(found, expected):
    return (torch.as_tensor(found, dtype=torch.float32) - expected).abs().max().item()


def mel_difference(found, expected):
    """The largest difference of two log-mels, and that they roughly agree where float32 can say no more.

    A Fourier transform in float32 knows each frame to 7 digits of its loudest part. Cells more than 70 dB below that
    are rounding: there LogMel itself differs from a computation in float64 by more than 1e-3.
    """
    apart = (torch.tensor(found).reshape(expected.shape) - expected).abs()
    audible = expected > expected.amax(dim=-1, keepdim=True) - 16  # in natural logarithms, 70 dB
    assert audible.float().mean() > 0.6 and apart.max() < 0.05
    return apart[audible].max().item()


@torch.inference_mode()
def test_stored_sounds_are_what_astlib_computes_but_for_their_rounding(page, model, sounds):
    features, steps = astlib.Features(model.cfg), []
    for path in sounds:
        page.locator(f"input[value='{path.stem}']").check()
        page.wait_for_function(f"name => listen.get().sound.name === name && ({READY})()", arg=web.MADE[path.stem][0])
        waveform, state = audio.load(path), shown(page)
        mel = features.mel(waveform)
        steps.append((mel.max() - mel.min()).item() / 255)
        assert difference(state["mel"], mel.flatten()) < 0.51 * steps[-1] + 1e-3  # half a step of 8 bits
        assert difference(state["logits"], model(features(waveform))[0]) < 1e-3
        maps = explain.attention_maps(model, features(waveform))
        assert difference(attention(page, QUERIES[-1]), maps[0, :, :, QUERIES[-1]]) < 0.02
    assert len(steps) == 5


@torch.inference_mode()
def test_the_loaded_network_computes_what_astlib_does(page, model, sounds, tmp_path):
    """Log-mel, attention and logits to 1e-3, for five sounds, a short one and a longer one."""
    load_network(page)
    features, prefix = astlib.Features(model.cfg), model.cfg.prefix_tokens
    bell = audio.load(sounds[0])
    soundfile.write(tmp_path / "short.wav", bell[:20_000].numpy(), 16_000, subtype="FLOAT")
    soundfile.write(tmp_path / "long.wav", bell.repeat(3).numpy(), 16_000, subtype="FLOAT")
    for path in [*sounds, tmp_path / "short.wav", tmp_path / "long.wav"]:
        page.set_input_files("#source input[type=file]", path)
        page.wait_for_function(f"name => listen.get().sound.name === name && ({EXACT})()", arg=path.name)
        state = shown(page)
        waveform = audio.load(path)[: features.log_mel.sample_count(model.cfg.input_tdim)]
        assert len(state["samples"]) == len(waveform)
        assert mel_difference(state["mel"], features.mel(waveform)[0]) < 1e-3
        logits, maps = model(features(waveform)), explain.attention_maps(model, features(waveform))
        assert difference(state["logits"], logits[0]) < 1e-3
        for query in QUERIES:
            assert difference(attention(page, query), maps[0, :, :, query]) < 1e-3
        rollout = explain.rollout(maps)[0, :prefix, prefix:].mean(dim=0)
        assert difference(state["rollout"], rollout) < 1e-3
        rows = [
            (row.locator("th").inner_text(), row.locator("td").first.inner_text())
            for row in page.locator(".listen-scores tr").all()
        ]
        best = predict(model, waveform, top=5)
        assert rows == [(label.replace("_", " "), percent(share)) for label, share in best]
        none = bool(model.decision.is_none(logits).item())
        assert page.locator(".listen-answer").inner_text().startswith(f"{path.name}: Nothing I know") == none
    parts = page.get_by_label("Part of the sound")
    assert parts.is_visible() and int(parts.get_attribute("max")) > 1
    parts.fill("1")
    page.wait_for_function("() => listen.get().part === 1 && listen.get().sound.samples[0] !== 0")


@torch.inference_mode()
def test_paint_changes_the_answer_as_astlib_says(page, model, sounds):
    load_network(page)
    features = astlib.Features(model.cfg)
    mel = torch.tensor(shown(page)["mel"]).reshape(1, model.cfg.input_tdim, model.cfg.input_fdim)
    canvas = page.get_by_label("The spectrogram to paint on")
    for brush in ("silence", "mean", "zero"):
        page.get_by_role("button", name="Remove all paint").click()
        page.get_by_label({"mean": "the mean"}.get(brush, brush), exact=True).check()
        canvas.scroll_into_view_if_needed()
        box = canvas.bounding_box()
        page.mouse.move(box["x"] + 2, box["y"] + box["height"] - 3)  # the lowest left tile, and those beside it
        page.mouse.down()
        page.mouse.move(box["x"] + box["width"] / 4 - 3, box["y"] + box["height"] - 3, steps=30)
        page.mouse.up()
        page.wait_for_function(f"() => listen.get().painted.size === 8 && ({ANSWERED})()")
        painted = mel.clone()
        painted[:, :128, :16] = fill_value(brush, model.cfg.mean)
        expected = model(features.normalise(painted))[0]
        assert difference(page.evaluate("() => Array.from(listen.get().answer.logits)"), expected) < 1e-3


def test_what_cannot_be_heard_ends_in_a_sentence(page, tmp_path):
    load_network(page)
    silent, noise = np.zeros(80_000), np.random.default_rng(0).standard_normal(80_000) / 10
    soundfile.write(tmp_path / "silent.wav", silent, 16_000)
    soundfile.write(tmp_path / "blip.wav", noise[:300], 16_000)
    soundfile.write(tmp_path / "whole.wav", noise, 16_000)
    (tmp_path / "half.wav").write_bytes((tmp_path / "whole.wav").read_bytes()[:60_000])
    (tmp_path / "<img src=x onerror=alert(1)>.wav").write_bytes(b"not a sound")
    noise[700] = np.nan
    soundfile.write(tmp_path / "nan.wav", noise, 16_000, subtype="FLOAT")
    with soundfile.SoundFile(tmp_path / "hour.wav", "w", 8000, 1, "PCM_U8") as hour:
        for _ in range(60):
            hour.write(np.zeros(60 * 8000))
    with (tmp_path / "huge.wav").open("wb") as huge:
        huge.truncate(101_000_000)
    before = page.evaluate("() => listen.get().sound.name")
    for name, words in {
        "silent.wav": "silent",
        "blip.wav": "shorter than one frame",
        "half.wav": "cut off",
        "<img src=x onerror=alert(1)>.wav": "no sound that this browser can read",
        "nan.wav": "no numbers",
        "hour.wav": "60 minutes",
        "huge.wav": "101 MB",
    }.items():
        page.set_input_files("#source input[type=file]", tmp_path / name)
        page.locator(".listen-status").filter(has_text=words).wait_for()
    assert page.evaluate("() => listen.get().sound.name") == before
    assert page.locator(".listen img").count() == 0


@torch.inference_mode()
def test_a_microphone_is_heard_as_a_stream(page, sounds, model):
    """The network's answer is that to what was recorded, which is what the file plays."""
    load_network(page)
    page.get_by_role("button", name="Listen to the microphone").click()
    page.wait_for_function("samples => listen.get().sound.samples.length === samples", arg=SPAN)
    first = page.evaluate("() => listen.get().sound.samples[0]")
    page.wait_for_function("first => listen.get().sound.samples[0] !== first", arg=first)  # it goes on
    page.get_by_role("button", name="Stop listening").click()
    page.wait_for_function("() => !listen.get().streaming")
    assert "Stopped" in page.locator(".listen-status").inner_text()
    state = shown(page)
    heard = torch.tensor(state["samples"])
    assert difference(state["logits"], model(astlib.Features(model.cfg)(heard))[0]) < 1e-3
    played = audio.load(sounds[0]).repeat(3)
    shifts = torch.fft.irfft(torch.fft.rfft(heard, 2**18) * torch.fft.rfft(played, 2**18).conj())
    assert shifts.max() > 0.8 * heard.norm() * played[: len(heard)].norm(), "it is the file"


def test_steps_are_complete_only_after_their_act_and_by_keyboard_alone(page, sounds):
    def done():
        items = page.locator(".listen-steps li").all()
        return [i + 1 for i, item in enumerate(items) if item.get_attribute("class") == "done"]

    def press(role, name, *keys):
        page.get_by_role(role, name=name, exact=True).focus()
        for key in keys:
            page.keyboard.press(key)

    assert done() == []
    press("button", "Play the sound", "Enter")
    assert done() == [1]
    press("slider", "Frame", "Home", "ArrowRight")
    assert done() == [1], "the sound begins with silence"
    loud = page.evaluate(
        """() => { const { sound } = listen.get(), { mels } = listen.about;
        return Math.floor(sound.mel.subarray(0, sound.frames * mels).indexOf(
          sound.mel.subarray(0, sound.frames * mels).reduce((a, b) => Math.max(a, b))) / mels); }"""
    )
    press("slider", "Frame", *["ArrowRight"] * (loud - 1))
    assert done() == [1, 2]
    press("radio", "16", "ArrowLeft", "ArrowLeft")
    assert done() == [1, 2]
    page.keyboard.press("ArrowLeft")
    assert done() == [1, 2, 3]
    page.get_by_label("The log-mel spectrogram with its patches").focus()
    page.keyboard.press("ArrowRight")
    assert page.evaluate("() => listen.get().patch") == 1 and done() == [1, 2, 3]
    press("button", "Play this patch alone", "Enter")
    assert done() == [1, 2, 3, 4]
    page.get_by_label("The attention of the chosen token, drawn over the spectrogram").focus()
    for key in ("ArrowUp", "ArrowRight", "ArrowRight", "ArrowRight"):  # other patches, one head
        page.keyboard.press(key)
    assert done() == [1, 2, 3, 4]
    press("slider", "Block", "ArrowRight", "ArrowRight")
    assert done() == [1, 2, 3, 4]
    page.keyboard.press("ArrowRight")
    assert done() == [1, 2, 3, 4, 5]
    press("button", "Ask the class token", "Enter")
    assert done() == [1, 2, 3, 4, 5]
    press("slider", "Block", "End")
    assert done() == [1, 2, 3, 4, 5, 6]
    page.get_by_label("The spectrogram to paint on").focus()
    page.keyboard.press("Space")
    assert done() == [1, 2, 3, 4, 5, 6], "nothing answers before the network is there"
    press("button", "Load the network (25 MB)", "Enter")
    page.wait_for_function(EXACT)
    assert done() == [1, 2, 3, 4, 5, 6]
    page.get_by_label("The spectrogram to paint on").focus()
    page.keyboard.press("Space")
    page.wait_for_function(ANSWERED)
    assert done() == [1, 2, 3, 4, 5, 6, 7]
    page.set_input_files("#source input[type=file]", sounds[1])
    page.wait_for_function("() => listen.get().acts.has('own')")
    assert done() == [1, 2, 3, 4, 5, 6, 7, 8]
    page.reload()
    page.wait_for_function(READY)
    assert done() == [1, 2, 3, 4, 5, 6, 7, 8]


def test_the_second_visit_loads_no_network_and_nothing_blocks_the_page(browser, address, record_property):
    context, asked = browser.new_context(), []
    for visit in (1, 2):
        page = context.new_page()
        page.set_default_timeout(SECONDS)
        page.on("request", lambda request: asked.append(request.url))
        page.goto(address)
        page.wait_for_function(READY)
        assert not any(".onnx" in url or ".wasm" in url for url in asked) or visit == 2, "before anybody asked"
        page.evaluate(
            """() => { globalThis.longest = 0; new PerformanceObserver(list => list.getEntries().forEach(task => {
            globalThis.longest = Math.max(globalThis.longest, task.duration); })).observe({ type: "longtask" }); }"""
        )
        load_network(page)
        longest = page.evaluate("longest")
        seconds = float(page.locator(".listen-status").inner_text().split("heard in ")[1].split()[0])
        record_property("figures", f"Listen with it, visit {visit}: {seconds} s, longest task {longest:.0f} ms")
        assert longest < 1000 * seconds / 2, "the network blocks the page"
        page.close()
        assert sum(".onnx" in url for url in asked) == 2, f"visit {visit}"
    context.close()


def test_a_page_opened_as_a_file_shows_its_stored_sounds(browser, folder):
    page = browser.new_page()
    page.set_default_timeout(SECONDS)
    page.goto((folder / "book" / "listen.html").as_uri())
    page.wait_for_function(READY)
    assert page.locator(".listen-scores tr").count() == 5
    page.get_by_role("button", name="Load the network").click()
    page.locator(".listen-status").filter(has_text="run make serve").wait_for()
    page.close()


@pytest.mark.parametrize("width", check_browser.SIZES)
def test_nothing_is_wider_than_the_window(page, width):
    page.set_viewport_size({"width": width, "height": check_browser.SIZES[width]})
    page.wait_for_timeout(300)
    assert page.evaluate("() => document.documentElement.scrollWidth") <= width
    for canvas in page.locator(".listen canvas").all():
        assert canvas.get_attribute("aria-label") and canvas.bounding_box()["width"] > 80


def test_one_version_of_the_runtime():
    package = json.loads((web.WEB / "package.json").read_text(encoding="utf-8"))
    assert f"onnxruntime-web@{package['dependencies']['onnxruntime-web']}" in build.PACKAGES


def test_without_npm_the_page_says_what_is_missing(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(web, "PAGE", tmp_path / "listen.html")
    monkeypatch.setattr(web.shutil, "which", lambda name: None)
    web.write(with_runtime=True)
    assert "without npm" in (tmp_path / "listen.html").read_text() and "npm is not installed" in capsys.readouterr().out


@torch.inference_mode()
def test_a_network_that_was_taught_in_the_page_is_opened_by_astlib(page, sounds, model, tmp_path):
    """Three classes of five examples: the head is scikit-learn's, and the download gives the page's probabilities."""
    load_network(page)
    shifted, vectors = [audio.load(path).roll(3000 * i) for path in sounds[:3] for i in range(5)], []
    for i, waveform in enumerate(shifted):
        soundfile.write(tmp_path / f"{i:02}.wav", waveform.numpy(), 16_000, subtype="FLOAT")
        vectors.append(model.embed(astlib.Features(model.cfg)(waveform))[0])
    for label in range(3):
        files = sorted(tmp_path.glob("*.wav"))[5 * label : 5 * label + 5]
        page.get_by_label(f"Sound files of class {label + 1}").set_input_files(files)
        page.wait_for_function("count => listen.get().examples.length === count", arg=5 * (label + 1))
    page.get_by_label("Name of class 2").fill("crickets <&>")
    page.locator("#teach .listen-says").filter(has_text="of 15 are right").wait_for()
    page.wait_for_function("() => listen.get().taught?.right.length === 15")
    right = page.evaluate("() => listen.get().taught.right.filter(is => is).length")
    low, high = wilson(right / 15, 15)
    said = page.locator("#teach .listen-says").first.inner_text()
    assert f"{right} of 15 are right" in said and f"{percent(low)} to {percent(high)}" in said
    normed = torch.nn.functional.layer_norm(torch.stack(vectors).double(), (model.cfg.dim,)).numpy()
    expected = LogisticRegression(tol=1e-8, max_iter=10_000).fit(normed, np.repeat(range(3), 5))
    weights = page.evaluate("() => listen.get().taught.head.weights.map(row => Array.from(row))")
    assert np.abs(np.array(weights) - expected.coef_).max() < 1e-3
    with page.expect_download() as download:
        page.get_by_role("button", name="Download the network").click()
    with zipfile.ZipFile(download.value.path()) as archive:
        archive.extractall(tmp_path)
    taught = open_model(tmp_path / "my-sounds")
    page.set_input_files("#source input[type=file]", sounds[3])
    page.wait_for_function(f"name => listen.get().sound.name === name && ({EXACT})()", arg=sounds[3].name)
    label, share = predict(taught, audio.load(sounds[3]), top=1)[0]
    assert f"{label}, {percent(share)}" in page.locator("#teach .listen-says").nth(1).inner_text()
    assert set(taught.cfg.labels) == {"background", "crickets <&>", "second sound"}


@pytest.mark.parametrize("classes", [2, 3])
def test_a_head_is_that_of_scikit_learn(folder, tmp_path, classes):
    draw = np.random.default_rng(classes)
    labels = np.arange(8 * classes) % classes
    vectors = draw.standard_normal((8 * classes, 20)) + 0.4 * draw.standard_normal((classes, 20))[labels]
    normed = torch.nn.functional.layer_norm(torch.from_numpy(vectors), (20,)).numpy()
    expected = LogisticRegression(tol=1e-8, max_iter=10_000).fit(normed, labels)
    given = {"features": vectors.tolist(), "classes": labels.tolist(), "count": classes, "normed": normed.tolist()}
    found = by_node(TEACH, "head", tmp_path, given)
    assert np.abs(np.array(found["shares"]) - expected.predict_proba(normed)).max() < 1e-3
    left = [
        LogisticRegression().fit(np.delete(normed, i, 0), np.delete(labels, i)).predict(normed[i : i + 1])[0]
        for i in range(len(labels))
    ]
    assert found["right"] == (np.array(left) == labels).tolist()
    assert 0 < sum(found["right"]) < len(labels), "some are right, some are not"
    assert found["interval"] == pytest.approx(wilson(0.75, 12))


def by_node(script, module, folder, given):
    """Run a script with one module of web/src, and what is given, in Node.js."""
    compiled = folder / f"{module}.js"
    words = [f"src/{module}.ts", "--format=cjs", f"--outfile={compiled}", "--log-level=error"]
    subprocess.run([web.WEB / "node_modules" / ".bin" / "esbuild", *words], cwd=web.WEB, check=True)
    ran = subprocess.run(
        ["node", "-e", script, compiled], input=json.dumps(given), capture_output=True, text=True, check=True
    )
    return json.loads(ran.stdout)


TEACH = """
const head = require(process.argv[1]);
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
const taught = head.teach(given.features.map((row) => Float32Array.from(row)), given.classes, given.count);
console.log(JSON.stringify({
  shares: given.normed.map((row) => Array.from(head.answer(taught.head, Float64Array.from(row)))),
  right: taught.right, interval: head.wilson(0.75, 12) }));
"""
LOGITS = 3 * torch.randn(40, 6, generator=torch.Generator().manual_seed(0))
DECIDE = """
const { isNone, probabilities } = require(process.argv[1]);
const given = JSON.parse(require("fs").readFileSync(0, "utf8"));
console.log(JSON.stringify(given.logits.map((row) => [
  isNone(given.decision, row), probabilities(given.decision, given.multiLabel, row)])));
"""


@pytest.mark.parametrize("multi_label", [False, True])
@pytest.mark.parametrize(
    "decision",
    [
        Decision(),
        Decision(temperature=2.5, none_score="max_logit", none_threshold=3.0),
        Decision(none_score="max_softmax", none_threshold=0.8),
        Decision(none_score="energy", none_threshold=4.0),
        Decision(none_score="background", none_threshold=0.5, none_weights=(1.0, -2.0, 0.5, 0.0, 1.5, -0.3)),
    ],
    ids=lambda decision: decision.none_score or "default",
)
def test_the_page_decides_as_python_does(folder, tmp_path, decision, multi_label):
    given = {"decision": asdict(decision), "multiLabel": multi_label, "logits": LOGITS.tolist()}
    none, probabilities = zip(*by_node(DECIDE, "decide", tmp_path, given), strict=True)
    assert list(none) == decision.is_none(LOGITS).tolist()
    assert decision.none_score == "" or 0 < sum(none) < len(LOGITS), "the threshold divides these sounds"
    assert torch.allclose(torch.tensor(probabilities), decision.probabilities(LOGITS, multi_label), atol=1e-6)
