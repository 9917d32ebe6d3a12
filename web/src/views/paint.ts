// Hide parts of the spectrogram by hand, and see what the network then says.

import { arrows, bitmap, cell, outline, picture, range } from "../canvas";
import { isNone, probabilities } from "../decide";
import type { Network } from "../network";
import { button, choice, make, percent, pretty, stage } from "../page";
import type { Brush, State, Store } from "../state";

const BRUSHES: { value: Brush; text: string }[] = [
  { value: "silence", text: "silence" },
  { value: "mean", text: "the mean" },
  { value: "zero", text: "zero" },
  { value: "loud", text: "loud" },
  { value: "restore", text: "undo" },
];

export function paint(store: Store, network: Network): HTMLElement {
  const { about } = store;
  const [high, wide] = about.patch;
  const rows = Math.floor(about.mels / high);
  const columns = Math.floor(about.frames / wide);
  let cursor = 0;

  function painted({ sound, painted }: State): Float32Array {
    const mel = new Float32Array(sound?.mel ?? []);
    const loud = range(mel)[1];
    painted.forEach((brush, tile) => {
      const value = brush === "loud" ? loud : about.fills[brush as "silence" | "mean" | "zero"];
      const first = (tile % columns) * wide;
      const low = Math.floor(tile / columns) * high;
      for (let frame = first; frame < first + wide; frame++) {
        mel.fill(value, frame * about.mels + low, frame * about.mels + low + high);
      }
    });
    return mel;
  }

  const map = picture("The spectrogram to paint on", 200, (context, width, height) => {
    const state = store.get();
    if (!state.sound) {
      return;
    }
    context.imageSmoothingEnabled = false;
    context.drawImage(bitmap(about, painted(state)), 0, 0, width, height);
    if (document.activeElement === map.canvas) {
      outline(context, about, width, height, {
        frames: [(cursor % columns) * wide, ((cursor % columns) + 1) * wide],
        mels: [Math.floor(cursor / columns) * high, (Math.floor(cursor / columns) + 1) * high],
      });
    }
  });
  function apply(tile: number): void {
    const { painted, brush } = store.get();
    if (painted.get(tile) === brush || (brush === "restore" && !painted.has(tile))) {
      return;
    }
    const next = new Map(painted);
    if (brush === "restore") {
      next.delete(tile);
    } else {
      next.set(tile, brush);
    }
    store.set({ painted: next });
  }
  map.canvas.onpointerdown = (event) => {
    map.canvas.setPointerCapture(event.pointerId);
    pointed(event);
  };
  map.canvas.onpointermove = (event) => {
    if (event.buttons) {
      pointed(event);
    }
  };
  function pointed(event: PointerEvent): void {
    const { frame, bin } = cell(about, map.canvas, event);
    cursor = Math.min(Math.floor(bin / high), rows - 1) * columns + Math.min(Math.floor(frame / wide), columns - 1);
    apply(cursor);
  }
  arrows(map.canvas, () => ({ rows, columns }), () => cursor, (place) => {
    cursor = place;
    said.textContent = `Tile in column ${(cursor % columns) + 1}, row ${Math.floor(cursor / columns) + 1} from below.`;
    map.draw();
  });
  map.canvas.addEventListener("keydown", (event) => {
    if (event.key === " " || event.key === "Enter") {
      event.preventDefault();
      apply(cursor);
    }
  });
  map.canvas.onfocus = map.canvas.onblur = map.draw;

  const brushes = choice("Paint with", BRUSHES, (brush) => store.set({ brush }));
  const said = make("p", { className: "listen-says", attributes: { "aria-live": "polite" } });

  // One answer at a time; what was painted meanwhile is asked after it.
  let busy = false;
  async function ask(): Promise<void> {
    if (busy) {
      return;
    }
    busy = true;
    try {
      await answerAll();
    } catch (error) {
      said.textContent = `That did not work: ${(error as Error).message}.`;
    }
    busy = false;
  }
  async function answerAll(): Promise<void> {
    for (let asked: State | null = null; asked?.painted !== store.get().painted; ) {
      asked = store.get();
      const logits = asked.painted.size ? await network.look(painted(asked)) : null;
      if (asked.sound === store.get().sound) {
        store.set({ answer: logits && { painted: asked.painted, logits } });
      }
    }
  }
  store.watch(["sound", "painted", "network"], ({ sound, painted, network: there }) => {
    map.draw();
    if (sound && there === "ready" && sound.exact) {
      void ask();
    } else if (painted.size) {
      said.textContent = "Load the network at the top of the page: then it says what it makes of this.";
    }
  });
  store.watch(["sound", "answer"], ({ sound, answer }) => {
    if (!sound || !answer) {
      said.textContent = "Nothing is painted yet.";
      return;
    }
    const before = probabilities(about.decision, about.multiLabel, sound.logits);
    const after = probabilities(about.decision, about.multiLabel, answer.logits);
    const first = before.indexOf(Math.max(...before));
    const best = after.indexOf(Math.max(...after));
    said.textContent =
      `${answer.painted.size} of ${rows * columns} tiles are painted. ${pretty(about.labels[first])}: ` +
      `${percent(before[first])} before, ${percent(after[first])} now. ` +
      (best === first ? "It is still the first." : `First is now ${pretty(about.labels[best])}, ${percent(after[best])}.`) +
      (isNone(about.decision, answer.logits) ? " The decision: nothing I know." : "");
    store.did("painted");
  });
  store.watch(["brush"], ({ brush }) => brushes.mark(brush));

  const section = stage(
    "paint",
    "6. Hide a part of it",
    "Drag over the spectrogram, or move with the arrow keys and paint with the space bar. Silence is the lowest value " +
      "there is; the mean is what the network has seen most; zero, the original's padding, is rather loud. With “loud” you " +
      "draw a sound of your own.",
    brushes.field,
    map.canvas,
    make("div", { className: "listen-row" }, button("Remove all paint", () => store.set({ painted: new Map() })), said),
  );
  section.classList.add("listen-paint");
  return section;
}
