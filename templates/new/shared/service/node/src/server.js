// Health check, metrics and the end of the service, around its routes.
import { createServer } from "node:http";

/** How long open requests may take after the service was asked to stop, in milliseconds. */
const SHUTDOWN_TIME = 20_000;

/** The number of {{ counter }}, for the metrics. */
export const counters = { {{ counter }}: 0 };

/** Adds the health check and the metrics to the routes: (method, path, body) => [status, body]. */
export function withOperations(routes, problem = () => undefined) {
  return async (method, path, body) => {
    if (method === "GET" && path === "/healthz") {
      const found = problem();
      return found ? [503, found] : [200, "ok\n"];
    }
    if (method === "GET" && path === "/metrics") {
      return [200, `# TYPE {{ metric }} counter\n{{ metric }} ${counters.{{ counter }}}\n`];
    }
{%- if template != "worker" %}
    counters.{{ counter }} += 1;
{%- endif %}
    return routes(method, path, body);
  };
}

/** Answers requests until SIGTERM or SIGINT, and then finishes the open ones. */
export async function serve(routes, port = Number(process.env.PORT ?? 8080)) {
  const server = createServer((request, response) => respond(routes, request, response));
  await new Promise((resolve, reject) => {
    server.once("error", reject).listen(port, resolve);
  });
  console.log(`listening on port ${server.address().port}`);
  const stop = () => {
    console.log("stopping");
    server.close();
    server.closeIdleConnections();
    setTimeout(() => server.closeAllConnections(), SHUTDOWN_TIME).unref();
  };
  for (const signal of ["SIGTERM", "SIGINT"]) process.once(signal, stop);
  return server;
}

async function respond(routes, request, response) {
  try {
    const chunks = [];
    for await (const chunk of request) chunks.push(chunk);
    const [status, body] = await routes(request.method, request.url, Buffer.concat(chunks));
    response.writeHead(status).end(body);
  } catch (error) {
    console.error("failed:", error);
    if (!response.headersSent) response.writeHead(500);
    response.end();
  }
}
