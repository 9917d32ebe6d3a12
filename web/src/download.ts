// A folder for `astlib predict --model`: the network with a head that was trained in the page.

import { zipSync } from "fflate";

import type { About } from "./about";
import type { Head } from "./head";

interface Entry {
  dtype: string;
  shape: number[];
  data_offsets: [number, number];
}

// A safetensors file with another head: 8 bytes with the length of a JSON header, the header, the numbers.
export function withHead(file: ArrayBuffer, head: Head, dim: number): Uint8Array {
  const length = Number(new DataView(file).getBigUint64(0, true));
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(file, 8, length))) as Record<string, Entry>;
  const parts: Uint8Array[] = [];
  const entries: Record<string, Entry> = {};
  let place = 0;
  const add = (name: string, dtype: string, shape: number[], bytes: Uint8Array): void => {
    entries[name] = { dtype, shape, data_offsets: [place, (place += bytes.length)] };
    parts.push(bytes);
  };
  const numbers = (name: string, shape: number[], values: number[]): void =>
    add(name, "F32", shape, new Uint8Array(Float32Array.from(values).buffer));
  const classes = head.bias.length;
  numbers("mlp_head.0.weight", [dim], new Array<number>(dim).fill(1)); // a norm without parameters of its own
  numbers("mlp_head.0.bias", [dim], new Array<number>(dim).fill(0));
  numbers("mlp_head.1.weight", [classes, dim], head.weights.flatMap((row) => Array.from(row)));
  numbers("mlp_head.1.bias", [classes], Array.from(head.bias));
  for (const [name, { dtype, shape, data_offsets }] of Object.entries(header)) {
    if (name !== "__metadata__" && !name.startsWith("mlp_head.")) {
      add(name, dtype, shape, new Uint8Array(file, 8 + length + data_offsets[0], data_offsets[1] - data_offsets[0]));
    }
  }
  const text = JSON.stringify({ __metadata__: { format: "pt" }, ...entries });
  const told = new TextEncoder().encode(text.padEnd(Math.ceil(text.length / 8) * 8)); // names are plain ASCII
  const whole = new Uint8Array(8 + told.length + place);
  new DataView(whole.buffer).setBigUint64(0, BigInt(told.length), true);
  whole.set(told, 8);
  let at = 8 + told.length;
  for (const part of parts) {
    whole.set(part, at);
    at += part.length;
  }
  return whole;
}

const README = `A network taught in the book's page "Listen with it". Unpack this folder, then:

    astlib predict sound.wav --model my-sounds

The weights are those of the model that comes with astlib, with a new head; its terms hold for them too.
`;

// `weights` is the address of the model's safetensors file.
export async function folder(about: About, weights: string, head: Head, labels: string[]): Promise<Blob> {
  const answer = await fetch(weights);
  if (!answer.ok) {
    throw new Error("the network's weights are not in this copy of the book");
  }
  const config = { ...about.config, label_dim: labels.length, labels, multi_label: false };
  const text = (content: string): Uint8Array => new TextEncoder().encode(content);
  const zip = zipSync(
    {
      "my-sounds": {
        "config.json": text(JSON.stringify(config, null, 2)),
        "model.safetensors": withHead(await answer.arrayBuffer(), head, about.dim),
        "README.txt": text(README),
      },
    },
    { level: 0 }, // weights do not get smaller
  );
  return new Blob([zip as Uint8Array<ArrayBuffer>], { type: "application/zip" });
}
