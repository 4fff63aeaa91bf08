/** Who published a title, beside its price: the package's own card in the page. */

import type { TitleCard } from "piecework/title";
import { byId, show } from "../dom.ts";
import type { Title } from "../engine.ts";

/** The place of the card. It is empty where nothing is sold, and until the card's code is loaded. */
export class Published {
  readonly #box = byId("published");
  #card: TitleCard | null = null;
  #title: Title | null = null;

  /** Shows this title's card; `null`: none. */
  show(title: Title | null): void {
    if (title === this.#title) return;
    this.#card?.end();
    this.#card?.element.remove();
    this.#card = null;
    this.#title = title;
    show(this.#box, title !== null);
    // Without the card's code the page says at the button why nothing is bought.
    title?.card().then(
      (card) => this.#put(title, card),
      () => show(this.#box, false),
    );
  }

  #put(title: Title, card: TitleCard): void {
    if (this.#title !== title) {
      card.end();
      return;
    }
    this.#card = card;
    this.#box.append(card.element);
  }
}
