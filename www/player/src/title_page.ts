/**
 * A title's public page: who registered it, how often and for how much it was redeemed, and what went to whom. It is a
 * page of its own, without an engine and without a wallet. Of the site's configuration it takes vault, chain, token and
 * node. The visitor, or a link, may name another node: no money depends on it, and the page says whose word it shows.
 */

import { ConfigError, load, type PaymentSetup } from "./config.ts";
import { announce, byId, make, offerTheme, reason, setLedger, setText, show } from "./dom.ts";
import { bytes, label, plural, units, type Token } from "./format.ts";
import { chart } from "./title_chart.ts";
import { Node, NodeError, nodeUrl } from "./title_node.ts";
import { Titles, askedFor, earlierByOther, type Listed, type Registration, type TitleRecord } from "./title_record.ts";
import { receiversOf, spansOf, titleCSV, total, type Receiver, type Span } from "./title_sums.ts";

/** Lines of a table that are shown at first, and that each press of "Show more" adds. */
const PAGE = 100;

/** What the address asks for, behind the `#`, which is not sent to the server, or behind the `?`. */
interface Asked {
  /** A title's id, an info hash or a magnet link, as it stands there. */
  text: string;
  /** The URL of a node; null: the site's. */
  node: string | null;
}

function readAddress(): Asked {
  const words = [location.hash, location.search].map((part) => new URLSearchParams(part.slice(1)));
  const word = (...names: string[]) => {
    for (const part of words) for (const name of names) if (part.get(name)) return part.get(name);
    return null;
  };
  return { text: word("id", "hash", "magnet") ?? "", node: word("rpc") };
}

/** The same, as an address. */
function addressOf(text: string, node: string | null): string {
  const words = new URLSearchParams({ ...(text ? { id: text } : {}), ...(node ? { rpc: node } : {}) });
  return `#${words}`;
}

class Page {
  readonly #site: PaymentSetup;
  #asked: Asked = { text: "", node: null };
  #reading: AbortController | null = null;
  #shown: TitleRecord | null = null;

  constructor(site: PaymentSetup) {
    this.#site = site;
    byId("title-ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#lookUp(byId<HTMLInputElement>("title-text").value);
    });
    byId("title-node-ask").addEventListener("submit", (event) => {
      event.preventDefault();
      this.#askAnother(byId<HTMLInputElement>("title-url"));
    });
    byId("title-stop").addEventListener("click", () => this.#reading?.abort());
    byId("title-again").addEventListener("click", () => void this.open());
    byId("title-save").addEventListener("click", () => this.#save());
    addEventListener("hashchange", () => void this.open());
  }

  get #token(): Token {
    return this.#site.token;
  }

  #lookUp(text: string): void {
    if (!this.#isWord(text)) return;
    const to = addressOf(text.trim(), this.#asked.node);
    if (to === location.hash) void this.open();
    else location.hash = to;
  }

  /** Whether it names a title; else the field says what to write. */
  #isWord(text: string): boolean {
    const wrong =
      askedFor(text) !== null
        ? ""
        : text.trim() === ""
          ? "Write a title\u2019s id (64 hexadecimal digits), an info hash (40) or a magnet link."
          : `\u201c${label(text.trim().slice(0, 200))}\u201d is no title\u2019s id (64 hexadecimal digits), no info ` +
            "hash (40), and no magnet link with one of them.";
    setText(byId("title-wrong"), wrong);
    byId<HTMLInputElement>("title-text").setAttribute("aria-invalid", String(wrong !== ""));
    return wrong === "";
  }

  #askAnother(field: HTMLInputElement): void {
    const wrong = byId("title-url-wrong");
    try {
      const url = field.value.trim() === "" ? null : nodeUrl(field.value);
      setText(wrong, "");
      field.setAttribute("aria-invalid", "false");
      const to = addressOf(this.#asked.text, url);
      if (to === location.hash) void this.open();
      else location.hash = to;
    } catch (error) {
      setText(wrong, reason(error));
      field.setAttribute("aria-invalid", "true");
    }
  }

