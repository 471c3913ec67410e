// Numbers from a seed (a 32-bit counter through a mixing function), the same everywhere.

export class Dice {
  #state;

  constructor(seed) {
    this.#state = seed >>> 0;
  }

  /** A number from 0 to below 1. */
  roll() {
    this.#state = (this.#state + 0x9e3779b9) >>> 0;
    let mixed = this.#state;
    for (const [shift, factor] of [[16, 0x21f0aaad], [15, 0x735a2d97]]) mixed = Math.imul(mixed ^ (mixed >>> shift), factor) >>> 0;
    return ((mixed ^ (mixed >>> 15)) >>> 0) / 2 ** 32;
  }

  chance(share) {
    return this.roll() < share;
  }

  /** One of a list. */
  one(list) {
    return list[Math.floor(this.roll() * list.length)];
  }

  /** A list of `least` to `most` things made one after the other. */
  times(least, most, make) {
    return Array.from({ length: least + Math.floor(this.roll() * (most - least + 1)) }, (_, at) => make(at));
  }
}
