import { existsSync } from "node:fs";
import { open, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";

/** The size limit of a value, in bytes. */
const LONGEST = 1 << 20;

/** Keeps each value in a file of a folder. */
export class Store {
  #written = 0;

  constructor(folder) {
    this.folder = folder;
  }

  async routes(method, path, body) {
    if (!/^\/keys\/./.test(path)) return [404, "not found\n"];
    const file = this.#file(path.slice("/keys/".length));
    try {
      if (method === "GET") return [200, await readFile(file)];
      if (method === "PUT" && body.length > LONGEST) return [413, "the value is too large\n"];
      if (method === "PUT") await this.#put(file, body);
      else if (method === "DELETE") await rm(file);
      else return [405, "method not allowed\n"];
    } catch (error) {
      if (error.code === "ENOENT") return [404, "not found\n"];
      throw error;
    }
    return [204, ""];
  }

  /** Replaces a value as a whole: a crash leaves the old value or the new one. */
  async #put(file, value) {
    const path = join(this.folder, `.new-${process.pid}-${this.#written++}`);
    const written = await open(path, "w");
    try {
      await written.writeFile(value);
      await written.sync();
    } finally {
      await written.close();
    }
    await rename(path, file);
  }

  /** The file of a key. Its prefix keeps keys apart from temporary files. */
  #file(key) {
    return join(this.folder, `key-${encodeURIComponent(key)}`);
  }

  /** Why the store is not healthy. */
  problem() {
    return existsSync(this.folder) ? undefined : "its folder does not exist\n";
  }
}
