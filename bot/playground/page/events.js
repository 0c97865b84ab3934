/** The live connection: one WebSocket that comes back by itself, with a growing pause between tries. */

const FIRST_PAUSE_MS = 300;
const LONGEST_PAUSE_MS = 5000;

export class Events {
  /**
   * @param {() => string} address asked anew for each try
   * @param {{opened: () => void, lost: () => void, received: (event: any) => void}} listener
   */
  constructor(address, listener) {
    this.address = address;
    this.listener = listener;
    this.pause = FIRST_PAUSE_MS;
    /** @type {WebSocket | null} */
    this.socket = null;
    this.timer = 0;
    addEventListener("online", () => this.hurry());
    document.addEventListener("visibilitychange", () => document.hidden || this.hurry());
  }

  /** Open a fresh connection in place of the present one. */
  connect() {
    clearTimeout(this.timer);
    this.timer = 0;
    this.drop();
    const socket = new WebSocket(this.address());
    this.socket = socket;
    socket.onopen = () => {
      this.pause = FIRST_PAUSE_MS;
      this.listener.opened();
    };
    socket.onmessage = (message) => this.listener.received(JSON.parse(message.data));
    socket.onclose = () => this.closed();
  }

  drop() {
    if (!this.socket) return;
    this.socket.onopen = this.socket.onmessage = this.socket.onclose = null;
    this.socket.close();
    this.socket = null;
  }

  closed() {
    this.socket = null;
    this.listener.lost();
    this.timer = setTimeout(() => this.connect(), this.pause);
    this.pause = Math.min(this.pause * 2, LONGEST_PAUSE_MS);
  }

  /** Try at once, instead of after the pause, when there is reason to think it works now. */
  hurry() {
    if (this.timer && this.socket === null) this.connect();
  }
}
