/** The little that the page needs of the DOM. Text from elsewhere enters through `textContent` alone. */

/** The element of `index.html` with this id. */
export function byId<T extends HTMLElement = HTMLElement>(id: string): T {
  const found = document.getElementById(id);
  if (!found) throw new Error(`index.html has no #${id}`);
  return found as T;
}

/** A new element with properties, and text or elements inside. */
export function make<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  properties: Partial<HTMLElementTagNameMap[K]> = {},
  ...inside: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const element = Object.assign(document.createElement(tag), properties);
  element.append(...inside);
  return element;
}

/** Sets the text, if it differs: an equal text is not announced again and keeps its selection. */
export function setText(element: Element, text: string): void {
  if (element.textContent !== text) element.textContent = text;
}

/** Shows or hides. */
export function show(element: HTMLElement, visible: boolean): void {
  if (element.hidden === visible) element.hidden = !visible;
}

/** One line of a list of amounts. */
export interface LedgerRow {
  term: string;
  value: string;
  note?: string;
  total?: boolean;
}

/** Brings a `<dl class="ledger">` up to date, row by row. */
export function setLedger(list: HTMLElement, rows: LedgerRow[]): void {
  rows.forEach((row, at) => {
    let line = list.children[at];
    if (!line) {
      line = make("div", {}, make("dt"), make("dd"), make("dd", { className: "note" }));
      list.append(line);
    }
    line.classList.toggle("total", row.total ?? false);
    const [term, value, note] = line.children;
    if (!term || !value || !note) return;
    setText(term, row.term);
    setText(value, row.value);
    setText(note, row.note ?? "");
    show(note as HTMLElement, Boolean(row.note));
  });
  while (list.children.length > rows.length) list.lastElementChild?.remove();
}

/** How long an announced text stays for those who read line by line. */
const SAID_MS = 5_000;
let said: ReturnType<typeof setTimeout> | undefined;

/** Announces a text to a screen reader, without moving the focus. The same words twice are announced twice. */
export function announce(text: string): void {
  const live = byId("live");
  clearTimeout(said);
  if (live.textContent === text) live.textContent = "";
  // For a screen reader, a region that is emptied and filled in one go has not changed.
  requestAnimationFrame(() => setText(live, text));
  said = setTimeout(() => setText(live, ""), SAID_MS);
}

/** Asks before something that cannot be undone. True only for the button named `yes`. */
export async function confirm(title: string, paragraphs: string[], yes: string): Promise<boolean> {
  const dialog = byId<HTMLDialogElement>("confirm");
  setText(byId("confirm-title"), title);
  byId("confirm-text").replaceChildren(...paragraphs.map((text) => make("p", { textContent: text })));
  setText(byId("confirm-yes"), yes);
  dialog.returnValue = "no";
  dialog.showModal();
  await new Promise<void>((resolve) => dialog.addEventListener("close", () => resolve(), { once: true }));
  return dialog.returnValue === "yes";
}

/** An error's text, as a sentence; never an empty text. */
export function reason(error: unknown): string {
  // Browsers differ in this text, and none says what it means.
  if (error instanceof TypeError && /fetch|network|load failed/i.test(error.message))
    return "No answer came over the network.";
  const text = error instanceof Error ? error.message : typeof error === "string" ? error : "";
  return text
    ? text.charAt(0).toUpperCase() + text.slice(1) + (/[.!?\u2026]$/.test(text) ? "" : ".")
    : "Something went wrong, and it did not say what.";
}

/** The choice of dark or light; `theme.js` reads it before anything is drawn. */
export function offerTheme(): void {
  const choice = byId<HTMLSelectElement>("theme");
  const root = document.documentElement;
  choice.value = root.dataset.theme ?? "";
  choice.addEventListener("change", () => {
    if (choice.value) root.dataset.theme = choice.value;
    else delete root.dataset.theme;
    try {
      if (choice.value) localStorage.setItem("piecework theme", choice.value);
      else localStorage.removeItem("piecework theme");
    } catch {
      // Storage is refused: it holds for this visit.
    }
  });
}
