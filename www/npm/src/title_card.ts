/**
 * Who published a torrent, as a part of a page: who signed it, since when it is registered, who registered it earlier,
 * the creator's share, the licence, and why nothing of it is bought. `<piecework-player>` and the page of this project
 * load it when they show a torrent that may cost money; a site can show it, too.
 *
 * ```js
 * import { TitleCard } from "piecework/title";
 * document.querySelector("main").append(new TitleCard(torrent).element);
 * ```
 */
import { checksummed } from "./keccak.js";
import { whyNotBought } from "./refusal.js";
import type { Registration } from "./titles.js";
import type { Title } from "./title.js";
import type { Torrent } from "./torrent.js";

/** Where a torrent's title stands, as `data-state` of the card's element names it. */
export type TitleState = "unknown" | "unsigned" | "awaited" | "wrong" | "signed" | "registered";

/** What a line is made of: words, and addresses. */
type Words = (string | Address)[];

/** An address at a glance; the whole one is among the details. */
class Address {
  readonly whole: string;

  constructor(address: string) {
    this.whole = checksummed(address);
  }

  /** On one line, short enough to recognise. */
  get element(): HTMLElement {
    const text = `${this.whole.slice(0, 8)}\u2026${this.whole.slice(-4)}`;
    return Object.assign(make("span", text), { className: "address", title: this.whole });
  }
}

function day(date: Date): string {
  return new Intl.DateTimeFormat(undefined, { dateStyle: "long" }).format(date);
}

/** To the second, for those who compare. */
function second(date: Date): string {
  return `${date.toISOString().slice(0, 19).replace("T", " ")} UTC`;
}

function make<K extends keyof HTMLElementTagNameMap>(tag: K, text = "", ...inside: Node[]): HTMLElementTagNameMap[K] {
  const element = document.createElement(tag);
  element.textContent = text;
  element.append(...inside);
  return element;
}

/** Puts words into an element, where they are others: what is equal is not announced again. */
function say(element: HTMLElement, words: Words): void {
  const said = words.map((word) => (word instanceof Address ? word.element : document.createTextNode(word)));
  if (element.textContent !== said.map(({ textContent }) => textContent).join("")) element.replaceChildren(...said);
  element.hidden = said.length === 0;
}

/** The card. It looks again when the torrent's title changes, until {@link TitleCard.end}. */
export class TitleCard {
  /** To be put into the page; its class is `piecework-title`, and its parts have classes of their own. */
  readonly element = document.createElement("div");
  readonly #torrent: Torrent;
  readonly #off: (() => void)[];
  readonly #by = make("p");
  readonly #facts = make("ul");
  readonly #earlier = make("p");
  readonly #failed = make("p");
  readonly #again = make("button", "Ask the chain again");
  readonly #more = make("dl");
  readonly #details = make("details", "", make("summary", "Whole addresses and more"), this.#more);
  /** Null: not asked, or no registry is asked by the vault. */
  #registration: Registration | null = null;
  /** Counts questions: the answer to an earlier one is of no use any more. */
  #turn = 0;
  #state: TitleState = "unknown";

