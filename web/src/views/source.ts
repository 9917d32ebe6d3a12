// Which sound: one of the book's, a file, or the microphone; and the network, which is loaded on request.

import { span } from "../about";
import { bitmap, picture } from "../canvas";
import type { Ear } from "../hear";
import { button, choice, make, slider } from "../page";
import type { Store } from "../state";
import { verdict } from "./scores";

export function source(store: Store, ear: Ear): HTMLElement {
  const { about } = store;
  const sounds = choice(
    "A sound made in code",
    about.sounds.map(({ id, name }) => ({ value: id, text: name })),
    (id) => {
      store.set({ whole: null });
      void ear.choose(id);
    },
  );
  const load = button(`Load the network (${Math.round(about.networkBytes / 1e6 + 14)} MB)`, () => void ear.loadNetwork());
  const file = make("input", { type: "file", accept: "audio/*" });
  file.onclick = () => {
    file.value = ""; // the same file may be chosen again
  };
  file.onchange = () => {
    if (file.files?.length) {
      sounds.mark("");
      void ear.open(file.files[0]);
    }
  };
  const microphone = button("Listen to the microphone", () => {
    if (store.get().streaming) {
      void ear.stopStream();
    } else {
      sounds.mark("");
      void ear.startStream();
    }
  });
  const part = slider("Part of the sound", 0, (value) => void ear.hearPart(value));
  const status = make("p", { className: "listen-status", attributes: { role: "status" } });
  const glance = picture("The spectrogram of the sound", 110, (context, width, height) => {
    const { sound } = store.get();
    if (sound) {
      context.drawImage(bitmap(about, sound.mel), 0, 0, width, height);
    }
  });
  const answer = make("p", { className: "listen-answer" });
  store.watch(["sound"], ({ sound }) => {
    glance.draw();
    answer.textContent = sound ? `${sound.name}: ${verdict(about, sound.logits)}` : "";
  });
  const own = make("div", { className: "listen-row" }, make("label", {}, "Your sound file: ", file), microphone);
  store.watch(["network", "status", "streaming", "whole", "part"], (state) => {
    load.hidden = state.network === "ready";
    load.disabled = state.network === "loading";
    own.hidden = state.network !== "ready";
    microphone.textContent = state.streaming ? "Stop listening" : "Listen to the microphone";
    part.label.hidden = state.whole === null;
    if (state.whole) {
      const step = Math.floor(span(about) / 2);
      part.input.max = String(Math.ceil((state.whole.samples.length - span(about)) / step));
      part.input.value = String(state.part);
      part.input.setAttribute("aria-valuetext", `from ${((state.part * step) / about.rate).toFixed(1)} s on`);
    }
    status.textContent = state.status;
  });
  return make(
    "section",
    { id: "source", className: "listen-stage", attributes: { "aria-label": "Choose a sound" } },
    sounds.field,
    make("div", { className: "listen-row" }, load),
    own,
    part.label,
    glance.canvas,
    answer,
    status,
  );
}
