// The whole state of the page, in one place. A view reads it, and calls `set` to change it.

import type { About } from "./about";
import type { Inside } from "./attention";
import type { Taught } from "./head";

export interface Sound {
  name: string;
  samples: Float32Array; // at 16 kHz, what the network reads of it
  mel: Float32Array; // (frames, mels), not normalised, as long as the network's input
  frames: number; // those that are sound; what follows is padding
  logits: Float32Array;
  rollout: Float32Array; // one number per patch
  inside: Inside | null; // null while it is being loaded
  features: Float32Array | null; // one vector of the whole sound; null for a stored one
  exact: boolean; // false for a stored sound, whose numbers are rounded
}

export type Brush = "silence" | "mean" | "zero" | "loud" | "restore";

export interface State {
  sound: Sound | null;
  whole: { name: string; samples: Float32Array } | null; // a file that is longer than the network's input
  part: number; // which part of it `sound` is
  network: "absent" | "loading" | "ready";
  status: string; // one sentence about what is going on
  streaming: boolean;
  frame: number;
  stride: number;
  patch: number; // the chosen one, at this stride
  query: number; // token whose attention is shown
  block: number;
  head: number;
  sameScale: boolean;
  brush: Brush;
  painted: ReadonlyMap<number, Brush>; // tile of 16 x 16 cells, row by row -> what it was painted with
  answer: { painted: ReadonlyMap<number, Brush>; logits: Float32Array } | null; // the network's, to the painted sound
  examples: readonly { features: Float32Array; label: number }[]; // of the reader's own classes
  taught: (Taught & { labels: number[] }) | null; // the head trained on them; its class k is that of label labels[k]
  acts: ReadonlySet<string>; // what the reader has done, for the guided steps
}

type Listener = (state: State, changed: ReadonlySet<keyof State>) => void;

export class Store {
  private listeners: Listener[] = [];

  constructor(
    readonly about: About,
    private state: State,
  ) {}

  get(): State {
    return this.state;
  }

  set(changes: Partial<State>): void {
    const keys = Object.keys(changes) as (keyof State)[];
    const changed = new Set(keys.filter((key) => this.state[key] !== changes[key]));
    if (changed.size) {
      this.state = { ...this.state, ...changes };
      this.listeners.forEach((listener) => listener(this.state, changed));
    }
  }

  // Note that the reader did something.
  did(act: string): void {
    if (!this.state.acts.has(act)) {
      this.set({ acts: new Set([...this.state.acts, act]) });
    }
  }

  // Calls `listener` now, and whenever one of these parts of the state changes.
  watch(keys: (keyof State)[], listener: (state: State) => void): void {
    this.listeners.push((state, changed) => {
      if (keys.some((key) => changed.has(key))) {
        listener(state);
      }
    });
    listener(this.state);
  }
}

export function initial(): State {
  return {
    sound: null,
    whole: null,
    part: 0,
    network: "absent",
    status: "",
    streaming: false,
    frame: 60,
    stride: 16,
    patch: 70, // somewhere in the lower middle
    query: 0,
    block: 0,
    head: 0,
    sameScale: false,
    brush: "silence",
    painted: new Map(),
    answer: null,
    examples: [],
    taught: null,
    acts: new Set(),
  };
}
