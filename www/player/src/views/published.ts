/** Who published a title, beside its price: the package's own card in the page. */

import type { TitleCard } from "piecework/title";
import { byId, show } from "../dom.ts";
import type { Title } from "../engine.ts";

/** The place of the card. It is empty where nothing is ever paid, and until the card's code is loaded. */
export class Published {
  readonly #box = byId("published");
  #card: TitleCard | null = null;
  #title: Title | null = null;

  /** Shows this title's card; `null`: none. */
  begin(title: Title | null): void {
    this.#card?.end();
    this.#card?.element.remove();
    this.#card = null;
    this.#title = title;
    show(this.#box, title !== null);
    // Without the card's code the page says at the button why nothing is bought.
    title?.card().then(
      (card) => this.#show(title, card),
      () => show(this.#box, false),
    );
  }

  #show(title: Title, card: TitleCard): void {
    if (this.#title !== title) {
      card.end();
      return;
    }
    this.#card = card;
    this.#box.append(card.element);
  }
}
