// The WebSocket of a job's terminal: output by its offset, across lost connections.
//
// The first byte of a message is a channel. The payloads of channels 1 and 2 are counted, so a new
// connection begins behind the last byte that came: none is lost, none comes twice. Nor is what is
// typed (`exact_input.js`).

import { ExactInput } from "./exact_input.js";

const PROTOCOL = "v1.channel.jobrunner";
const INPUT = 0;
const OUTPUT = [1, 2];
const SIZE = 4;

// Close codes: the job has ended; the caller may not; the output is cut at a gap.
const ENDED = 1000;
const FORBIDDEN = 1008;
const CUT = 1011;
// Those after which another try would end alike.
const BROKEN = [1002, 1003, 1007, 1009];

// What is answered about a job that is gone, or that the caller may not see any more.
const HOPELESS = [401, 403, 404];

const FIRST_RETRY_MS = 250;
const MAX_RETRY_MS = 10_000;

/** Where to begin so that at most `most` bytes are replayed, and never inside of a gap. */
export function replayFrom(output, most) {
  const offset = Math.max(0, output.Bytes - most);
  return offset + droppedAt(output, offset);
}

/** Where the output goes on behind a gap, as the reason of a close says; null: it doesn't. */
export function offsetInReason(reason) {
  const found = /offset (\d+)/.exec(reason);
  return found ? Number(found[1]) : null;
}

/** How many bytes were dropped where the output goes on from `offset`; 0: it goes on there. */
export function droppedAt(output, offset) {
  const gap = (output.Gaps || []).find(([from, to]) => from <= offset && offset < to);
  return gap ? gap[1] - offset : 0;
}

/** `address(parameters)`: the URL to connect to. `look()`: the job's view, asked for when a connection
 * was refused, since a browser doesn't say why; it fails with a `Problem`. `onState` gets `connecting`, `open`, `lost`,
 * `ended`, or `refused` with a sentence. `mayType`: whether input and sizes are sent. */
export class Channels {
  constructor({ address, offset, mayType, onOutput, onState, look, onGap = () => {}, make = (url, protocol) => new WebSocket(url, protocol) }) {
    Object.assign(this, { address, offset, mayType, onOutput, onState, look, onGap, make });
    this.socket = null;
    this.size = null;
    this.input = new ExactInput((piece) => this.#send(INPUT, piece));
    this.retryMs = FIRST_RETRY_MS;
    this.timer = null;
    this.isOver = false;
  }

  connect() {
    this.onState("connecting");
    const size = this.mayType && this.size ? { rows: this.size.rows, cols: this.size.cols } : {};
    const socket = this.make(this.address({ offset: this.offset, stdin: this.mayType, ...size }), PROTOCOL);
    const asked = this.size;
    let hasOpened = false;
    socket.binaryType = "arraybuffer";
    socket.onopen = () => {
      hasOpened = true;
      this.retryMs = FIRST_RETRY_MS;
      this.onState("open");
      if (asked !== this.size) this.#sendSize();
      this.input.opened();
    };
    socket.onmessage = ({ data }) => {
      const [channel] = new Uint8Array(data, 0, 1);
      if (channel === INPUT) this.input.answered(JSON.parse(new TextDecoder().decode(new Uint8Array(data, 1))));
      if (!OUTPUT.includes(channel)) return;
      const payload = new Uint8Array(data, 1);
      this.offset += payload.length;
      this.onOutput(payload);
    };
    socket.onclose = (event) => this.#closed(socket, event, hasOpened);
    this.socket = socket;
  }

  /** Types `bytes`, now or with the next connection. False: too much waits, and they are left out. */
  type(bytes) {
    return !this.mayType || this.isOver || this.input.type(bytes);
  }

  /** How many bytes were typed that the job isn't known to have. */
  get untaken() {
    return this.input.waiting;
  }

  /** The size that the terminal has from now on. */
  resize(rows, cols) {
    this.size = { rows, cols };
    if (this.mayType && this.#isOpen()) this.#sendSize();
  }

  close() {
    this.isOver = true;
    clearTimeout(this.timer);
    if (this.socket) this.socket.close();
  }

  #isOpen() {
    return this.socket !== null && this.socket.readyState === 1;
  }

  #sendSize() {
    this.#send(SIZE, new TextEncoder().encode(JSON.stringify({ Width: this.size.cols, Height: this.size.rows })));
  }

  #send(channel, bytes) {
    const message = new Uint8Array(bytes.length + 1);
    message[0] = channel;
    message.set(bytes, 1);
    this.socket.send(message);
  }

  async #closed(socket, { code, reason }, hasOpened) {
    if (this.isOver || socket !== this.socket) return;
    this.socket = null;
    this.input.lost();
    if (code === ENDED) return this.#over("ended");
    if (code === FORBIDDEN) return this.#over("refused", reason || "The connection was refused.");
    if (BROKEN.includes(code)) return this.#over("refused", reason || "The connection was broken off.");
    this.onState("lost");
    const next = code === CUT ? offsetInReason(reason) : null;
    if (next !== null) this.#skip(next - this.offset);
    if (!hasOpened && (await this.#isHopeless())) return;
    this.timer = setTimeout(() => this.connect(), this.retryMs);
    this.retryMs = Math.min(2 * this.retryMs, MAX_RETRY_MS);
  }

  /** Whether another try would be refused, too. */
  async #isHopeless() {
    try {
      const view = await this.look();
      this.#skip(droppedAt(view.Output, this.offset));
    } catch (problem) {
      if (HOPELESS.includes(problem.status) && !this.isOver) this.#over("refused", problem.message);
    }
    return this.isOver;
  }

  #skip(bytes) {
    if (bytes <= 0) return;
    this.onGap(bytes);
    this.offset += bytes;
  }

  #over(state, why) {
    this.isOver = true;
    this.onState(state, why);
  }
}
