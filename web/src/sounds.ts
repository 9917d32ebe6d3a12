// The sounds that come with the book: ci/web.py writes them as scripts, which also a page opened as a file may load.

import type { About } from "./about";
import { frameCount } from "./about";
import type { Inside } from "./attention";
import type { Sound } from "./state";

interface Rounded {
  values: string; // int8, (layers, heads, tokens, dim / heads)
  scales: string; // float32, (layers, heads, dim / heads)
}

interface StoredSound {
  waveform: string; // int16
  mel: string; // uint8 from low to high
  low: number;
  high: number;
  logits: number[];
  rollout: number[];
}

interface StoredAttention {
  queries: Rounded;
  keys: Rounded;
}

declare global {
  var listenStored: Record<string, unknown>;
}

function bytes(base64: string): ArrayBuffer {
  const text = atob(base64);
  const found = new Uint8Array(text.length);
  for (let i = 0; i < text.length; i++) {
    found[i] = text.charCodeAt(i);
  }
  return found.buffer;
}

async function stored<T>(base: string, name: string): Promise<T> {
  globalThis.listenStored ??= {};
  if (!(name in globalThis.listenStored)) {
    await new Promise<void>((resolve, reject) => {
      const tag = document.createElement("script");
      tag.src = `${base}${name}.js`;
      tag.onload = () => resolve();
      tag.onerror = () => reject(new Error(`${name}.js is not in this copy of the book`));
      document.head.append(tag);
    });
  }
  return globalThis.listenStored[name] as T;
}

export async function loadSound(about: About, base: string, id: string, name: string): Promise<Sound> {
  const found = await stored<StoredSound>(base, `${id}.sound`);
  const samples = Float32Array.from(new Int16Array(bytes(found.waveform)), (value) => value / 32768);
  const step = (found.high - found.low) / 255;
  return {
    name,
    samples,
    mel: Float32Array.from(new Uint8Array(bytes(found.mel)), (value) => found.low + value * step),
    frames: Math.min(about.frames, frameCount(about, samples.length)),
    logits: Float32Array.from(found.logits),
    rollout: Float32Array.from(found.rollout),
    inside: null,
    features: null,
    exact: false,
  };
}

export async function loadInside(about: About, base: string, id: string): Promise<Inside> {
  const found = await stored<StoredAttention>(base, `${id}.attention`);
  return { queries: widened(about, found.queries), keys: widened(about, found.keys) };
}

function widened(about: About, rounded: Rounded): Float32Array {
  const values = new Int8Array(bytes(rounded.values));
  const scales = new Float32Array(bytes(rounded.scales));
  const dim = about.dim / about.heads;
  const each = values.length / (about.layers * about.heads); // numbers of one head in one block
  return Float32Array.from(values, (value, i) => value * scales[Math.floor(i / each) * dim + (i % dim)]);
}