  constructor(torrent: Torrent) {
    this.#torrent = torrent;
    this.element.className = "piecework-title";
    // The chain answers when it does, and a title may come late.
    for (const line of [this.#by, this.#earlier]) line.ariaLive = "polite";
    this.#by.className = "by";
    this.#facts.className = "facts";
    this.#earlier.className = "earlier";
    this.#failed.className = "failed";
    this.#again.type = "button";
    this.#again.onclick = () => void this.#ask();
    this.element.append(this.#by, this.#earlier, this.#facts, this.#failed, this.#again, this.#details);
    this.#off = [torrent.on("title", () => void this.#ask())];
    void torrent.ready.then(
      () => this.#ask(),
      () => undefined,
    );
    this.#draw();
  }

  /** Where the title stands. */
  get state(): TitleState {
    return this.#state;
  }

  /** Looks no more. */
  end(): void {
    this.#turn++;
    for (const off of this.#off.splice(0)) off();
  }

  async #ask(): Promise<void> {
    const turn = ++this.#turn;
    // A page without payments has no chain to ask, and is sold nothing.
    if (this.#torrent.signature === "unknown") return this.#draw();
    this.#registration = null;
    this.#draw("The chain is asked since when it is registered \u2026");
    try {
      const registration = await this.#torrent.registration();
      if (turn !== this.#turn) return;
      this.#registration = registration;
      this.#draw();
    } catch (error) {
      if (turn === this.#turn)
        this.#draw(`Whether it is registered is not known. ${error instanceof Error ? error.message : error}`, true);
    }
  }

  #draw(said = "", failed = false): void {
    const { title, signature } = this.#torrent;
    const registration = this.#registration;
    const own = registration?.own ?? null;
    this.#state = title
      ? own
        ? "registered"
        : "signed"
      : typeof signature === "object"
        ? "wrong"
        : signature === "fits"
          ? "unknown"
          : signature;
    this.element.dataset.state = this.#state;
    this.element.hidden = this.#state === "unknown";
    const why = whyNotBought(this.#torrent);
    say(
      this.#by,
      title ? ["Signed by ", new Address(title.publisher)] : [why ?? "Unsigned: nobody says who published this."],
    );
    const facts = factsOf(title, registration, said === "").map((words) => {
      const line = make("li");
      say(line, words);
      return line;
    });
    this.#facts.replaceChildren(...facts);
    this.#facts.hidden = facts.length === 0;
    const earlier = registration?.earlier;
    say(
      this.#earlier,
      earlier
        ? [
            `Somebody else registered the same content ${title ? "earlier" : "on the chain"}: `,
            new Address(earlier.publisher),
            `, on ${day(earlier.registeredAt)}.`,
          ]
        : [],
    );
    say(this.#failed, said === "" ? [] : [said]);
    // Pressed, it keeps the focus while the chain is asked.
    this.#again.hidden = !failed && (said === "" || !this.#again.matches(":focus"));
    this.#more.replaceChildren(
      ...moreOf(title, registration).map(([term, value]) => make("div", "", make("dt", term), make("dd", value))),
    );
    this.#details.hidden = this.#more.childElementCount === 0;
  }
}

/** What is said at a glance. `isAsked`: the chain has answered, or there is none. */
function factsOf(title: Title | null, registration: Registration | null, isAsked: boolean): Words[] {
  if (!title) return [];
  const facts: Words[] = [];
  const own = registration?.own;
  if (own) facts.push([`Registered since ${day(own.registeredAt)}`]);
  else if (isAsked && registration) facts.push(["Not registered on the chain"]);
  if (registration?.sameWords === false) facts.push(["Registered with another name, licence or date than these"]);
  const { share, creator } = own ?? title;
  // Where nothing is registered, nobody is paid a share.
  if (share > 0 && (own || !isAsked)) {
    const isPublisher = creator.toLowerCase() === title.publisher.toLowerCase();
    const whom = isPublisher ? ["the publisher"] : ["its creator, ", new Address(creator)];
    facts.push([`${share} % of every sale goes to `, ...whom]);
  }
  facts.push([title.licence ? `Licence: ${title.licence}` : "No licence is granted"]);
  return facts;
}

/** Everything, with whole addresses. */
function moreOf(title: Title | null, registration: Registration | null): [string, string][] {
  const more: [string, string][] = [];
  const own = registration?.own;
  if (title) {
    more.push(["Name", title.name], ["Publisher", checksummed(title.publisher)]);
    more.push(["Creator", checksummed(title.creator)]);
    if (own && checksummed(own.creator) !== checksummed(title.creator)) more.push(["Creator now", own.creator]);
    if (own && own.share !== title.share) more.push(["Share", `${title.share} % as it was signed, ${own.share} % now`]);
    if (title.created) more.push(["Dated by the publisher", second(title.created)]);
    if (own) more.push(["Registered", second(own.registeredAt)]);
    if (title.previous) more.push(["Follows", title.previous]);
    more.push(["Title id", title.id]);
  }
  if (registration) {
    const { earlier, count } = registration;
    if (earlier)
      more.push([
        title ? "Earlier" : "Registered first",
        `${earlier.publisher} on ${second(earlier.registeredAt)}, id ${earlier.id}`,
      ]);
    if (title || count > 0) more.push(["Registry", registration.registry]);
    if (title && !registration.isForIt)
      more.push([
        "Signed for",
        title.registry ? `another registry, ${title.registry} of chain ${title.chainId}` : "no registry",
      ]);
    const looked = count > MOST_LISTED ? `, of which the first ${MOST_LISTED} were looked at` : "";
    if (count > 1) more.push(["Registrations of this content", `${count.toLocaleString("en")}${looked}`]);
  }
  return more;
}

/** As `titles.ts` reads them. */
const MOST_LISTED = 16;

/** The looks of the card where no style sheet of the page's gives it others: `<piecework-player>` has it. */
export const CARD_STYLE = `
.piecework-title { padding: .9em .8em; background: var(--piecework-surface, #181818); }
.piecework-title .by { font-weight: 600; }
.piecework-title[data-state="wrong"] .by, .piecework-title[data-state="awaited"] .by {
  color: var(--piecework-error, #ffb4a8);
}
.piecework-title .earlier, .piecework-title .failed { color: var(--piecework-notice, #ffd9a0); padding: 0; }
.piecework-title .facts { margin: 0; padding: 0; list-style: none; display: flex; flex-wrap: wrap; gap: 0 1.2em; }
.piecework-title summary { min-height: 44px; display: flex; align-items: center; cursor: pointer; }
.piecework-title summary::before { content: "+ "; white-space: pre; }
.piecework-title details[open] summary::before { content: "\\2212  "; }
.piecework-title dl { margin: 0; display: grid; gap: .5em; }
.piecework-title dt { opacity: .8; }
.piecework-title dd { margin: 0; overflow-wrap: anywhere; }
.piecework-title .address { white-space: nowrap; }
`;
