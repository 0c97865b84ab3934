/** The playground's HTTP API, and the token that opens it. */

/** @typedef {import("./model.js").State} State @typedef {import("./model.js").Message} Message */

const KEPT_AS = "playground.token";

/** A request the playground refused (with its HTTP status) or never answered (status 0). */
export class ApiError extends Error {
  /** @param {string} message @param {number} status */
  constructor(message, status) {
    super(message);
    this.status = status;
  }
}

/**
 * Take the token out of the address bar into this tab's storage, so that it is not copied along with the address.
 * @returns {string | null}
 */
export function takeToken() {
  const address = new URL(location.href);
  const given = address.searchParams.get("token");
  if (given === null) return sessionStorage.getItem(KEPT_AS);
  sessionStorage.setItem(KEPT_AS, given);
  address.searchParams.delete("token");
  history.replaceState(null, "", address);
  return given;
}

/** Calls to the page API and the control API in the name of whoever holds the token. */
export class Api {
  /** @param {string} token */
  constructor(token) {
    this.token = token;
  }

  /** @returns {Promise<{users: {id: string, github: string | null}[], bot: {id: string}}>} */
  people() {
    return this.get("/control/state", {});
  }

  /** @param {string} user @returns {Promise<State>} */
  state(user) {
    return this.get("/page/state", { user });
  }

  /**
   * @param {string} user
   * @param {string} channel
   * @param {string} [thread] its root's ts
   * @returns {Promise<{messages: Message[], statuses: Record<string, import("./model.js").Status>}>}
   */
  messages(user, channel, thread) {
    return this.get("/page/messages", thread ? { user, channel, thread_ts: thread } : { user, channel });
  }

  /**
   * @param {"message" | "edit" | "delete" | "react" | "click" | "command" | "stop"} action
   * @param {Record<string, unknown>} body
   * @returns {Promise<any>}
   */
  act(action, body) {
    return this.send(`/control/${action}`, {
      method: "POST",
      headers: { "Content-Type": "application/json" },
      body: JSON.stringify(body),
    });
  }

  /** @param {string} user @param {string} id @returns {Promise<Blob>} the content of a file */
  async file(user, id) {
    const reply = await this.ask(`/page/file?${new URLSearchParams({ user, id })}`, {});
    if (!reply.ok) throw new ApiError("This file is not here any more.", reply.status);
    return reply.blob();
  }

  /** @param {string} user @returns {string} where the events of this person's view come from */
  eventsAddress(user) {
    const address = new URL("/page/events", location.href);
    address.protocol = address.protocol === "https:" ? "wss:" : "ws:";
    address.search = new URLSearchParams({ user, token: this.token }).toString();
    address.hash = "";
    return address.href;
  }

  /** @param {string} path @param {Record<string, string>} query */
  get(path, query) {
    return this.send(`${path}?${new URLSearchParams(query)}`, {});
  }

  /** @param {string} path @param {RequestInit} init */
  async ask(path, init) {
    const headers = { ...init.headers, "X-Playground-Token": this.token };
    return fetch(path, { ...init, headers, cache: "no-store" }).catch(() => {
      throw new ApiError("The playground does not answer. Is it still running?", 0);
    });
  }

  /** @param {string} path @param {RequestInit} init */
  async send(path, init) {
    const reply = await this.ask(path, init);
    const body = await reply.json().catch(() => ({}));
    if (!reply.ok) throw new ApiError(body.error || `The playground answered ${reply.status}.`, reply.status);
    return body;
  }
}
