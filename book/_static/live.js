// Chapter 17's network in the reader's browser: what is chosen or recorded is named here and sent nowhere.
(function () {
  "use strict";

  var book = new URL(".", document.currentScript.src).href; // _static/
  var RATE = 16000;
  var SECONDS = 5;

  function element(parent, name, properties) {
    var made = Object.assign(document.createElement(name), properties);
    parent.append(made);
    return made;
  }

  function script(address) {
    return new Promise(function (resolve, reject) {
      var tag = element(document.head, "script", { src: address });
      tag.onload = resolve;
      tag.onerror = function () { reject(new Error("the runtime is not in this copy of the book")); };
    });
  }

  async function fetched(address) {
    var answer = await fetch(address);
    if (!answer.ok) {
      throw new Error(address.split("/").pop() + " is not in this copy of the book");
    }
    return answer;
  }

  // {labels, frames, frame, hop, decision, session}. Nothing of it is loaded before somebody asks for it.
  async function load() {
    var about = await (await fetched(book + "live/about.json")).json();
    await script(book + "vendor/onnxruntime/ort.wasm.min.js");
    window.ort.env.wasm.wasmPaths = book + "vendor/onnxruntime/";
    window.ort.env.wasm.numThreads = 1; // more need headers that a plain server of files does not send
    var model = await (await fetched(book + "live/model.onnx")).arrayBuffer();
    about.session = await window.ort.InferenceSession.create(new Uint8Array(model));
    return about;
  }

  // Any file the browser can decode -> one channel at 16 kHz. Channels are averaged, as astlib.audio.load does.
  async function decode(blob) {
    var audio = await new OfflineAudioContext(1, 1, RATE).decodeAudioData(await blob.arrayBuffer());
    var mono = new Float32Array(audio.length);
    for (var c = 0; c < audio.numberOfChannels; c++) {
      var channel = audio.getChannelData(c);
      for (var i = 0; i < mono.length; i++) {
        mono[i] += channel[i] / audio.numberOfChannels;
      }
    }
    return mono;
  }

  function softmax(logits, temperature) {
    var largest = Math.max.apply(null, logits);
    var powers = Array.from(logits, function (z) { return Math.exp((z - largest) / temperature); });
    var sum = powers.reduce(function (a, b) { return a + b; });
    return powers.map(function (p) { return p / sum; });
  }

  // How much a sound is like any of the classes: astlib.decisions.known_score in JavaScript.
  var knownScores = {
    max_logit: function (logits) { return Math.max.apply(null, logits); },
    max_softmax: function (logits) { return Math.max.apply(null, softmax(logits, 1)); },
    energy: function (logits) {
      var largest = Math.max.apply(null, logits);
      return largest + Math.log(logits.reduce(function (sum, z) { return sum + Math.exp(z - largest); }, 0));
    },
    background: function (logits, weights) {
      return logits.reduce(function (sum, z, k) { return sum + z * weights[k]; }, 0);
    },
  };

  // astlib.decisions.Decision.is_none in JavaScript.
  function isNone(decision, logits) {
    if (!decision.none_score) {
      return false;
    }
    return knownScores[decision.none_score](Array.from(logits), decision.none_weights) < decision.none_threshold;
  }

  // {none, best}: the mean over windows that overlap by half, the last one ending with the sound, and whether all of
  // them belong to none of the classes: astlib.answers in JavaScript.
  async function predict(net, samples) {
    var frames = 1 + Math.floor((samples.length - net.frame) / net.hop);
    if (frames < 1) {
      throw new Error("this sound is shorter than 25 ms");
    }
    var starts = [];
    for (var first = 0; first < frames - net.frames; first += Math.floor(net.frames / 2)) {
      starts.push(first);
    }
    starts.push(Math.max(0, frames - net.frames));
    var mean = new Array(net.labels.length).fill(0), none = true;
    for (var start of starts) {
      var part = samples.slice(start * net.hop, start * net.hop + (net.frames - 1) * net.hop + net.frame);
      var input = new window.ort.Tensor("float32", part, [1, part.length]);
      var logits = (await net.session.run({ waveform: input })).logits.data;
      none = isNone(net.decision, logits) && none;
      softmax(logits, net.decision.temperature).forEach(function (share, k) { mean[k] += share / starts.length; });
    }
    var best = net.labels.map(function (label, k) { return { label: label, share: mean[k] }; })
      .sort(function (a, b) { return b.share - a.share; });
    return { none: none, best: best };
  }

  async function record() {
    var settings = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    var stream = await navigator.mediaDevices.getUserMedia({ audio: settings });
    try {
      return await new Promise(function (resolve, reject) {
        var recorder = new MediaRecorder(stream), pieces = [];
        recorder.ondataavailable = function (event) { pieces.push(event.data); };
        recorder.onstop = function () { resolve(new Blob(pieces, { type: recorder.mimeType })); };
        recorder.onerror = function (event) { reject(event.error); };
        recorder.start();
        setTimeout(function () { recorder.stop(); }, 1000 * SECONDS);
      });
    } finally {
      stream.getTracks().forEach(function (track) { track.stop(); });
    }
  }

  function furnish(box) {
    box.replaceChildren();
    var net;
    var start = element(box, "button", { type: "button", textContent: "Load the network (about 25 MB)" });
    var controls = element(box, "div", { className: "live-controls", hidden: true });
    var listen = element(controls, "button", { type: "button", textContent: "Listen for " + SECONDS + " seconds" });
    var label = element(controls, "label", { textContent: "or choose a sound file: " });
    var file = element(label, "input", { type: "file", accept: "audio/*" });
    var status = element(box, "p", { className: "live-status" });
    status.setAttribute("role", "status");
    var player = element(box, "audio", { controls: true, hidden: true });
    player.setAttribute("aria-label", "The sound that was named");
    var table = element(box, "table", { hidden: true });
    if (!navigator.mediaDevices || !window.MediaRecorder) {
      listen.disabled = true; // a page that is neither https nor of this machine gets no microphone
    }

    function show(found) {
      table.replaceChildren();
      table.classList.toggle("live-none", found.none);
      element(table, "caption", {
        textContent: found.none ? "Nothing I know. What comes nearest:" : "The five most probable classes",
      });
      found.best.slice(0, 5).forEach(function (row) {
        var line = element(table, "tr");
        element(line, "th", { scope: "row", textContent: row.label.replaceAll("_", " ") });
        element(line, "td", { textContent: (100 * row.share).toFixed(1) + " %" });
        var bar = element(element(line, "td"), "div", { className: "live-bar" });
        bar.style.width = Math.round(100 * row.share) + "%";
      });
      table.hidden = false;
    }

    // Runs one step with the buttons at rest; what goes wrong is said where the answer would stand.
    async function attempt(text, step) {
      var buttons = [start, listen, file].filter(function (button) { return !button.disabled; });
      buttons.forEach(function (button) { button.disabled = true; });
      status.textContent = text;
      try {
        status.textContent = await step() || "";
      } catch (error) {
        status.textContent = "That did not work: " + error.message + ".";
      } finally {
        buttons.forEach(function (button) { button.disabled = false; });
      }
    }

    async function name(blob) {
      table.hidden = true;
      player.src = URL.createObjectURL(blob);
      player.hidden = false;
      status.textContent = "The network is listening …";
      await new Promise(function (resolve) { setTimeout(resolve, 50); }); // lets the page show that
      var samples = await decode(blob);
      var clock = performance.now();
      var found = await predict(net, samples);
      show(found);
      return (found.none ? "Nothing I know: " : "") + (samples.length / RATE).toFixed(1) + " s of sound, named in " +
        ((performance.now() - clock) / 1000).toFixed(1) + " s.";
    }

    start.onclick = function () {
      attempt("Loading …", async function () {
        if (location.protocol === "file:") {
          throw new Error("a page opened as a file may not load it; run make serve and open the address it prints");
        }
        net = await load();
        start.hidden = true;
        controls.hidden = false;
        return "Ready.";
      });
    };
    listen.onclick = function () {
      attempt("Recording …", async function () { return name(await record()); });
    };
    file.onchange = function () {
      if (file.files.length) {
        attempt("Reading …", function () { return name(file.files[0]); });
      }
    };
  }

  document.addEventListener("DOMContentLoaded", function () {
    document.querySelectorAll(".live-model").forEach(furnish);
  });
})();
