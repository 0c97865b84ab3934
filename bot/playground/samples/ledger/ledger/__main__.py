"""The command line: `python3 -m ledger`."""

import argparse
import sys

from ledger.money import amount
from ledger.service import PORT, Service, serve
from ledger.tax import tax_on


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="ledger", description="The books of a small shop")
    commands = parser.add_subparsers(dest="command", required=True)
    serving = commands.add_parser("serve", help="run the JSON service")
    serving.add_argument("--port", type=int, default=PORT)
    taxing = commands.add_parser("tax", help="show what an amount costs with tax")
    taxing.add_argument("net", type=amount)
    taxing.add_argument("--kind", default="goods")
    options = parser.parse_args(arguments)
    if options.command == "serve":
        print(f"ledger at http://127.0.0.1:{options.port}")
        serve(Service(), options.port)
    else:
        tax = tax_on(options.net, options.kind)
        print(f"net {options.net}  tax {tax}  gross {options.net + tax}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
