// Teach it: examples of the reader's own classes, a head on the network's features, and how often it is right.

import { folder } from "../download";
import { answer, normed, wilson } from "../head";
import type { Ear } from "../hear";
import type { Network } from "../network";
import { button, make, percent, stage } from "../page";
import type { Store } from "../state";

const CLASSES = ["background", "first sound", "second sound"]; // until the reader names them
const LEAST = 2; // examples of a class: one is left out
const MOST = 60; // examples of all classes together

export function teach(store: Store, ear: Ear, network: Network, base: string): HTMLElement {
  const { about } = store;
  const said = make("p", { className: "listen-says", attributes: { "aria-live": "polite" } });
  const now = make("p", { className: "listen-says" });
  const names = CLASSES.map((value) => make("input", { type: "text", value, maxLength: 40 }));
  const counts = CLASSES.map(() => make("span"));
  const nameOf = (label: number): string => names[label].value.trim() || CLASSES[label];

  // Adds what `listen` gives, or says why that is impossible.
  async function collect(label: number, listen: () => Promise<Float32Array[]>): Promise<void> {
    const { network: there, examples } = store.get();
    if (there !== "ready") {
      said.textContent = "Load the network at the top of the page first.";
      return;
    }
    try {
      const found = await listen();
      if (examples.length + found.length > MOST) {
        throw new Error(`the page takes ${MOST} examples; astlib train takes as many as you have`);
      }
      store.set({ examples: [...store.get().examples, ...found.map((features) => ({ features, label }))] });
    } catch (error) {
      said.textContent = `That did not work: ${(error as Error).message}`;
    }
  }

  const rows = CLASSES.map((_, label) => {
    const files = make("input", { type: "file", accept: "audio/*", multiple: true });
    files.setAttribute("aria-label", `Sound files of class ${label + 1}`);
    names[label].setAttribute("aria-label", `Name of class ${label + 1}`);
    names[label].oninput = () => store.set({ examples: [...store.get().examples] });
    files.onchange = () =>
      void collect(label, () => Promise.all(Array.from(files.files ?? [], (file) => ear.featuresOf(file)))).then(() => {
        files.value = "";
      });
    const remove = button("Remove the last", () => {
      const { examples } = store.get();
      const last = examples.map((example) => example.label).lastIndexOf(label);
      store.set({ examples: examples.filter((_, i) => i !== last) });
    });
    const record = button("Record 2 s", () => {
      said.textContent = `Recording ${nameOf(label)} …`;
      void collect(label, async () => [await ear.record(2)]);
    });
    store.watch(["examples"], ({ examples }) => {
      remove.hidden = !examples.some((example) => example.label === label);
    });
    return make("div", { className: "listen-row" }, names[label], record, files, counts[label], remove);
  });
  const save = button("Download the network with this head", () => {
    const { taught } = store.get();
    if (taught) {
      const labels = taught.labels.map(nameOf);
      if (new Set(labels).size < labels.length) {
        said.textContent = "Two classes have the same name: give each its own, then download.";
        return;
      }
      folder(about, `${base}model.safetensors`, taught.head, labels).then(
        (zip) => {
          const link = make("a", { href: URL.createObjectURL(zip), download: "my-sounds.zip" });
          link.click();
          setTimeout(() => URL.revokeObjectURL(link.href), 60_000);
        },
        (error: Error) => (said.textContent = `That did not work: ${error.message}.`),
      );
    }
  });
  save.hidden = true;

  store.watch(["examples"], ({ examples }) => {
    const each = CLASSES.map((_, label) => examples.filter((example) => example.label === label).length);
    counts.forEach((count, label) => (count.textContent = `${each[label]} ${each[label] === 1 ? "example" : "examples"}`));
    const labels = each.flatMap((count, label) => (count ? [label] : []));
    if (labels.length < 2 || labels.some((label) => each[label] < LEAST)) {
      said.textContent = `It takes at least two classes with ${LEAST} examples each; five of each are better.`;
      store.set({ taught: null });
      return;
    }
    const classes = examples.map((example) => labels.indexOf(example.label));
    network.teach(examples.map((example) => example.features), classes, labels.length).then(
      ({ head, right }) => {
        if (store.get().examples === examples) {
          store.set({ taught: { head, right, labels } });
        }
      },
      (error: Error) => (said.textContent = `That did not work: ${error.message}.`),
    );
  });
  store.watch(["taught"], ({ taught }) => {
    save.hidden = taught === null;
    if (taught) {
      const count = taught.right.filter((is) => is).length;
      const share = count / taught.right.length;
      const [low, high] = wilson(share, taught.right.length);
      said.textContent =
        `Each example was named by a head that had not heard it: ${count} of ${taught.right.length} are right, ` +
        `${percent(share)}; with so few examples, that means ${percent(low)} to ${percent(high)} (95 % interval).`;
    }
  });
  store.watch(["taught", "sound"], ({ taught, sound }) => {
    now.textContent = "";
    if (taught && sound?.features) {
      const shares = answer(taught.head, normed(sound.features));
      const best = shares.indexOf(Math.max(...shares));
      now.textContent = `Your head says of ${sound.name}: ${nameOf(taught.labels[best])}, ${percent(shares[best])}.`;
    }
  });

  return stage(
    "teach",
    "7. Teach it sounds of your own",
    "Name your classes and give examples of each. A new head is trained on the network's features, here in the page. A " +
      "head always names one of its classes, so that “background” should be one of them: everything else that may happen.",
    ...rows,
    said,
    now,
    save,
  );
}
