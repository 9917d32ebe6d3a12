// Runs in the thread of the audio: gathers samples and hands them to the page.

const PIECE = 1600; // samples, 0.1 s at 16 kHz

// TypeScript's libraries do not describe the scope of a worklet.
declare const AudioWorkletProcessor: new () => { port: MessagePort };
declare function registerProcessor(name: string, processor: unknown): void;

class Tap extends AudioWorkletProcessor {
  private piece = new Float32Array(PIECE);
  private filled = 0;

  process(inputs: Float32Array[][]): boolean {
    for (const value of inputs[0]?.[0] ?? []) {
      this.piece[this.filled++] = value;
      if (this.filled === PIECE) {
        this.port.postMessage(this.piece.slice());
        this.filled = 0;
      }
    }
    return true;
  }
}

registerProcessor("listen-tap", Tap);
