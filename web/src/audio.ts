// Sounds of the reader: a file, or the microphone as a stream. Nothing of them leaves the page.

import type { About } from "./about";
import { span } from "./about";

const MOST_BYTES = 100e6;
const MOST_SECONDS = 600;
const SILENT = 0.001; // a peak below it, -60 dB, is silence

// A sentence about why a sound cannot be shown.
export class Refusal extends Error {}

// Why nothing can be said about these samples, or null.
export function refusal(about: About, samples: Float32Array): string | null {
  if (samples.length < about.frame) {
    return `This sound is shorter than one frame of ${(1000 * about.frame) / about.rate} ms.`;
  }
  let peak = 0;
  for (const value of samples) {
    if (!Number.isFinite(value)) {
      return "This sound has samples that are no numbers.";
    }
    peak = Math.max(peak, Math.abs(value));
  }
  return peak < SILENT ? "This sound is silent: there is nothing to name." : null;
}

interface Wav {
  format: number; // 1 for integers, 3 for floating point
  channels: number;
  rate: number;
  bits: number;
  data: DataView;
  isCut: boolean; // there are fewer samples than the header announces
}

// The parts of a WAV file, or null if it is another file.
function wav(content: ArrayBuffer): Wav | null {
  const view = new DataView(content);
  const word = (at: number): string => String.fromCharCode(...new Uint8Array(content, at, 4));
  if (content.byteLength < 12 || word(0) !== "RIFF" || word(8) !== "WAVE") {
    return null;
  }
  const found: Wav = { format: 0, channels: 0, rate: 0, bits: 0, data: new DataView(content, 0, 0), isCut: true };
  for (let at = 12; at + 8 <= content.byteLength; ) {
    const size = view.getUint32(at + 4, true);
    const there = content.byteLength - at - 8;
    if (word(at) === "fmt " && there >= 16) {
      found.format = view.getUint16(at + 8, true);
      found.channels = view.getUint16(at + 10, true);
      found.rate = view.getUint32(at + 12, true);
      found.bits = view.getUint16(at + 22, true);
    } else if (word(at) === "data") {
      found.isCut = size > there && size !== 0xffffffff; // all ones: a recorder that was still running
      found.data = new DataView(content, at + 8, Math.min(size, there));
      break;
    }
    at += 8 + size + (size % 2);
  }
  return found;
}

// The samples of a WAV file in one of the two usual formats, as astlib.audio.load reads them; null for another format.
// Chromium's decoder divides positive 16-bit samples by 32767, which adds faint overtones.
function exact({ format, channels, bits, data }: Wav): Float32Array | null {
  const isFloat = format === 3 && bits === 32;
  if (!channels || !(isFloat || (format === 1 && bits === 16))) {
    return null;
  }
  const wide = bits / 8;
  const mono = new Float32Array(Math.floor(data.byteLength / (channels * wide)));
  for (let i = 0; i < mono.length; i++) {
    for (let channel = 0; channel < channels; channel++) {
      const at = (i * channels + channel) * wide;
      mono[i] += (isFloat ? data.getFloat32(at, true) : data.getInt16(at, true) / 32768) / channels;
    }
  }
  return mono;
}

// The duration that the file states, or null: then only decoding can tell.
function statedSeconds(file: File): Promise<number | null> {
  return new Promise((resolve) => {
    const probe = new Audio();
    const address = URL.createObjectURL(file);
    const end = (seconds: number | null): void => {
      URL.revokeObjectURL(address);
      resolve(seconds);
    };
    probe.onloadedmetadata = () => end(Number.isFinite(probe.duration) ? probe.duration : null);
    probe.onerror = () => end(null);
    probe.src = address;
  });
}

// A file as one channel at the network's rate. Channels are averaged, as astlib.audio.load does.
export async function decode(about: About, file: File): Promise<Float32Array> {
  if (file.size > MOST_BYTES) {
    throw new Refusal(
      `This file has ${Math.round(file.size / 1e6)} MB, and the page reads ${MOST_BYTES / 1e6} MB at most: cut out the part that you mean.`,
    );
  }
  const seconds = await statedSeconds(file);
  if (seconds !== null && seconds > MOST_SECONDS) {
    throw new Refusal(
      `This sound lasts ${Math.round(seconds / 60)} minutes, and the page takes ${MOST_SECONDS / 60} at most: for long ` +
        "recordings use the command astlib predict, as chapter 17 shows.",
    );
  }
  const content = await file.arrayBuffer();
  const parts = wav(content);
  if (parts?.isCut) {
    throw new Refusal("This WAV file is cut off: it has fewer samples than its header says.");
  }
  const read = parts?.rate === about.rate ? exact(parts) : null;
  if (read) {
    return read;
  }
  let audio: AudioBuffer;
  try {
    audio = await new OfflineAudioContext(1, 1, about.rate).decodeAudioData(content);
  } catch {
    throw new Refusal("This file is no sound that this browser can read.");
  }
  const mono = new Float32Array(audio.length);
  for (let channel = 0; channel < audio.numberOfChannels; channel++) {
    const values = audio.getChannelData(channel);
    for (let i = 0; i < mono.length; i++) {
      mono[i] += values[i] / audio.numberOfChannels;
    }
  }
  return mono;
}

// The last samples of a microphone, as many as the network reads.
export class Stream {
  private samples: Float32Array;
  private count = 0; // received so far

  private constructor(
    about: About,
    private media: MediaStream,
    private context: AudioContext,
  ) {
    this.samples = new Float32Array(span(about));
  }

  static async open(about: About, base: string): Promise<Stream> {
    if (!navigator.mediaDevices) {
      throw new Refusal("This page gets no microphone: browsers give one only to pages from https or from this machine.");
    }
    const plain = { echoCancellation: false, noiseSuppression: false, autoGainControl: false };
    const media = await navigator.mediaDevices.getUserMedia({ audio: plain }).catch((error: Error) => {
      throw new Refusal(`The microphone cannot be used: ${error.message}.`);
    });
    const context = new AudioContext({ sampleRate: about.rate });
    const stream = new Stream(about, media, context);
    try {
      await context.audioWorklet.addModule(`${base}worklet.js`);
      const tap = new AudioWorkletNode(context, "listen-tap", { numberOfOutputs: 0 });
      tap.port.onmessage = (event: MessageEvent<Float32Array>) => stream.receive(event.data);
      context.createMediaStreamSource(media).connect(tap);
    } catch (error) {
      await stream.close();
      throw new Refusal(`This browser cannot read its microphone at ${about.rate} Hz: ${(error as Error).message}.`);
    }
    return stream;
  }

  private receive(values: Float32Array): void {
    this.samples.copyWithin(0, values.length);
    this.samples.set(values, this.samples.length - values.length);
    this.count += values.length;
  }

  // What was heard last, fewer samples than the network reads in the first seconds.
  latest(): Float32Array {
    return this.samples.slice(Math.max(this.samples.length - this.count, 0));
  }

  async close(): Promise<void> {
    this.media.getTracks().forEach((track) => track.stop());
    await this.context.close();
  }
}