  /** Reads and shows what the address asks for. An earlier search ends. */
  async open(): Promise<void> {
    this.#reading?.abort();
    const reading = new AbortController();
    this.#reading = reading;
    this.#asked = readAddress();
    const { text } = this.#asked;
    byId<HTMLInputElement>("title-text").value = text.slice(0, 10_000);
    for (const id of ["title-whose", "title-progress", "title-failed", "title-found", "title-listed", "title-earlier"])
      show(byId(id), false);
    this.#name(
      "Look up a title",
      "Who published it, and who was paid for it. All of this is public on the chain: it takes no wallet, and costs nothing.",
    );
    show(byId("title-ask"), true);
    setText(byId("title-wrong"), "");
    byId<HTMLInputElement>("title-text").setAttribute("aria-invalid", "false");
    try {
      const url = this.#node();
      if (text === "") return this.#view("ask");
      const asked = this.#isWord(text) ? askedFor(text) : null;
      if (!asked) return this.#view("ask");
      this.#view("reading");
      show(byId("title-progress"), true);
      const progress = (doing: string, part: number) => {
        if (!reading.signal.aborted) this.#progress(doing, part);
      };
      progress("Asking the node", 0);
      const titles = await Titles.at(new Node(url, reading.signal), this.#site);
      if ("id" in asked) await this.#title(titles, asked.id, progress, reading.signal);
      else await this.#content(titles, asked.infoHash, reading.signal);
    } catch (error) {
      if (this.#reading !== reading) return;
      const isStopped = reading.signal.aborted;
      this.#fail(isStopped ? "It was stopped before the end." : reason(error), isStopped ? "Stopped" : undefined);
      if (!(error instanceof NodeError) && !isStopped) console.error(error);
    }
  }

  /** The node that is asked. The page says so, and says it loudly where the site did not choose it. */
  #node(): string {
    const { node } = this.#asked;
    const site = this.#site.rpcUrl;
    byId<HTMLInputElement>("title-url").value = node ?? "";
    setText(
      byId("title-node"),
      site ? `This site asks ${new URL(site, location.href).origin}.` : "This site names no node.",
    );
    if (node === null && site === null) {
      byId<HTMLDetailsElement>("title-node-box").open = true;
      throw new NodeError("This site names no node that could be asked. Name one below.");
    }
    if (node === null) return new URL(site ?? "", location.href).href;
    const url = nodeUrl(node);
    setText(
      byId("title-whose"),
      `What is shown is the word of ${new URL(url).host}, which this address names, and not this site. ` +
        "A false node can leave out redemptions and invent others.",
    );
    show(byId("title-whose"), true);
    return url;
  }

