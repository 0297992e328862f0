import { serve, withOperations } from "./server.js";
import { Worker } from "./worker.js";

const worker = new Worker();
const stopped = new AbortController();
const server = await serve(withOperations(() => [404, "not found\n"], () => worker.problem()));
server.once("close", () => stopped.abort());
await worker.run(stopped.signal);
