// The patches of a spectrogram: rows go up in frequency, columns go on in time; astlib.token_grid in TypeScript.

import type { About } from "./about";

export interface Grid {
  rows: number;
  columns: number;
}

export function grid(about: About, stride: [number, number] = about.stride): Grid {
  return {
    rows: Math.floor((about.mels - about.patch[0]) / stride[0]) + 1,
    columns: Math.floor((about.frames - about.patch[1]) / stride[1]) + 1,
  };
}

export interface Area {
  mels: [number, number]; // first and one past the last
  frames: [number, number];
  hz: [number, number];
  seconds: [number, number];
}

// What a patch covers; patches are counted row by row, time changing fastest.
export function area(about: About, patch: number, stride: [number, number] = about.stride): Area {
  const { columns } = grid(about, stride);
  const low = Math.floor(patch / columns) * stride[0];
  const first = (patch % columns) * stride[1];
  const high = low + about.patch[0];
  const end = first + about.patch[1];
  return {
    mels: [low, high],
    frames: [first, end],
    hz: [about.hz[low], about.hz[high + 1]],
    seconds: [(first * about.hop) / about.rate, ((end - 1) * about.hop + about.frame) / about.rate],
  };
}

export function describe(about: About, patch: number, stride: [number, number] = about.stride): string {
  const { hz, seconds } = area(about, patch, stride);
  return `${seconds[0].toFixed(2)} to ${seconds[1].toFixed(2)} s, ${Math.round(hz[0])} to ${Math.round(hz[1])} Hz`;
}

export function tokenName(about: About, token: number): string {
  if (token >= about.prefix) {
    return `the patch at ${describe(about, token - about.prefix)}`;
  }
  return token === 0 ? "the class token" : "the distillation token";
}
