// What the page and its worker say to each other.

import type { Taught } from "./head";

export type Request =
  | { kind: "load"; base: string; runtime: string; digest: string }
  | { kind: "hear"; samples: Float32Array } // the whole way, from the waveform
  | { kind: "look"; mel: Float32Array } // from a log-mel spectrogram that was changed
  | { kind: "teach"; features: Float32Array[]; classes: number[]; count: number };

export interface Heard {
  mel: Float32Array;
  logits: Float32Array;
  rollout: Float32Array; // of the class tokens, one number per patch
  queries: Float32Array;
  keys: Float32Array;
  features: Float32Array;
  milliseconds: number;
}

export interface Loaded {
  fromCache: boolean;
}

export type Answer =
  | { id: number; done: Heard | Loaded | Taught | Float32Array }
  | { id: number; failed: string }
  | { id: number; loaded: number }; // bytes so far

export interface Asked {
  id: number;
  request: Request;
  shape: { frames: number; mels: number; prefix: number };
}
