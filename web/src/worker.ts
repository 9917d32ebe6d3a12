// Runs the network beside the page, which is never blocked by it.

import * as ort from "onnxruntime-web/wasm";

import { teach } from "./head";
import type { Answer, Asked, Heard, Loaded, Request } from "./messages";

const page = self as unknown as {
  postMessage(answer: Answer, transfer?: Transferable[]): void;
  onmessage: ((event: MessageEvent<Asked>) => void) | null;
  crossOriginIsolated: boolean;
};

const CACHE = "listen-with-it";
const MOST_THREADS = 4;

let frontEnd: ort.InferenceSession;
let inside: ort.InferenceSession;

// A file of the book, from the browser's cache if it is there. Files of another version are removed.
async function fetched(address: string, progress: (bytes: number) => void): Promise<[Uint8Array, boolean]> {
  const cache = "caches" in self ? await caches.open(CACHE) : null; // absent where the page is not secure
  const cached = await cache?.match(address);
  if (cached) {
    return [new Uint8Array(await cached.arrayBuffer()), true];
  }
  const answer = await fetch(address);
  if (!answer.ok || !answer.body) {
    throw new Error(`${address.split("/").pop()} is not in this copy of the book`);
  }
  const pieces: Uint8Array[] = [];
  let length = 0;
  for (const reader = answer.body.getReader(); ; ) {
    const { done, value } = await reader.read();
    if (done) {
      break;
    }
    pieces.push(value);
    progress((length += value.length));
  }
  const whole = new Uint8Array(length);
  let place = 0;
  for (const piece of pieces) {
    whole.set(piece, place);
    place += piece.length;
  }
  for (const old of (await cache?.keys()) ?? []) {
    if (old.url.split("?")[0] === address.split("?")[0]) {
      await cache?.delete(old);
    }
  }
  await cache?.put(address, new Response(whole)).catch((error: Error) => {
    console.info(`The network is not kept for the next visit: ${error.message}`); // the disk is full
  });
  return [whole, false];
}

async function load(request: Request & { kind: "load" }, progress: (bytes: number) => void): Promise<Loaded> {
  ort.env.wasm.wasmPaths = request.runtime;
  ort.env.wasm.numThreads = page.crossOriginIsolated ? Math.min(MOST_THREADS, navigator.hardwareConcurrency) : 1;
  const [first] = await fetched(`${request.base}front_end.onnx?${request.digest}`, () => undefined);
  const [second, fromCache] = await fetched(`${request.base}inside.onnx?${request.digest}`, progress);
  frontEnd = await ort.InferenceSession.create(first);
  inside = await ort.InferenceSession.create(second);
  return { fromCache };
}

async function hear(samples: Float32Array, shape: Asked["shape"]): Promise<Heard> {
  const start = performance.now();
  const waveform = new ort.Tensor("float32", samples, [1, samples.length]);
  const { mel } = await frontEnd.run({ waveform });
  const found = await inside.run({ mel }, ["logits", "rollout", "queries", "keys", "features"]);
  const rollout = found.rollout.data as Float32Array; // (1, tokens, tokens)
  const tokens = found.rollout.dims[1];
  const ofClass = new Float32Array(tokens - shape.prefix);
  for (let token = 0; token < shape.prefix; token++) {
    ofClass.forEach((_, i) => {
      ofClass[i] += rollout[token * tokens + shape.prefix + i] / shape.prefix;
    });
  }
  return {
    mel: mel.data as Float32Array,
    logits: found.logits.data as Float32Array,
    rollout: ofClass,
    queries: found.queries.data as Float32Array,
    keys: found.keys.data as Float32Array,
    features: found.features.data as Float32Array,
    milliseconds: performance.now() - start,
  };
}

async function look(values: Float32Array, shape: Asked["shape"]): Promise<Float32Array> {
  const mel = new ort.Tensor("float32", values, [1, shape.frames, shape.mels]);
  return (await inside.run({ mel }, ["logits"])).logits.data as Float32Array;
}

async function answer({ id, request, shape }: Asked): Promise<void> {
  try {
    if (request.kind === "load") {
      const done = await load(request, (loaded) => page.postMessage({ id, loaded }));
      page.postMessage({ id, done });
    } else if (request.kind === "hear") {
      const done = await hear(request.samples, shape);
      page.postMessage({ id, done }, [done.mel.buffer, done.queries.buffer, done.keys.buffer]);
    } else if (request.kind === "teach") {
      page.postMessage({ id, done: teach(request.features, request.classes, request.count) });
    } else {
      page.postMessage({ id, done: await look(request.mel, shape) });
    }
  } catch (error) {
    page.postMessage({ id, failed: error instanceof Error ? error.message : String(error) });
  }
}

// One after the other: a session runs one input at a time.
let before: Promise<void> = Promise.resolve();
page.onmessage = (event) => {
  before = before.then(() => answer(event.data));
};
