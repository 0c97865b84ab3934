"""The JSON service: a thin layer over the journal."""

import json
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from ledger.invoice import Invoice, Line
from ledger.journal import Journal
from ledger.money import amount

PORT = 8060


class Service:
    """Answers requests given as method, path and decoded body, with a status and a body."""

    def __init__(self, journal: Journal | None = None) -> None:
        self.journal = Journal() if journal is None else journal
        self._routes: dict[tuple[str, str], Callable[[Any], tuple[int, Any]]] = {
            ("GET", "/health"): lambda _: (200, {"ok": True, "bookings": len(self.journal)}),
            ("GET", "/balance"): lambda _: (200, {k: str(v) for k, v in self.journal.balance().items()}),
            ("POST", "/invoices"): self._invoice,
            ("POST", "/payments"): self._payment,
        }

    def answer(self, method: str, path: str, body: Any = None) -> tuple[int, Any]:
        route = self._routes.get((method, path))
        if route is None:
            return 404, {"error": f"nothing at {method} {path}"}
        try:
            return route(body)
        except (KeyError, TypeError, ValueError) as error:
            return 400, {"error": str(error)}

    def _invoice(self, body: Any) -> tuple[int, Any]:
        lines = tuple(Line(line["text"], amount(line["net"]), line.get("kind", "goods")) for line in body["lines"])
        invoice = Invoice(body["number"], lines)
        self.journal.book_invoice(invoice)
        return 201, {"number": invoice.number, "gross": str(invoice.gross), "tax": str(invoice.tax)}

    def _payment(self, body: Any) -> tuple[int, Any]:
        self.journal.book_payment(body["invoice"], amount(body["amount"]))
        return 201, {"invoice": body["invoice"]}


def serve(service: Service, port: int = PORT) -> None:
    """Answer on 127.0.0.1 until stopped."""

    class Handler(BaseHTTPRequestHandler):
        def _handle(self) -> None:
            length = int(self.headers.get("Content-Length", 0))
            body = json.loads(self.rfile.read(length)) if length else None
            status, answer = service.answer(self.command, self.path, body)
            data = json.dumps(answer).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        do_GET = do_POST = _handle

    ThreadingHTTPServer(("127.0.0.1", port), Handler).serve_forever()
