/** What the service does. */
export function routes(method, path) {
  if (method === "GET" && path === "/") return [200, "hello from {{ name }}\n"];
  return [404, "not found\n"];
}
