// Plays a sound, or the part of it that a patch covers.

import type { About } from "./about";
import type { Area } from "./grid";

let context: AudioContext | null = null;
let playing: AudioBufferSourceNode | null = null;

export function stop(): void {
  playing?.stop();
  playing = null;
}

export async function play(about: About, samples: Float32Array, part?: Area): Promise<void> {
  stop();
  context ??= new AudioContext();
  await context.resume();
  const buffer = context.createBuffer(1, samples.length, about.rate);
  buffer.copyToChannel(new Float32Array(samples), 0);
  playing = new AudioBufferSourceNode(context, { buffer });
  if (!part) {
    playing.connect(context.destination);
    playing.start();
    return;
  }
  // Two filters of second order for each border: what lies an octave outside is 24 dB weaker.
  let node: AudioNode = playing;
  for (const [type, frequency] of [["highpass", part.hz[0]], ["lowpass", part.hz[1]]] as const) {
    for (let i = 0; i < 2; i++) {
      node = node.connect(new BiquadFilterNode(context, { type, frequency, Q: Math.SQRT1_2 }));
    }
  }
  node.connect(context.destination);
  playing.start(0, part.seconds[0], part.seconds[1] - part.seconds[0]);
}
