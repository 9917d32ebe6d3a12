// Actions: load the network, hear a stored sound, a file or the microphone. Each ends in a new state and a sentence.

import { frameCount, span } from "./about";
import { decode, Refusal, refusal, Stream } from "./audio";
import type { Network } from "./network";
import { loadInside, loadSound } from "./sounds";
import type { Sound, Store } from "./state";

const EVERY = 500; // milliseconds between two windows of the microphone

export class Ear {
  private stream: Stream | null = null;
  private latest = 0; // the sound that was asked for last: an answer to an earlier one is dropped

  constructor(
    private store: Store,
    private network: Network,
    private base: string,
  ) {}

  async loadNetwork(): Promise<void> {
    const { store } = this;
    store.set({ network: "loading", status: "Loading the network …" });
    try {
      const megabytes = (bytes: number): string => (bytes / 1e6).toFixed(1);
      const { fromCache } = await this.network.load((bytes) => {
        const whole = megabytes(store.about.networkBytes);
        store.set({ status: `Loading the network: ${megabytes(bytes)} of ${whole} MB …` });
      });
      const where = fromCache ? "It was still here from an earlier visit." : "";
      store.set({ network: "ready", status: `The network is ready. ${where}` });
    } catch (error) {
      store.set({ network: "absent", status: `The network could not be loaded: ${(error as Error).message}.` });
      return;
    }
    const { sound } = store.get();
    if (sound && !sound.exact) {
      await this.hear(sound.name, sound.samples);
    }
  }

  // A sound that comes with the book: its stored numbers at once, exact ones if the network is there.
  async choose(id: string): Promise<void> {
    const { store, base } = this;
    const { name } = store.about.sounds.find((sound) => sound.id === id) ?? { name: id };
    await this.stopStream();
    const mine = ++this.latest;
    try {
      const sound = await loadSound(store.about, base, id, name);
      if (mine !== this.latest) {
        return;
      }
      this.show(sound);
      if (store.get().network === "ready") {
        await this.hear(name, sound.samples);
        return;
      }
      const inside = await loadInside(store.about, base, id);
      if (mine === this.latest) {
        store.set({ sound: { ...sound, inside } });
      }
    } catch (error) {
      store.set({ status: `That did not work: ${(error as Error).message}.` });
    }
  }

  async open(file: File): Promise<void> {
    const { store } = this;
    await this.stopStream();
    store.set({ status: `Reading ${file.name} …` });
    try {
      const samples = await decode(store.about, file);
      const problem = refusal(store.about, samples);
      if (problem) {
        throw new Refusal(problem);
      }
      store.set({ whole: samples.length > span(store.about) ? { name: file.name, samples } : null, part: 0 });
      await this.hear(file.name, samples.subarray(0, span(store.about)));
      store.did("own");
    } catch (error) {
      const { message } = error as Error;
      store.set({ status: error instanceof Refusal ? message : `That did not work: ${message}.` });
    }
  }

  // Another part of a file that is longer than the network's input; parts overlap by half.
  async hearPart(part: number): Promise<void> {
    const { whole } = this.store.get();
    if (whole) {
      const start = part * Math.floor(span(this.store.about) / 2);
      this.store.set({ part });
      await this.hear(whole.name, whole.samples.subarray(start, start + span(this.store.about)));
    }
  }

  async startStream(): Promise<void> {
    const { store } = this;
    store.set({ streaming: true, whole: null, status: "Waiting for the microphone …" });
    try {
      this.stream = await Stream.open(store.about, this.base);
    } catch (error) {
      store.set({ streaming: false, status: (error as Error).message });
      return;
    }
    for (let stream = this.stream; this.stream === stream; ) {
      const wait = new Promise((resolve) => setTimeout(resolve, EVERY));
      const samples = stream.latest();
      const problem = refusal(store.about, samples);
      const what = problem ? "It is silent." : "What is recorded stays in this page.";
      store.set({ status: `Listening. ${what}` });
      if (!problem) {
        await this.hear("your microphone", samples);
        store.did("own");
      }
      await wait;
    }
  }

  async stopStream(): Promise<void> {
    const { stream } = this;
    this.stream = null;
    if (stream) {
      this.latest++; // what the network is still hearing comes too late
      await stream.close();
      this.store.set({ streaming: false, status: "Stopped. What was heard last stays on the page." });
    }
  }

  // The features of a file, and of what the microphone hears in the next seconds: examples to teach.
  async featuresOf(file: File): Promise<Float32Array> {
    return this.features(await decode(this.store.about, file));
  }

  async record(seconds: number): Promise<Float32Array> {
    await this.stopStream();
    const stream = await Stream.open(this.store.about, this.base);
    await new Promise((resolve) => setTimeout(resolve, 1000 * seconds));
    const samples = stream.latest();
    await stream.close();
    return this.features(samples);
  }

  private async features(samples: Float32Array): Promise<Float32Array> {
    const { about } = this.store;
    const problem = refusal(about, samples);
    if (problem) {
      throw new Refusal(problem);
    }
    return (await this.network.hear(samples.slice(0, span(about)))).features;
  }

  private async hear(name: string, samples: Float32Array): Promise<void> {
    const { about } = this.store;
    const mine = ++this.latest;
    const problem = refusal(about, samples);
    if (problem) {
      this.store.set({ status: problem });
      return;
    }
    try {
      const own = new Float32Array(samples);
      const heard = await this.network.hear(own);
      if (mine !== this.latest) {
        return;
      }
      this.show({
        name,
        samples: own,
        mel: heard.mel,
        frames: Math.min(about.frames, frameCount(about, own.length)),
        logits: heard.logits,
        rollout: heard.rollout,
        inside: { queries: heard.queries, keys: heard.keys },
        features: heard.features,
        exact: true,
      });
      if (!this.stream) {
        const [seconds, took] = [own.length / about.rate, heard.milliseconds / 1000];
        this.store.set({ status: `${seconds.toFixed(1)} s of ${name}, heard in ${took.toFixed(2)} s.` });
      }
    } catch (error) {
      this.store.set({ status: `That did not work: ${(error as Error).message}.` });
    }
  }

  private show(sound: Sound): void {
    this.store.set({ sound, painted: new Map(), answer: null });
  }
}
