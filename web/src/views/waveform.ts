// The waveform, one frame of it, its spectrum and its mel column.

import type { About } from "../about";
import { picture, range } from "../canvas";
import { button, make, slider, stage } from "../page";
import { play, stop } from "../play";
import type { Sound, Store } from "../state";

const FFT = 512;
const DECIBELS = 100; // shown below the loudest bin
const NEAR = 1; // in natural logarithms of power: this near to the loudest cell counts as loud

// Power spectrum of one frame, as astlib.LogMel computes it: mean removed, pre-emphasis, Hann window.
export function spectrum(about: About, samples: Float32Array, frame: number): Float32Array {
  const part = samples.slice(frame * about.hop, frame * about.hop + about.frame);
  const mean = part.reduce((a, b) => a + b, 0) / part.length;
  const shaped = part.map((value, i) => {
    const before = part[Math.max(i - 1, 0)];
    const taper = 0.5 - 0.5 * Math.cos((2 * Math.PI * i) / (part.length - 1));
    return (value - mean - 0.97 * (before - mean)) * taper;
  });
  const turn = Float64Array.from({ length: FFT }, (_, i) => Math.cos((2 * Math.PI * i) / FFT));
  return Float32Array.from({ length: FFT / 2 + 1 }, (_, k) => {
    let real = 0;
    let imaginary = 0;
    for (let i = 0; i < shaped.length; i++) {
      const place = (k * i) % FFT;
      real += shaped[i] * turn[place];
      imaginary += shaped[i] * turn[(place + FFT / 4) % FFT]; // -sin
    }
    return real * real + imaginary * imaginary;
  });
}

function loudest(values: ArrayLike<number>): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) {
    if (values[i] > values[best]) {
      best = i;
    }
  }
  return best;
}