  async #title(
    titles: Titles,
    id: string,
    progress: (doing: string, part: number) => void,
    signal: AbortSignal,
  ): Promise<void> {
    const record = await titles.read(id, progress);
    if (signal.aborted) return;
    show(byId("title-progress"), false);
    if (!record) {
      this.#name("Not registered", `Nobody registered the id ${id} at ${titles.registry}.`);
      return this.#view("none");
    }
    this.#shown = record;
    this.#draw(record, titles.registry);
    this.#view("title");
    announce("The title is shown.");
    // What had the focus may be gone, such as a link of the list.
    if (document.activeElement === document.body) byId("title-name").focus();
  }

  async #content(titles: Titles, infoHash: string, signal: AbortSignal): Promise<void> {
    const listed = await titles.listed(infoHash);
    if (signal.aborted) return;
    const [only] = listed.first;
    // Nobody has to choose from one.
    if (only && listed.count === 1) {
      history.replaceState(null, "", addressOf(only.id, this.#asked.node));
      return this.open();
    }
    show(byId("title-progress"), false);
    if (!only) {
      this.#name("Not registered", `Nobody registered the content ${infoHash.slice(2)} at ${titles.registry}.`);
      return this.#view("none");
    }
    this.#name("Several registrations", `The content ${infoHash.slice(2)} was registered more than once.`);
    this.#list(listed, null);
    this.#view("list");
  }

  #progress(doing: string, part: number): void {
    const percent = Math.floor(part * 100);
    setText(byId("title-doing"), doing);
    byId<HTMLProgressElement>("title-bar").value = percent;
  }

  #fail(why: string, head = "Nothing could be shown"): void {
    show(byId("title-progress"), false);
    setText(byId("title-failed-head"), head);
    setText(byId("title-reason"), why);
    show(byId("title-failed"), true);
    this.#view("failed");
  }

  #view(name: string): void {
    document.body.dataset.view = name;
  }

  #name(name: string, lede: string): void {
    setText(byId("title-name"), name);
    setText(byId("title-lede"), lede);
    document.title = `${name} - Piecework`;
  }

  #draw(record: TitleRecord, registry: string): void {
    const { registration, words, redemptions, listed, changes } = record;
    const token = this.#token;
    this.#name(label(words.name), `Registered on ${moment(registration.registeredAt)} by ${registration.publisher}.`);
    const earlier = earlierByOther(registration, listed);
    setText(
      byId("title-earlier"),
      earlier
        ? `Somebody else registered the same content before: ${earlier.publisher}, on ${moment(earlier.registeredAt)}.`
        : "",
    );
    show(byId("title-earlier"), earlier !== null);

    const sum = total(redemptions);
    setLedger(byId("title-sums"), [
      { term: "Redeemed", value: plural(sum.count, "time"), note: "Sellers turned what buyers promised into tokens." },
      { term: "Paid by buyers", value: units(sum.gross, token) },
      {
        term: "To the creator",
        value: units(sum.cut, token),
        note: `${percentOf(registration.bps)} of each sale now.`,
      },
      { term: "To sellers", value: units(sum.gross - sum.cut, token) },
    ]);
    this.#drawDays(record);
    this.#drawReceivers(receiversOf(redemptions));
    setLedger(byId("title-registration"), [
      { term: "Publisher", value: registration.publisher },
      { term: "Since", value: moment(registration.registeredAt) },
      { term: "Creator now", value: registration.creator },
      { term: "Share of the creator now", value: percentOf(registration.bps) },
      { term: "Licence", value: words.licence === "" ? "none is granted" : label(words.licence) },
      ...(words.created > 0
        ? [{ term: "Dated by the publisher", value: new Date(words.created * 1000).toISOString().slice(0, 10) }]
        : []),
      {
        term: "Content",
        value: bytes(Number(words.length)),
        ...(words.isEncrypted ? { note: "It is encrypted." } : {}),
      },
      { term: "Info hash", value: words.infoHash.slice(2) },
      { term: "Title id", value: registration.id },
      ...(words.previous ? [{ term: "Follows the edition", value: words.previous }] : []),
      { term: "Registry", value: registry },
    ]);
    for (const value of byId("title-registration").querySelectorAll("dd:not(.note)"))
      value.classList.toggle("address", /^(0x)?[0-9a-f]{40,}$/i.test(value.textContent ?? ""));
    byId("title-changes").replaceChildren(
      ...changes.map(({ time, creator, bps }) =>
        make("li", {
          textContent:
            creator !== null
              ? `${moment(time)}: the creator became ${creator}.`
              : `${moment(time)}: the share was lowered to ${percentOf(bps ?? 0)}.`,
        }),
      ),
    );
    show(byId("title-changes-box"), changes.length > 0);
    if (listed.count > 1) this.#list(listed, registration.id);
    show(byId("title-found"), true);
  }

  #drawDays({ redemptions, to, toTime, isCut }: TitleRecord): void {
    const token = this.#token;
    const spans = spansOf(redemptions);
    const by = spans.unit === "day" ? "Day by day" : "Month by month";
    setText(byId("title-days-head"), by);
    setText(
      byId("title-range"),
      isCut
        ? `Only the first ${redemptions.length.toLocaleString("en")} redemptions, until ${moment(toTime)}`
        : `Until block ${to.toLocaleString("en")}, ${moment(toTime)}`,
    );
    show(byId("title-none"), redemptions.length === 0);
    show(byId("title-some"), redemptions.length > 0);
    show(byId("title-who"), redemptions.length > 0);
    const what = `${by}: what buyers paid, and the creator\u2019s part of it. The table has the numbers.`;
    byId("title-chart").replaceChildren(...(redemptions.length > 0 ? [chart(spans, token, what)] : []));
    const row = ({ date, count, gross, cut }: Span) =>
      rowOf([
        ["When (UTC)", date, ""],
        ["Redemptions", count.toLocaleString("en"), "n"],
        ["Paid by buyers", units(gross, token), "n"],
        ["To the creator", units(cut, token), "n"],
        ["To sellers", units(gross - cut, token), "n"],
      ]);
    // The newest first: a table is read from its head.
    inPages(byId("title-days"), byId("title-more-days"), spans.spans.toReversed(), row);
  }

  #drawReceivers(receivers: Receiver[]): void {
    const row = ({ address, as, count, amount }: Receiver) => {
      const line = rowOf([
        ["Address", "", ""],
        ["As", as, ""],
        ["Redemptions", count.toLocaleString("en"), "n"],
        ["Amount", units(amount, this.#token), "n"],
      ]);
      line.firstElementChild?.append(make("span", { className: "address", textContent: address }));
      return line;
    };
    inPages(byId("title-receivers"), byId("title-more-receivers"), receivers, row);
  }

  /** The registrations of one content; `own` is shown, and is no link. */
  #list({ first, count }: Listed, own: string | null): void {
    const all = count > first.length ? `, of which the first ${first.length} were looked at` : "";
    setText(
      byId("title-listed-text"),
      `${plural(count, "registration")} of this content${all}. Anybody may register any content under their own name.`,
    );
    byId("title-listed-all").replaceChildren(
      ...first.map((registration: Registration) => {
        const line = make("li", {}, `${moment(registration.registeredAt)}, by ${registration.publisher}: `);
        if (registration.id === own) line.append("this one");
        else
          line.append(
            make("a", {
              href: addressOf(registration.id, this.#asked.node),
              className: "address",
              textContent: registration.id,
            }),
          );
        return line;
      }),
    );
    show(byId("title-listed"), true);
  }

  #save(): void {
    if (!this.#shown) return;
    const { words, redemptions } = this.#shown;
    const url = URL.createObjectURL(new Blob([titleCSV(words.name, redemptions, this.#token)], { type: "text/csv" }));
    make("a", { href: url, download: "piecework-title.csv" }).click();
    setTimeout(() => URL.revokeObjectURL(url), 10_000);
    announce("Saved");
  }
}

/** A line of a table that keeps its roles on a phone, where it is drawn as a block. */
function rowOf(cells: [name: string, text: string, className: string][]): HTMLElement {
  const row = make("tr", {});
  row.setAttribute("role", "row");
  for (const [name, textContent, className] of cells) {
    const cell = make("td", { textContent, className });
    cell.setAttribute("role", "cell");
    cell.dataset.label = name;
    row.append(cell);
  }
  return row;
}

/** Fills a table, a page of lines at a time. */
function inPages<T>(body: HTMLElement, more: HTMLElement, lines: T[], row: (line: T) => HTMLElement): void {
  let shown = 0;
  body.replaceChildren();
  const next = () => {
    body.append(...lines.slice(shown, shown + PAGE).map(row));
    shown += PAGE;
    show(more, lines.length > shown);
  };
  more.onclick = next;
  next();
}

/** A moment of the chain, by the calendar of UTC as in the tables. */
function moment(seconds: number): string {
  const text = new Date(seconds * 1000).toISOString().replace("T", " ").slice(0, -8);
  return `${text} UTC`;
}

/** Hundredths of a percent. */
function percentOf(bps: number): string {
  return `${bps / 100} %`;
}

async function start(): Promise<void> {
  offerTheme();
  const { payment } = await load();
  if (!payment) throw new ConfigError("This site has no payments set up, so no title of it is on a chain.");
  await new Page(payment).open();
}

start().catch((error: unknown) => {
  setText(byId("title-reason"), reason(error));
  show(byId("title-failed"), true);
  byId("title-again").addEventListener("click", () => location.reload());
  show(byId("title-node-box"), false);
  document.body.dataset.view = "failed";
});
