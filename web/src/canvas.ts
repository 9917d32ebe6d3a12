// Pictures: a canvas that is as sharp as the screen, redrawn when its size or the page's theme changes.

import type { About } from "./about";
import { make } from "./page";

export interface Picture {
  canvas: HTMLCanvasElement;
  draw(): void;
}

export interface Colours {
  text: string;
  accent: string;
}

// `height` in CSS pixels; `label` is what a screen reader says.
export function picture(
  label: string,
  height: number,
  paint: (context: CanvasRenderingContext2D, width: number, height: number, colours: Colours) => void,
): Picture {
  const canvas = make("canvas", { className: "listen-canvas", attributes: { role: "img", "aria-label": label } });
  canvas.style.height = `${height}px`;
  function draw(): void {
    const width = canvas.clientWidth;
    const context = canvas.getContext("2d");
    if (!width || !context) {
      return; // not on the page, or folded
    }
    const ratio = window.devicePixelRatio || 1;
    canvas.width = Math.round(width * ratio);
    canvas.height = Math.round(height * ratio);
    context.scale(ratio, ratio);
    const style = getComputedStyle(canvas);
    paint(context, width, height, { text: style.color, accent: style.getPropertyValue("--listen-accent").trim() });
  }
  new ResizeObserver(draw).observe(canvas);
  new MutationObserver(draw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
  return { canvas, draw };
}

// Dark blue, violet, orange, yellow: lightness grows evenly, also for readers who do not see all hues.
const SCALE = [
  [13, 8, 60],
  [84, 15, 109],
  [187, 55, 84],
  [249, 142, 9],
  [252, 255, 164],
];

const SHADES = 256;

// Colours as ImageData stores them, from little to much.
function shades(colour: (share: number) => number[]): Uint32Array {
  const bytes = new Uint8ClampedArray(4 * SHADES);
  for (let i = 0; i < SHADES; i++) {
    bytes.set([...colour(i / (SHADES - 1)), 255], 4 * i);
  }
  return new Uint32Array(bytes.buffer);
}

const COLOURS = {
  heat: shades((share) => {
    const place = share * (SCALE.length - 1);
    const low = Math.min(Math.floor(place), SCALE.length - 2);
    return SCALE[low].map((value, i) => value + (place - low) * (SCALE[low + 1][i] - value));
  }),
  grey: shades((share) => [90 * share, 90 * share, 90 * share]),
};

export function range(values: Float32Array): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

const drawn = { heat: new WeakMap<Float32Array, HTMLCanvasElement>(), grey: new WeakMap<Float32Array, HTMLCanvasElement>() };

// A log-mel spectrogram as a bitmap, one pixel per cell, low frequencies below. "grey" leaves colours to what is drawn
// on top. Each is made once.
export function bitmap(about: About, mel: Float32Array, colours: "heat" | "grey" = "heat"): HTMLCanvasElement {
  const before = drawn[colours].get(mel);
  if (before) {
    return before;
  }
  const canvas = make("canvas", { width: about.frames, height: about.mels });
  const image = new ImageData(about.frames, about.mels);
  const pixels = new Uint32Array(image.data.buffer);
  const [low, high] = range(mel);
  const step = (SHADES - 1) / (high - low || 1);
  for (let frame = 0; frame < about.frames; frame++) {
    for (let bin = 0; bin < about.mels; bin++) {
      const shade = Math.round((mel[frame * about.mels + bin] - low) * step);
      pixels[(about.mels - 1 - bin) * about.frames + frame] = COLOURS[colours][shade];
    }
  }
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  drawn[colours].set(mel, canvas);
  return canvas;
}

// One number per patch as a bitmap, one pixel per patch: 0 is transparent, 1 full colour.
export function patchBitmap(shares: ArrayLike<number>, columns: number): HTMLCanvasElement {
  const rows = shares.length / columns;
  const canvas = make("canvas", { width: columns, height: rows });
  const image = new ImageData(columns, rows);
  for (let patch = 0; patch < shares.length; patch++) {
    const row = rows - 1 - Math.floor(patch / columns);
    image.data.set([255, 170, 20, 255 * Math.min(shares[patch], 1)], 4 * (row * columns + (patch % columns)));
  }
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

// Draws numbers of the network's own patches over a spectrogram. Where patches overlap, each has the cells from its
// first to that of the next.
export function overlay(
  context: CanvasRenderingContext2D,
  about: About,
  width: number,
  height: number,
  columns: number,
  shares: ArrayLike<number>,
): void {
  const wide = (width * columns * about.stride[1]) / about.frames;
  const high = (height * (shares.length / columns) * about.stride[0]) / about.mels;
  context.imageSmoothingEnabled = false;
  context.drawImage(patchBitmap(shares, columns), 0, height - high, wide, high);
}

export function outline(
  context: CanvasRenderingContext2D,
  about: About,
  width: number,
  height: number,
  area: { frames: [number, number]; mels: [number, number] },
): void {
  const across = width / about.frames;
  const up = height / about.mels;
  const box: [number, number, number, number] = [
    area.frames[0] * across,
    height - area.mels[1] * up,
    (area.frames[1] - area.frames[0]) * across,
    (area.mels[1] - area.mels[0]) * up,
  ];
  context.lineWidth = 4;
  context.strokeStyle = "black";
  context.strokeRect(...box);
  context.lineWidth = 2;
  context.strokeStyle = "white";
  context.strokeRect(...box);
}

// Where a pointer is on a spectrogram, in cells.
export function cell(about: About, canvas: HTMLCanvasElement, event: PointerEvent): { frame: number; bin: number } {
  const box = canvas.getBoundingClientRect();
  const within = (share: number, count: number): number => Math.min(Math.max(Math.floor(share * count), 0), count - 1);
  return {
    frame: within((event.clientX - box.left) / box.width, about.frames),
    bin: within(1 - (event.clientY - box.top) / box.height, about.mels),
  };
}

// Makes a picture a place that arrow keys move in: `columns` by `rows`, rows upwards.
export function arrows(
  canvas: HTMLCanvasElement,
  size: () => { rows: number; columns: number },
  place: () => number,
  moved: (place: number) => void,
): void {
  canvas.tabIndex = 0;
  canvas.setAttribute("role", "application"); // arrow keys go to the page, not to the screen reader
  canvas.addEventListener("keydown", (event) => {
    const { rows, columns } = size();
    const column = place() % columns;
    const row = Math.floor(place() / columns);
    const [right, up] = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, 1], ArrowDown: [0, -1] }[event.key] ?? [];
    if (right === undefined || up === undefined) {
      return;
    }
    event.preventDefault();
    const clamp = (value: number, count: number): number => Math.min(Math.max(value, 0), count - 1);
    moved(clamp(row + up, rows) * columns + clamp(column + right, columns));
  });
}
