// Small helpers to build the page.

type Child = Node | string;

export function make<K extends keyof HTMLElementTagNameMap>(
  name: K,
  properties: Partial<Omit<HTMLElementTagNameMap[K], "attributes">> & { attributes?: Record<string, string> } = {},
  ...children: Child[]
): HTMLElementTagNameMap[K] {
  const { attributes, ...rest } = properties;
  const element = Object.assign(document.createElement(name), rest);
  Object.entries(attributes ?? {}).forEach(([key, value]) => element.setAttribute(key, value));
  element.append(...children);
  return element;
}

// A stage of the way: its title, a sentence, and what is shown.
export function stage(id: string, title: string, text: string, ...children: Child[]): HTMLElement {
  return make(
    "section",
    { id, className: "listen-stage", attributes: { "aria-labelledby": `${id}-title` } },
    make("h2", { id: `${id}-title`, textContent: title }),
    make("p", { textContent: text }),
    ...children,
  );
}

export function button(text: string, onclick: () => void): HTMLButtonElement {
  return make("button", { type: "button", textContent: text, onclick });
}

// Radio buttons in a row; returns the field and a function that marks one.
export function choice<T extends string | number>(
  legend: string,
  options: { value: T; text: string }[],
  chosen: (value: T) => void,
): { field: HTMLFieldSetElement; mark: (value: T) => void } {
  const name = `listen-${legend.replace(/\W+/g, "-")}`;
  const inputs = options.map(({ value }) =>
    make("input", { type: "radio", name, value: String(value), onchange: () => chosen(value) }),
  );
  const labels = options.map(({ text }, i) => make("label", {}, inputs[i], ` ${text}`));
  return {
    field: make("fieldset", { className: "listen-choice" }, make("legend", { textContent: legend }), ...labels),
    mark: (value) => inputs.forEach((input, i) => (input.checked = options[i].value === value)),
  };
}

export function slider(
  text: string,
  most: number,
  moved: (value: number) => void,
): { label: HTMLLabelElement; input: HTMLInputElement } {
  const input = make("input", { type: "range", min: "0", max: String(most), step: "1", value: "0" });
  input.oninput = () => moved(Number(input.value));
  return { label: make("label", { className: "listen-slider" }, make("span", { textContent: text }), input), input };
}

export function percent(share: number): string {
  return `${(100 * share).toFixed(1)}\u00a0%`; // never on two lines
}

export function pretty(label: string): string {
  return label.replaceAll("_", " ");
}

// A value of the browser's storage, which may be forbidden: then nothing is remembered, and the page works as well.
export function remembered(key: string): string | null {
  try {
    return localStorage.getItem(key);
  } catch {
    return null;
  }
}

export function remember(key: string, value: string): void {
  try {
    localStorage.setItem(key, value);
  } catch {
    return;
  }
}
