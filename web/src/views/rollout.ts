// Rollout: attention followed through all blocks, from the class tokens down to the patches.

import { bitmap, overlay, picture } from "../canvas";
import { describe, grid } from "../grid";
import { make, percent, stage } from "../page";
import type { Store } from "../state";

export function rollout(store: Store): HTMLElement {
  const { about } = store;
  const { columns } = grid(about);
  const map = picture("Rollout from the class tokens, drawn over the spectrogram", 200, (context, width, height) => {
    const { sound } = store.get();
    if (sound) {
      const most = Math.max(...sound.rollout);
      context.imageSmoothingEnabled = false;
      context.drawImage(bitmap(about, sound.mel, "grey"), 0, 0, width, height);
      overlay(context, about, width, height, columns, sound.rollout.map((share) => share / most));
    }
  });
  const said = make("p", { className: "listen-says" });
  store.watch(["sound"], ({ sound }) => {
    map.draw();
    if (sound) {
      const most = sound.rollout.indexOf(Math.max(...sound.rollout));
      const sum = sound.rollout.reduce((a, b) => a + b, 0);
      said.textContent =
        `The patch with the largest share, ${percent(sound.rollout[most])}, is at ${describe(about, most)}. If all ` +
        `${sound.rollout.length} patches shared alike, each would have ${percent(sum / sound.rollout.length)}.`;
    }
  });
  return stage(
    "rollout",
    "4. All blocks at once",
    "Rollout multiplies the attention of all blocks, with half a share for the residual connection: how much of the class " +
      "tokens' output would come from each patch if values, MLPs and norms changed nothing. It is a summary, not a proof.",
    map.canvas,
    said,
  );
}
