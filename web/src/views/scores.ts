// The classes with the highest scores, and the decision.

import type { About } from "../about";
import { isNone, probabilities } from "../decide";
import { make, percent, pretty, stage } from "../page";
import type { Store } from "../state";

const TOP = 5;

// One sentence: the most probable class, or that it is none of them.
export function verdict(about: About, logits: Float32Array): string {
  const shares = probabilities(about.decision, about.multiLabel, logits);
  const best = shares.indexOf(Math.max(...shares));
  const named = `${pretty(about.labels[best])}, ${percent(shares[best])}`;
  return isNone(about.decision, logits) ? `Nothing I know. What comes nearest: ${named}.` : `The network says: ${named}.`;
}

export function scores(store: Store): HTMLElement {
  const { about } = store;
  const said = make("p", { className: "listen-says", attributes: { "aria-live": "polite" } });
  const body = make("tbody");
  store.watch(["sound"], ({ sound }) => {
    if (!sound) {
      return;
    }
    const shares = probabilities(about.decision, about.multiLabel, sound.logits);
    const order = shares.map((_, k) => k).sort((a, b) => shares[b] - shares[a]);
    const none = isNone(about.decision, sound.logits);
    said.textContent = verdict(about, sound.logits);
    body.replaceChildren(
      ...order.slice(0, TOP).map((k) => {
        const bar = make("div", { className: "listen-bar" });
        bar.style.width = `${100 * shares[k]}%`;
        return make(
          "tr",
          { className: none ? "listen-none" : "" },
          make("th", { scope: "row", textContent: pretty(about.labels[k]) }),
          make("td", { textContent: percent(shares[k]) }),
          make("td", {}, bar),
        );
      }),
    );
  });
  return stage(
    "scores",
    "5. From tokens to classes",
    `After the last block, the class tokens are averaged and become one score for each of ${about.labels.length} classes. ` +
      "A sound whose scores are too low belongs to none of them.",
    said,
    make("table", { className: "listen-scores" }, make("caption", { textContent: `The ${TOP} most probable classes` }), body),
  );
}
