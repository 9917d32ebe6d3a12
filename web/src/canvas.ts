// Pictures: a canvas that is as sharp as the screen, redrawn when its size or the page's theme changes.

import type { About } from "./about";
import { make } from "./page";

export interface Picture {
  canvas: HTMLCanvasElement;
  draw(): void;
}

export interface Colours {
  text: string;
  muted: string;
  line: string;
  ground: string;
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
    const colour = (name: string): string => style.getPropertyValue(name).trim();
    paint(context, width, height, {
      text: style.color,
      muted: colour("--listen-muted"),
      line: colour("--listen-line"),
      ground: colour("--listen-ground"),
      accent: colour("--listen-accent"),
    });
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

export function heat(share: number): [number, number, number] {
  const place = Math.min(Math.max(share, 0), 1) * (SCALE.length - 1);
  const low = Math.min(Math.floor(place), SCALE.length - 2);
  const mix = place - low;
  return [0, 1, 2].map((i) => Math.round(SCALE[low][i] * (1 - mix) + SCALE[low + 1][i] * mix)) as [number, number, number];
}

export function range(values: Float32Array): [number, number] {
  let low = Infinity;
  let high = -Infinity;
  for (const value of values) {
    low = Math.min(low, value);
    high = Math.max(high, value);
  }
  return [low, high];
}

// A log-mel spectrogram as a bitmap, one pixel per cell, low frequencies below. `grey` leaves colours to what is drawn
// on top.
export function bitmap(about: About, mel: Float32Array, grey = false): HTMLCanvasElement {
  const canvas = make("canvas", { width: about.frames, height: about.mels });
  const image = new ImageData(about.frames, about.mels);
  const [low, high] = range(mel);
  for (let frame = 0; frame < about.frames; frame++) {
    for (let bin = 0; bin < about.mels; bin++) {
      const share = (mel[frame * about.mels + bin] - low) / (high - low || 1);
      const [r, g, b] = grey ? [90 * share, 90 * share, 90 * share] : heat(share);
      image.data.set([r, g, b, 255], 4 * ((about.mels - 1 - bin) * about.frames + frame));
    }
  }
  canvas.getContext("2d")?.putImageData(image, 0, 0);
  return canvas;
}

// Draws one colour per patch of the network's own grid; `share` is 0 for nothing and 1 for full colour.
export function overlay(
  context: CanvasRenderingContext2D,
  about: About,
  width: number,
  height: number,
  columns: number,
  shares: ArrayLike<number>,
): void {
  const across = width / about.frames;
  const up = height / about.mels;
  for (let patch = 0; patch < shares.length; patch++) {
    const left = (patch % columns) * about.stride[1];
    const low = Math.floor(patch / columns) * about.stride[0];
    context.fillStyle = `rgb(255 170 20 / ${Math.min(shares[patch], 1)})`;
    context.fillRect(
      left * across,
      height - (low + about.stride[0]) * up,
      about.stride[1] * across + 0.5,
      about.stride[0] * up + 0.5,
    );
  }
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
