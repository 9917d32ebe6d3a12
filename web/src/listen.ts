// The page "Listen with it": the way of a sound through an Audio Spectrogram Transformer.

import type { About } from "./about";
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
import { waveform } from "./views/waveform";

const ACTS = "listen-acts"; // of the browser's storage

declare global {
  var listen: Store; // for the console of a curious reader, and for tests
}

const base = new URL(".", (document.currentScript as HTMLScriptElement).src).href;

function start(root: HTMLElement): void {
  const about = JSON.parse(root.dataset.about ?? "") as About;
  const runtime = new URL(root.dataset.runtime ?? "", document.baseURI).href;
  const store = new Store(about, { ...initial(), stride: about.stride[0], query: about.prefix });
  const network = new Network(about, base, runtime);
  const ear = new Ear(store, network, base);
  globalThis.listen = store;

  const done = remembered(ACTS);
  store.set({ acts: new Set(done ? done.split(",") : []) });
  store.watch(["acts"], ({ acts }) => remember(ACTS, [...acts].join(",")));

  const views = [source(store, ear), waveform(store), patches(store), attention(store), rollout(store), scores(store)];
  root.replaceChildren(steps(store), make("div", { className: "listen-way" }, ...views, paint(store, network)));
  const first = about.sounds[0];
  root.querySelector<HTMLInputElement>(`input[value="${first.id}"]`)?.click();
}

document.querySelectorAll<HTMLElement>(".listen").forEach(start);
