// Eight guided steps. A step is complete when its thing was done, and stays so.

import { make } from "../page";
import type { Store } from "../state";

interface Step {
  act: string; // what completes it, see Store.did
  text: string;
  where: string; // id of the stage
  chapter: string;
}

const STEPS: Step[] = [
  { act: "played", text: "Choose a sound and play it.", where: "waveform", chapter: "01_sound_to_spectrogram" },
  { act: "loud", text: "Find a loud frame: its loudest bin comes near the loudest cell.", where: "waveform", chapter: "01_sound_to_spectrogram" },
  { act: "stride-10", text: "Set the stride to 10, the paper's, and read how many pairs that makes.", where: "patches", chapter: "02_spectrogram_to_tokens" },
  { act: "patch", text: "Choose a patch and play it alone.", where: "patches", chapter: "02_spectrogram_to_tokens" },
  { act: "heads", text: "Choose a patch and follow it through at least four heads.", where: "attention", chapter: "03_attention_and_the_encoder" },
  { act: "class", text: "Ask a class token in the last block whom it attends to.", where: "attention", chapter: "14_looking_inside" },
  { act: "painted", text: "Load the network and hide the part that you think it needs.", where: "paint", chapter: "14_looking_inside" },
  { act: "own", text: "Let it hear a sound of yours: a file or the microphone.", where: "source", chapter: "17_out_into_the_world" },
];

export function steps(store: Store): HTMLElement {
  const items = STEPS.map(({ text, where, chapter }) =>
    make(
      "li",
      {},
      make("span", { textContent: text }),
      " ",
      make("a", { href: `#${where}`, textContent: "Show me" }),
      " · ",
      make("a", { href: `../notebooks/${chapter}.html`, textContent: `Chapter ${chapter.slice(0, 2)}` }),
    ),
  );
  const count = make("span", { className: "listen-says", attributes: { "aria-live": "polite" } });
  store.watch(["acts"], ({ acts }) => {
    STEPS.forEach(({ act }, i) => items[i].classList.toggle("done", acts.has(act)));
    count.textContent = `${STEPS.filter(({ act }) => acts.has(act)).length} of ${STEPS.length} done`;
  });
  const wide = window.matchMedia("(min-width: 1100px)").matches; // as in listen.css; else the list would hide the page
  return make(
    "nav",
    { className: "listen-steps", attributes: { "aria-label": "Eight steps" } },
    make(
      "details",
      { open: wide },
      make("summary", {}, make("strong", { textContent: "Eight things to do" }), " ", count),
      make("ol", {}, ...items),
    ),
  );
}
