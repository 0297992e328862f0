import { setTimeout as pause } from "node:timers/promises";

import { counters } from "./server.js";

/** The time between two items, in milliseconds. */
const INTERVAL = 1000;
/** How long an item may take before the worker is not healthy, in milliseconds. */
export const PATIENCE = 60_000;

/** Processes items one after the other. */
export class Worker {
  last = Date.now();

  /** Processes items until the signal aborts; the item in work is finished. */
  async run(signal) {
    while (!signal.aborted) {
      await pause(INTERVAL, undefined, { signal }).catch(() => {});
      if (!signal.aborted) await this.process();
    }
  }

  /** Where the work belongs, such as one message of a queue. */
  async process() {
    counters.items += 1;
    this.last = Date.now();
  }

  /** Why the worker is not healthy. */
  problem() {
    return Date.now() - this.last > PATIENCE ? "no item was processed for a minute\n" : undefined;
  }
}
