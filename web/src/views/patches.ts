// The log-mel spectrogram, cut into patches.

import { arrows, bitmap, cell, outline, picture } from "../canvas";
import { area, describe, grid } from "../grid";
import { button, choice, make, stage } from "../page";
import { play } from "../play";
import type { Store } from "../state";

const STRIDES = [10, 12, 14, 16];

export function patches(store: Store): HTMLElement {
  const { about } = store;
  const stride = (): [number, number] => [store.get().stride, store.get().stride];

  const map = picture("The log-mel spectrogram with its patches", 200, (context, width, height) => {
    const { sound, patch } = store.get();
    if (!sound) {
      return;
    }
    context.imageSmoothingEnabled = false;
    context.drawImage(bitmap(about, sound.mel), 0, 0, width, height);
    const { rows, columns } = grid(about, stride());
    context.fillStyle = "rgb(255 255 255 / 0.3)";
    for (let column = 0; column < columns; column++) {
      context.fillRect((column * stride()[1] * width) / about.frames, 0, 1, height);
    }
    for (let row = 0; row < rows; row++) {
      context.fillRect(0, height - (row * stride()[0] * height) / about.mels - 1, width, 1);
    }
    outline(context, about, width, height, area(about, patch, stride()));
  });
  const choose = (patch: number): void => {
    store.set({ patch });
    if (store.get().stride === about.stride[0]) {
      store.set({ query: about.prefix + patch });
    }
  };
  map.canvas.onpointerdown = (event) => {
    const { frame, bin } = cell(about, map.canvas, event);
    const { rows, columns } = grid(about, stride());
    const row = Math.min(Math.floor(bin / stride()[0]), rows - 1);
    choose(row * columns + Math.min(Math.floor(frame / stride()[1]), columns - 1));
  };
  arrows(map.canvas, () => grid(about, stride()), () => store.get().patch, choose);

  const strides = choice("Stride", STRIDES.map((value) => ({ value, text: String(value) })), (value) => {
    store.set({ stride: value, patch: 0 });
    store.did(`stride-${value}`);
  });
  const count = make("p", { className: "listen-says", attributes: { "aria-live": "polite" } });
  const said = make("p", { className: "listen-says", attributes: { "aria-live": "polite" } });
  store.watch(["sound", "stride", "patch"], (state) => {
    map.draw();
    strides.mark(state.stride);
    const { rows, columns } = grid(about, stride());
    const tokens = rows * columns + about.prefix;
    const own = grid(about);
    const ratio = (tokens / (own.rows * own.columns + about.prefix)) ** 2;
    count.textContent =
      `${rows} rows × ${columns} columns = ${rows * columns} patches, with ${about.prefix} class tokens ${tokens} tokens: ` +
      `${(tokens * tokens).toLocaleString("en")} pairs in each head` +
      (state.stride === about.stride[0]
        ? ". This is the grid of the network on this page."
        : `, ${ratio.toFixed(1)} times as many as at stride ${about.stride[0]}, which the network on this page has.`);
    const padding = state.sound && area(about, state.patch, stride()).frames[0] >= state.sound.frames;
    said.textContent = `Chosen: ${describe(about, state.patch, stride())}${padding ? ", padding" : ""}.`;
  });

  return stage(
    "patches",
    "2. From the spectrogram to tokens",
    `Time runs to the right, frequency upwards, and bright is loud. A patch covers ${about.patch[0]} mel bins and ` +
      `${about.patch[1]} frames; the stride is the distance from one to the next, so that below ${about.patch[0]} they ` +
      "overlap. What comes after the end of the sound is padding. Click on a patch, or move with the arrow keys.",
    strides.field,
    count,
    map.canvas,
    make(
      "div",
      { className: "listen-row" },
      button("Play this patch alone", () => {
        const { sound, patch } = store.get();
        if (sound) {
          void play(about, sound.samples, area(about, patch, stride()));
          store.did("patch");
        }
      }),
      said,
    ),
  );
}
