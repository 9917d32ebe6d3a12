// What the book tells the page about its network: ci/web.py writes it into the page.

export interface Decision {
  temperature: number;
  none_score: "" | "max_logit" | "max_softmax" | "energy" | "background";
  none_threshold: number | null;
  none_weights: number[] | null;
}

export interface About {
  digest: string; // of the network and of everything that was computed with it
  labels: string[];
  multiLabel: boolean;
  decision: Decision;
  frames: number; // of the network's input
  mels: number;
  rate: number; // Hz
  frame: number; // samples of one frame
  hop: number; // samples from one frame to the next
  hz: number[]; // corners of the mel triangles: triangle m reaches from hz[m] to hz[m + 2]
  patch: [number, number]; // mel bins and frames of a patch
  stride: [number, number];
  prefix: number; // class tokens in front of the patches
  layers: number;
  heads: number;
  dim: number;
  fills: { zero: number; silence: number; mean: number };
  seconds: number; // of the stored sounds
  sounds: { id: string; name: string }[];
  networkBytes: number;
  config: Record<string, unknown>; // the network's config.json
}

// Samples that the network reads at most.
export function span(about: About): number {
  return (about.frames - 1) * about.hop + about.frame;
}

// Frames that fit completely into a number of samples, as astlib.LogMel counts them.
export function frameCount(about: About, samples: number): number {
  return Math.max(0, 1 + Math.floor((samples - about.frame) / about.hop));
}
