/** Keeps the end of the chat in sight while it grows, and lets go when the reader scrolls up. */

const NEAR = 60;

export class Follower {
  /** @param {HTMLButtonElement} button that leads back to the end */
  constructor(button) {
    this.button = button;
    this.following = true;
    this.top = 0;
    button.addEventListener("click", () => this.jump());
    addEventListener("scroll", () => this.#scrolled(), { passive: true });
    new ResizeObserver(() => this.changed()).observe(document.body);
  }

  /** Goes to the end, and stays there. */
  jump() {
    this.following = true;
    this.changed();
  }

  /** Stays where one is. */
  release() {
    this.following = false;
    this.changed();
  }

  /** Something grew. */
  changed() {
    if (this.following) scrollTo({ top: document.documentElement.scrollHeight, behavior: "instant" });
    this.#showButton();
  }

  #distance() {
    const { scrollHeight, clientHeight } = document.documentElement;
    return scrollHeight - clientHeight - scrollY;
  }

  #scrolled() {
    // Only a movement upwards is the reader's wish: downwards the page moves by itself, too.
    if (scrollY < this.top - 2 && this.#distance() > NEAR) this.following = false;
    else if (this.#distance() < NEAR) this.following = true;
    this.top = scrollY;
    this.#showButton();
  }

  #showButton() {
    this.button.hidden = this.following || this.#distance() < NEAR;
  }
}
