import { serve, withOperations } from "./server.js";
import { Store } from "./store.js";

const store = new Store(process.env.DATA_DIR ?? "/data");
const routes = (method, path, body) => store.routes(method, path, body);
await serve(withOperations(routes, () => store.problem()));
