import { routes } from "./routes.js";
import { serve, withOperations } from "./server.js";

await serve(withOperations(routes));
