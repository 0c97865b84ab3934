// A small static file server for working on the shop; production uses the CDN.
import { createReadStream, existsSync, statSync } from "node:fs";
import { createServer } from "node:http";
import { extname, join, normalize } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const PORT = 4173;
const TYPES = { ".html": "text/html", ".css": "text/css", ".js": "text/javascript" };

createServer((request, response) => {
  const { pathname } = new URL(request.url, "http://127.0.0.1");
  const file = join(ROOT, normalize(pathname === "/" ? "/index.html" : pathname));
  if (!file.startsWith(ROOT) || !existsSync(file) || !statSync(file).isFile()) {
    response.writeHead(404).end("Not found");
    return;
  }
  response.writeHead(200, { "Content-Type": TYPES[extname(file)] ?? "application/octet-stream" });
  createReadStream(file).pipe(response);
}).listen(PORT, "127.0.0.1", () => console.log(`http://127.0.0.1:${PORT}`));
