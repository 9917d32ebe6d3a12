// Whom a token attends to: block by block, head by head.

import { attentionRow } from "../attention";
import { arrows, bitmap, cell, outline, overlay, patchBitmap, picture } from "../canvas";
import { area, describe, grid, tokenName } from "../grid";
import { button, choice, make, percent, slider, stage } from "../page";
import type { Store } from "../state";

const GAP = 4; // pixels between the small maps

export function attention(store: Store): HTMLElement {
  const { about } = store;
  const { rows, columns } = grid(about);
  let every: Float32Array[] = []; // weights of the query in each head of each block
  let brightestOfAll = 0;

  const weights = (block: number, head: number): Float32Array => every[block * about.heads + head];
  const patchesOf = (row: Float32Array): Float32Array => row.subarray(about.prefix);
  const brightest = (block: number, head: number): number =>
    store.get().sameScale ? brightestOfAll : Math.max(...patchesOf(weights(block, head)));

  const map = picture("The attention of the chosen token, drawn over the spectrogram", 200, (context, width, height) => {
    const { sound, query, block, head } = store.get();
    if (!sound) {
      return;
    }
    context.imageSmoothingEnabled = false;
    context.drawImage(bitmap(about, sound.mel, "grey"), 0, 0, width, height);
    if (every.length) {
      const most = brightest(block, head);
      overlay(context, about, width, height, columns, patchesOf(weights(block, head)).map((weight) => weight / most));
    }
    if (query >= about.prefix) {
      outline(context, about, width, height, area(about, query - about.prefix));
    }
  });
  const ask = (query: number): void => {
    store.set({ query });
    if (query >= about.prefix && store.get().stride === about.stride[0]) {
      store.set({ patch: query - about.prefix });
    }
  };
  map.canvas.onpointerdown = (event) => {
    const { frame, bin } = cell(about, map.canvas, event);
    const row = Math.min(Math.floor(bin / about.stride[0]), rows - 1);
    ask(about.prefix + row * columns + Math.min(Math.floor(frame / about.stride[1]), columns - 1));
  };
  arrows(
    map.canvas,
    () => ({ rows, columns }),
    () => Math.max(store.get().query - about.prefix, 0),
    (patch) => ask(about.prefix + patch),
  );

  const overview = picture("The attention of the chosen token in all heads of all blocks", 26 * about.layers, (context, width, height, colours) => {
    const { block, head } = store.get();
    if (!every.length) {
      return;
    }
    const wide = width / about.heads;
    const high = height / about.layers;
    context.imageSmoothingEnabled = false;
    for (let b = 0; b < about.layers; b++) {
      for (let h = 0; h < about.heads; h++) {
        const most = brightest(b, h);
        const place: [number, number, number, number] = [h * wide + GAP, b * high, wide - 2 * GAP, high - GAP];
        context.fillStyle = "rgb(20 20 30)";
        context.fillRect(...place);
        context.drawImage(patchBitmap(patchesOf(weights(b, h)).map((weight) => weight / most), columns), ...place);
        if (b === block && h === head) {
          context.strokeStyle = colours.accent;
          context.lineWidth = 3;
          context.strokeRect(...place);
        }
      }
    }
  });
  overview.canvas.onpointerdown = (event) => {
    const box = overview.canvas.getBoundingClientRect();
    store.set({
      block: Math.min(Math.floor(((event.clientY - box.top) / box.height) * about.layers), about.layers - 1),
      head: Math.min(Math.floor(((event.clientX - box.left) / box.width) * about.heads), about.heads - 1),
    });
  };

  const blocks = slider("Block", about.layers - 1, (block) => store.set({ block }));
  const heads = choice(
    "Head",
    Array.from({ length: about.heads }, (_, value) => ({ value, text: String(value + 1) })),
    (head) => store.set({ head }),
  );
  const scale = make("input", { type: "checkbox", onchange: () => store.set({ sameScale: scale.checked }) });
  const said = make("p", { className: "listen-says", attributes: { "aria-live": "polite" } });

  store.watch(["sound", "query"], ({ sound, query }) => {
    every = [];
    if (sound?.inside) {
      for (let block = 0; block < about.layers; block++) {
        for (let head = 0; head < about.heads; head++) {
          every.push(attentionRow(about, sound.inside, block, head, query).weights);
        }
      }
      brightestOfAll = Math.max(...every.map((row) => Math.max(...patchesOf(row))));
    }
  });
  store.watch(["sound", "query", "block", "head", "sameScale"], ({ sound, query, block, head, sameScale }) => {
    map.draw();
    overview.draw();
    blocks.input.value = String(block);
    blocks.input.setAttribute("aria-valuetext", `${block + 1} of ${about.layers}`);
    heads.mark(head);
    if (!sound?.inside) {
      said.textContent = sound ? "The attention of this sound is being loaded." : "";
      return;
    }
    const row = attentionRow(about, sound.inside, block, head, query);
    const own = patchesOf(row.weights);
    const most = own.indexOf(Math.max(...own));
    const toClass = row.weights.subarray(0, about.prefix).reduce((a, b) => a + b, 0);
    const padded = own.filter((_, patch) => area(about, patch).frames[0] >= sound.frames).reduce((a, b) => a + b, 0);
    said.textContent =
      `Block ${block + 1} of ${about.layers}, head ${head + 1} of ${about.heads}: ${tokenName(about, query)} attends most ` +
      `to the patch at ${describe(about, most)}, with the weight ${own[most].toFixed(4)} ` +
      `(q·k / √d = ${row.products[about.prefix + most].toFixed(2)}). ` +
      `${percent(toClass)} of its attention goes to the class tokens, ${percent(padded)} to padding. ` +
      `Full colour is a weight of ${brightest(block, head).toFixed(4)}, ` +
      `${sameScale ? "in every map" : "the largest of each map"}.` +
      (sound.exact ? "" : " The stored numbers are rounded: the loaded network gives exact ones.");
  });
  let seen = new Set<string>(); // heads in which one patch was looked at
  let of = -1;
  store.watch(["query", "block", "head"], ({ query, block, head }) => {
    seen = query === of ? seen : new Set();
    of = query;
    seen.add(`${block} ${head}`);
    if (query >= about.prefix && seen.size >= 4) {
      store.did("heads");
    }
    if (query < about.prefix && block === about.layers - 1) {
      store.did("class");
    }
  });

  return stage(
    "attention",
    "3. Whom a token attends to",
    `In each of ${about.layers} blocks, each of ${about.heads} heads compares the query of a token with the keys of all, ` +
      "and the softmax of q·k / √d says how much it takes from each. Click on a patch, or move with the arrow keys: the " +
      "colour shows whom this patch attends to.",
    make(
      "div",
      { className: "listen-row" },
      blocks.label,
      heads.field,
      ...Array.from({ length: about.prefix }, (_, token) =>
        button(`Ask ${tokenName(about, token)}`, () => ask(token)),
      ),
    ),
    map.canvas,
    said,
    make("label", {}, scale, " the same scale for all blocks and heads"),
    make(
      "details",
      { open: true },
      make("summary", { textContent: `All ${about.layers * about.heads} maps of this token: a row is a block, a column a head` }),
      overview.canvas,
    ),
  );
}
