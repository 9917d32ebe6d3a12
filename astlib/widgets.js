// Makes the players and flipbooks of astlib.widgets move. It may run many times in one page, and needs no library.
(function () {
  "use strict";

  var STYLE =
    ".player,.flipbook{text-align:left}.player-more label{display:inline-block;margin-right:.5em}.player-picture img,.flipbook img{display:block;width:100%}.flipbook img[hidden]{display:none}" +
    ".player-surface{position:absolute;overflow:hidden;cursor:crosshair;touch-action:pan-y;user-select:none}" +
    ".player-surface:focus-visible,.flipbook input:focus-visible{outline:3px solid #2a8fdd;outline-offset:2px}" +
    ".player-cursor{position:absolute;top:0;bottom:0;width:2px;margin-left:-1px;background:#fff;" +
    "box-shadow:0 0 0 1px #0009;pointer-events:none}" +
    ".player-part{position:absolute;box-sizing:border-box;border:2px solid #fff;pointer-events:none;" +
    "box-shadow:0 0 0 1px #0009,0 0 0 9999px #0008}.player-part[hidden]{display:none}" +
    ".player-more{display:flex;flex-wrap:wrap;gap:.2em 1em;align-items:center;font-size:.9em}" +
    ".player-more input{width:5.5em;font:inherit;margin:.2em .2em .2em 0}.player-more button{font:inherit}" +
    ".player-more summary{cursor:pointer}.player-more p{margin:.3em 0}.flipbook input{min-height:2em}";
  var TAPS = 2047; // of the band filter: at 16 kHz it is 70 dB down 40 Hz beside the band

  function add(parent, name, properties, attributes) {
    var made = Object.assign(document.createElement(name), properties);
    Object.keys(attributes || {}).forEach(function (key) { made.setAttribute(key, attributes[key]); });
    parent.append(made);
    return made;
  }

  function flip(book) {
    var slider = book.querySelector("input");
    ["pointerenter", "focus"].forEach(function (type) { // the book loads pages late: now all are wanted
      slider.addEventListener(type, function () {
        book.querySelectorAll("img").forEach(function (page) { page.loading = "eager"; });
      });
    });
    slider.addEventListener("input", function () {
      var pages = book.querySelectorAll("img"), page = pages[slider.valueAsNumber];
      page.hidden = false; // before the others go, so that the page below does not jump
      pages.forEach(function (other) { other.hidden = other !== page; });
      book.querySelector("output").textContent = page.dataset.label;
      slider.setAttribute("aria-valuetext", page.dataset.label);
    });
  }

  // Mel scale, as astlib.frontend has it.
  function mel(hz) { return 1127 * Math.log(1 + hz / 700); }
  function hertz(mels) { return 700 * (Math.exp(mels / 1127) - 1); }

  // A 16-bit WAV file of numbers in [-1, 1].
  function wav(samples, rate) {
    var view = new DataView(new ArrayBuffer(44 + 2 * samples.length)), bytes = 2 * samples.length;
    "RIFF....WAVEfmt ....................data".split("").forEach(function (c, i) { view.setUint8(i, c.charCodeAt(0)); });
    [[4, 36 + bytes], [16, 16], [24, rate], [28, 2 * rate], [40, bytes]].forEach(function (field) {
      view.setUint32(field[0], field[1], true);
    });
    [[20, 1], [22, 1], [32, 2], [34, 16]].forEach(function (field) { view.setUint16(field[0], field[1], true); });
    samples.forEach(function (x, i) { view.setInt16(44 + 2 * i, 32767 * Math.max(-1, Math.min(1, x)), true); });
    return new Blob([view], { type: "audio/wav" });
  }

  // Only the band from `low` to `high` Hz, by convolution with a windowed sinc; then only the time of the part.
  async function cut(buffer, part) {
    var rate = buffer.sampleRate, middle = (TAPS - 1) / 2;
    var context = new OfflineAudioContext(1, buffer.length + middle, rate);
    var taps = context.createBuffer(1, TAPS, rate), h = taps.getChannelData(0);
    for (var i = 0; i < TAPS; i++) {
      var n = i - middle, x = 2 * Math.PI * i / (TAPS - 1);
      var window_ = 0.42 - 0.5 * Math.cos(x) + 0.08 * Math.cos(2 * x); // Blackman
      h[i] = window_ * (n ? (Math.sin(2 * Math.PI * part.high * n / rate) - Math.sin(2 * Math.PI * part.low * n / rate)) /
        (Math.PI * n) : 2 * (part.high - part.low) / rate);
    }
    var source = new AudioBufferSourceNode(context, { buffer: buffer });
    var filter = new ConvolverNode(context, { disableNormalization: true, buffer: taps });
    source.connect(filter).connect(context.destination);
    source.start();
    var all = (await context.startRendering()).getChannelData(0).subarray(middle);
    var samples = all.slice(Math.round(part.from * rate), Math.round(part.to * rate)), ramp = 0.005 * rate;
    return samples.map(function (value, k) { return value * Math.min(1, k / ramp, (samples.length - 1 - k) / ramp); });
  }

  function listen(box) {
    var axes = JSON.parse(box.dataset.axes), audio = box.querySelector("audio"), whole = audio.src, name = audio.getAttribute("aria-label");
    var mels = axes.hz.map(mel), part = null, drag = null, decoded = null;
    var surface = add(box.querySelector(".player-picture"), "div", { className: "player-surface", tabIndex: 0 }, {
      role: "slider", "aria-label": "Time in " + name, "aria-valuemin": 0, "aria-valuemax": axes.seconds,
      "aria-description": "Space plays, arrows move, Escape removes the box.",
    });
    ["left", "top", "width", "height"].forEach(function (side, i) { surface.style[side] = 100 * axes.box[i] + "%"; });
    var shade = add(surface, "div", { className: "player-part", hidden: true });
    var cursor = add(surface, "div", { className: "player-cursor" });
    var more = add(box, "div", { className: "player-more" });
    var details = add(more, "details");
    add(details, "summary", { textContent: "Hear a part of it" });
    add(details, "p", { textContent: "Drag a box over the picture, or type its borders. Escape removes it." });
    var keys = ["from", "to", "low", "high"];
    var fields = keys.map(function (key, i) {
      var label = add(details, "label", { textContent: ["From ", "to ", "from ", "to "][i] });
      var field = add(label, "input", { type: "number", min: 0, max: i < 2 ? axes.seconds : axes.hz[1], step: "any" });
      label.append(i < 2 ? "s" : "Hz");
      field.addEventListener("change", function () {
        var typed = Object.assign({}, part || full());
        typed[key] = field.valueAsNumber;
        choose(typed, false);
      });
      return field;
    });
    var said = add(more, "span", {}, { role: "status" });
    var clear = add(more, "button", { type: "button", textContent: "Whole sound", hidden: true });

    function full() { return { from: 0, to: axes.seconds, low: 0, high: axes.hz[1] }; }
    function now() { return audio.currentTime + (part ? part.from : 0); }
    function hz(y) { // y: 0 at the top of the picture, 1 at its bottom
      var k = ((1 - y) * axes.bins + 0.5) / (axes.bins + 1);
      return y >= 1 ? 0 : y <= 0 ? axes.hz[1] : hertz(mels[0] + k * (mels[1] - mels[0]));
    }
    function height(f) { // the other way round
      var k = (mel(f) - mels[0]) / (mels[1] - mels[0]);
      return Math.max(0, Math.min(1, 1 - (k * (axes.bins + 1) - 0.5) / axes.bins));
    }
    function words(p) {
      return p.from.toFixed(2) + " to " + p.to.toFixed(2) + " s, " + Math.round(p.low) + " to " + Math.round(p.high) + " Hz";
    }
    function draw(p) {
      shade.hidden = !p;
      if (p) {
        Object.assign(shade.style, {
          left: 100 * p.from / axes.seconds + "%", width: 100 * (p.to - p.from) / axes.seconds + "%",
          top: 100 * height(p.high) + "%", height: 100 * (height(p.low) - height(p.high)) + "%",
        });
      }
    }
    function move() {
      var time = Math.min(now(), axes.seconds);
      cursor.style.left = 100 * time / axes.seconds + "%";
      if (audio.paused || Math.floor(time) !== Math.floor(surface.ariaValueNow)) { // not sixty times a second
        surface.setAttribute("aria-valuenow", time.toFixed(2));
        surface.setAttribute("aria-valuetext", time.toFixed(1) + " of " + axes.seconds.toFixed(1) + " seconds");
      }
      if (!audio.paused) { requestAnimationFrame(move); }
    }
    function seek(time) {
      audio.currentTime = Math.max(0, Math.min(time, axes.seconds) - (part ? part.from : 0));
      move();
    }
    function go() {
      audio.play().catch(function (error) { said.textContent = "The browser does not play it: " + error.message; });
    }
    function forget(time) {
      if (!part) { return; }
      part = null;
      audio.src = whole;
      show();
      seek(time);
    }
    function show() {
      draw(part);
      said.textContent = part ? words(part) : "";
      clear.hidden = !part;
      fields.forEach(function (field, i) {
        field.value = part ? part[keys[i]].toFixed(i < 2 ? 2 : 0) : "";
      });
    }
    async function choose(p, play) {
      p.from = Math.max(0, p.from || 0);
      p.to = Math.min(axes.seconds, p.to || 0);
      p.low = Math.max(0, p.low || 0);
      p.high = Math.min(axes.hz[1], p.high || 0);
      if (p.to - p.from < 0.02 || p.high - p.low < 20) {
        said.textContent = "A box is at least 0.02 s long and 20 Hz high.";
        return;
      }
      part = p;
      show();
      var bytes = Uint8Array.from(atob(whole.split(",")[1]), function (c) { return c.charCodeAt(0); });
      decoded = decoded || await new OfflineAudioContext(1, 1, 2 * axes.hz[1]).decodeAudioData(bytes.buffer);
      var samples = await cut(decoded, p);
      if (part === p) { // and not another one meanwhile
        audio.src = URL.createObjectURL(wav(samples, decoded.sampleRate));
        if (play) { go(); }
      }
    }
    function place(event) {
      var area = surface.getBoundingClientRect();
      return {
        x: Math.max(0, Math.min(1, (event.clientX - area.left) / area.width)),
        y: Math.max(0, Math.min(1, (event.clientY - area.top) / area.height)),
      };
    }
    function dragged(event) {
      var end = place(event), y = [drag.y, end.y].sort(function (a, b) { return a - b; });
      return {
        from: axes.seconds * Math.min(drag.x, end.x), to: axes.seconds * Math.max(drag.x, end.x), low: hz(y[1]), high: hz(y[0]),
      };
    }

    surface.addEventListener("pointerdown", function (event) {
      if (event.button) { return; }
      drag = Object.assign(place(event), { at: [event.clientX, event.clientY], moved: false });
      surface.setPointerCapture(event.pointerId);
    });
    surface.addEventListener("pointermove", function (event) {
      if (!drag) { return; }
      drag.moved = drag.moved || Math.hypot(event.clientX - drag.at[0], event.clientY - drag.at[1]) > 5;
      if (drag.moved) { draw(dragged(event)); }
    });
    surface.addEventListener("pointerup", function (event) {
      if (!drag) { return; }
      var time = drag.x * axes.seconds;
      if (drag.moved) {
        choose(dragged(event), true);
      } else {
        if (part && (time < part.from || time > part.to)) { forget(time); }
        seek(time);
        go();
      }
      drag = null;
    });
    surface.addEventListener("pointercancel", function () { drag = null; draw(part); });
    surface.addEventListener("dblclick", function () { forget(now()); });
    clear.addEventListener("click", function () { forget(now()); surface.focus(); });
    box.addEventListener("keydown", function (event) {
      if (event.key === "Escape") { forget(now()); }
    });
    surface.addEventListener("keydown", function (event) {
      var steps = { ArrowLeft: -0.1, ArrowDown: -0.1, ArrowRight: 0.1, ArrowUp: 0.1, PageDown: -1, PageUp: 1 };
      if (event.ctrlKey || event.altKey || event.metaKey) { return; }
      if (event.key === " ") {
        if (audio.paused) { go(); } else { audio.pause(); }
      } else if (event.key === "Home" || event.key === "End") {
        seek(event.key === "Home" ? 0 : axes.seconds);
      } else if (steps[event.key]) {
        seek(now() + steps[event.key]);
      } else {
        return;
      }
      event.preventDefault();
      event.stopPropagation(); // Jupyter has keys of its own
    });
    audio.addEventListener("play", function () {
      document.querySelectorAll("audio").forEach(function (other) { if (other !== audio) { other.pause(); } });
      move();
    });
    ["seeked", "pause", "ended", "loadedmetadata"].forEach(function (type) { audio.addEventListener(type, move); });
    move();
  }

  function start() {
    if (!document.getElementById("astlib-style")) {
      add(document.head, "style", { id: "astlib-style", textContent: STYLE });
    }
    [[".flipbook", flip], [".player[data-axes]", listen]].forEach(function (pair) {
      document.querySelectorAll(pair[0] + ":not([data-moves])").forEach(function (element) {
        element.dataset.moves = "";
        pair[1](element);
      });
    });
  }

  if (document.readyState === "loading") {
    document.addEventListener("DOMContentLoaded", start);
  } else {
    start();
  }
})();
