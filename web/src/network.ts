// The network as the page sees it: promises for what the worker computes.

import type { About } from "./about";
import type { Taught } from "./head";
import type { Answer, Asked, Heard, Loaded, Request } from "./messages";

interface Waiting {
  resolve(done: unknown): void;
  reject(error: Error): void;
  progress(bytes: number): void;
}

export class Network {
  private worker: Worker | null = null;
  private waiting = new Map<number, Waiting>();
  private last = 0;

  // `base` and `runtime` are the addresses of the folders with this page's files and ONNX Runtime's.
  constructor(
    private about: About,
    private base: string,
    private runtime: string,
  ) {}

  load(progress: (bytes: number) => void): Promise<Loaded> {
    if (location.protocol === "file:") {
      return Promise.reject(
        new Error("a page opened as a file may not load a network; run make serve and open the address it prints"),
      );
    }
    this.worker = new Worker(`${this.base}worker.js`, { type: "module" });
    this.worker.onmessage = (event: MessageEvent<Answer>) => this.receive(event.data);
    this.worker.onerror = () => this.fail(new Error("this browser cannot run the network"));
    const { base, runtime } = this;
    return this.ask<Loaded>({ kind: "load", base, runtime, digest: this.about.digest }, progress);
  }

  hear(samples: Float32Array): Promise<Heard> {
    return this.ask<Heard>({ kind: "hear", samples });
  }

  look(mel: Float32Array): Promise<Float32Array> {
    return this.ask<Float32Array>({ kind: "look", mel });
  }

  teach(features: Float32Array[], classes: number[], count: number): Promise<Taught> {
    return this.ask<Taught>({ kind: "teach", features, classes, count });
  }

  private ask<T>(request: Request, progress: (bytes: number) => void = () => undefined): Promise<T> {
    const { frames, mels, prefix } = this.about;
    const asked: Asked = { id: ++this.last, request, shape: { frames, mels, prefix } };
    return new Promise<T>((resolve, reject) => {
      if (!this.worker) {
        reject(new Error("the network is not loaded yet"));
        return;
      }
      this.waiting.set(asked.id, { resolve: (done) => resolve(done as T), reject, progress });
      this.worker.postMessage(asked);
    });
  }

  private receive(answer: Answer): void {
    const waiting = this.waiting.get(answer.id);
    if ("loaded" in answer) {
      waiting?.progress(answer.loaded);
      return;
    }
    this.waiting.delete(answer.id);
    if ("failed" in answer) {
      waiting?.reject(new Error(answer.failed));
    } else {
      waiting?.resolve(answer.done);
    }
  }

  private fail(error: Error): void {
    this.waiting.forEach((waiting) => waiting.reject(error));
    this.waiting.clear();
  }
}
