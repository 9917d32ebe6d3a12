// The page "Listen with it": the way of a sound through an Audio Spectrogram Transformer.

import type { About } from "./about";
import type { Inside } from "./attention";
import { attentionRow } from "./attention";
import { Ear } from "./hear";
import { Network } from "./network";
import { make, remember, remembered } from "./page";
import { initial, Store } from "./state";
import { attention } from "./views/attention";
import { paint } from "./views/paint";
import { patches } from "./views/patches";
import { rollout } from "./views/rollout";
import { scores } from "./views/scores";
import { source } from "./views/source";
import { steps } from "./views/steps";
import { teach } from "./views/teach";
import { waveform } from "./views/waveform";

const ACTS = "listen-acts"; // of the browser's storage

declare global {
  // For the console of a curious reader, and for tests.
  var listen: Store & { attention(inside: Inside, block: number, head: number, query: number): Float32Array };
}

const base = new URL(".", (document.currentScript as HTMLScriptElement).src).href;

function start(root: HTMLElement): void {
  const about = JSON.parse(root.dataset.about ?? "") as About;
  const runtime = new URL(root.dataset.runtime ?? "", document.baseURI).href;
  const store = new Store(about, { ...initial(), stride: about.stride[0] });
  store.set({ query: about.prefix + store.get().patch });
  const network = new Network(about, base, runtime);
  const ear = new Ear(store, network, base);
  globalThis.listen = Object.assign(store, {
    attention: (inside: Inside, block: number, head: number, query: number) =>
      attentionRow(about, inside, block, head, query).weights,
  });

  const done = remembered(ACTS);
  store.set({ acts: new Set(done ? done.split(",") : []) });
  store.watch(["acts"], ({ acts }) => remember(ACTS, [...acts].join(",")));

  const views = [source(store, ear), waveform(store), patches(store), attention(store), rollout(store), scores(store)];
  root.replaceChildren(steps(store), make("div", { className: "listen-way" }, ...views, paint(store, network), teach(store, ear, network, base)));
  // A microphone gives new numbers twice a second: nobody wants them all read aloud.
  store.watch(["streaming"], ({ streaming }) => {
    root.querySelectorAll("[aria-live]").forEach((part) => part.setAttribute("aria-live", streaming ? "off" : "polite"));
  });
  const first = about.sounds[0];
  root.querySelector<HTMLInputElement>(`input[value="${first.id}"]`)?.click();
}

document.querySelectorAll<HTMLElement>(".listen").forEach(start);