export function waveform(store: Store): HTMLElement {
  const { about } = store;
  const column = (sound: Sound, frame: number): Float32Array =>
    sound.mel.slice(frame * about.mels, (frame + 1) * about.mels);

  const wave = picture("The waveform of the sound", 110, (context, width, height, colours) => {
    const { sound, frame } = store.get();
    if (!sound) {
      return;
    }
    const most = Math.max(...range(sound.samples).map(Math.abs)) || 1;
    context.fillStyle = colours.accent;
    for (let x = 0; x < width; x++) {
      const first = Math.floor((x / width) * sound.samples.length);
      const end = Math.max(Math.floor(((x + 1) / width) * sound.samples.length), first + 1);
      const [low, high] = range(sound.samples.subarray(first, end));
      const y = (value: number): number => (height / 2) * (1 - (0.95 * value) / most);
      context.fillRect(x, y(high), 1, Math.max(y(low) - y(high), 1));
    }
    context.fillStyle = colours.text;
    context.fillRect((frame * about.hop * width) / sound.samples.length, 0, 2, height);
  });
  const shape = picture("The samples of the chosen frame", 120, (context, width, height, colours) => {
    const { sound, frame } = store.get();
    if (!sound) {
      return;
    }
    const part = sound.samples.slice(frame * about.hop, frame * about.hop + about.frame);
    const most = Math.max(...range(part).map(Math.abs)) || 1;
    line(context, colours.accent, Array.from(part, (value) => 0.5 + (0.45 * value) / most), width, height);
  });
  const lines = picture("The power spectrum of the chosen frame, in decibels", 120, (context, width, height, colours) => {
    const { sound, frame } = store.get();
    if (!sound) {
      return;
    }
    const decibels = Array.from(spectrum(about, sound.samples, frame), (power) => 10 * Math.log10(power + 1e-12));
    const most = Math.max(...decibels);
    line(context, colours.accent, decibels.map((value) => 1 + (value - most) / DECIBELS), width, height);
  });
  const bars = picture("The mel column of the chosen frame", 120, (context, width, height, colours) => {
    const { sound, frame } = store.get();
    if (!sound) {
      return;
    }
    const [low, high] = range(sound.mel);
    context.fillStyle = colours.accent;
    column(sound, frame).forEach((value, bin) => {
      const tall = ((value - low) / (high - low || 1)) * height;
      context.fillRect((bin * width) / about.mels, height - tall, Math.max(width / about.mels - 0.5, 1), tall);
    });
  });

  const pictures = [wave, shape, lines, bars];
  const said = make("p", { className: "listen-says", attributes: { "aria-live": "polite" } });
  const move = slider("Frame", 1, (frame) => store.set({ frame }));
  const go = (frame: number): void => {
    const { sound } = store.get();
    store.set({ frame: Math.min(Math.max(frame, 0), (sound?.frames ?? 1) - 1) });
  };
  wave.canvas.onpointerdown = (event) => {
    const { sound } = store.get();
    const box = wave.canvas.getBoundingClientRect();
    go(Math.floor(((event.clientX - box.left) / box.width) * ((sound?.samples.length ?? 0) / about.hop)));
  };
  store.watch(["sound", "frame"], ({ sound, frame }) => {
    if (!sound) {
      return;
    }
    if (frame >= sound.frames) {
      store.set({ frame: sound.frames - 1 });
      return;
    }
    move.input.max = String(sound.frames - 1);
    move.input.value = String(frame);
    move.input.setAttribute("aria-valuetext", `${((frame * about.hop) / about.rate).toFixed(2)} s`);
    pictures.forEach((part) => part.draw());
    const cells = column(sound, frame);
    const bin = loudest(cells);
    const hz = (loudest(spectrum(about, sound.samples, frame)) * about.rate) / FFT;
    const start = (frame * about.hop) / about.rate;
    said.textContent =
      `Frame ${frame + 1} of ${sound.frames} begins at ${start.toFixed(2)} s. Its spectrum is strongest at ` +
      `${Math.round(hz)} Hz. Its loudest mel bin is number ${bin + 1} of ${about.mels}, ` +
      `${Math.round(about.hz[bin])} to ${Math.round(about.hz[bin + 2])} Hz: ${cells[bin].toFixed(1)}, ` +
      `where the loudest cell of the sound has ${range(sound.mel)[1].toFixed(1)}.`;
  });
  store.watch(["frame"], ({ sound, frame }) => {
    if (sound && frame > 0 && range(column(sound, frame))[1] > range(sound.mel)[1] - NEAR) {
      store.did("loud");
    }
  });

  return stage(
    "waveform",
    "1. From the waveform to a column of numbers",
    `A frame is ${about.frame} samples, ${(1000 * about.frame) / about.rate} ms, and one begins every ` +
      `${(1000 * about.hop) / about.rate} ms. Its spectrum is summed under ${about.mels} triangles, and the logarithm of ` +
      "the sums is one column of the picture below. Click on the waveform or move the slider.",
    make(
      "div",
      { className: "listen-row" },
      button("Play the sound", () => {
        const { sound } = store.get();
        if (sound) {
          void play(about, sound.samples);
          store.did("played");
        }
      }),
      button("Stop", stop),
    ),
    wave.canvas,
    move.label,
    make(
      "div",
      { className: "listen-three" },
      figure("the frame: samples", shape.canvas),
      figure(`its spectrum: 0 to ${about.rate / 2} Hz, ${DECIBELS} dB`, lines.canvas),
      figure(`its column: ${about.mels} mel bins`, bars.canvas),
    ),
    said,
  );
}

function figure(caption: string, canvas: HTMLCanvasElement): HTMLElement {
  return make("figure", {}, canvas, make("figcaption", { textContent: caption }));
}

// Values from 0 (below) to 1 (above) as a line.
function line(context: CanvasRenderingContext2D, colour: string, values: number[], width: number, height: number): void {
  context.strokeStyle = colour;
  context.lineWidth = 1.5;
  context.beginPath();
  values.forEach((value, i) => context.lineTo((i / (values.length - 1)) * width, (1 - value) * height));
  context.stroke();
}
