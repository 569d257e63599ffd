// What is typed into a job: each byte once and in order, across lost connections.
//
// Each piece says how many bytes of input the job must have taken before. One is under way at a time,
// and is kept until it is answered; what is typed meanwhile goes with the next one. After a lost
// connection the same piece is sent again, at the same offset: if the job has it, it is refused, and
// the offset in the answer says so. Only when others type while a connection is lost can their bytes be
// taken for those of the piece.

// Bytes of a piece; the service takes so many whole, or not at all.
const MAX_PIECE = 65_536;
// Bytes that wait for a connection, or for the job to read.
const MAX_WAITING = 4 << 20;
const OFFSET_BYTES = 8;

/** A piece as it is sent: its offset in 8 bytes, then the input. */
export function pieceAt(offset, bytes) {
  const message = new Uint8Array(OFFSET_BYTES + bytes.length);
  new DataView(message.buffer).setBigUint64(0, BigInt(offset));
  message.set(bytes, OFFSET_BYTES);
  return message;
}

/** `send(message)` sends one, while there is a connection. */
export class ExactInput {
  constructor(send) {
    this.send = send;
    this.isOpen = false;
    this.offset = null; // how much the job has taken; null: not asked for
    this.typed = [];
    this.waiting = 0; // bytes that the job isn't known to have
    this.piece = null; // under way: its bytes, and whether an earlier connection was lost under it
  }

  /** Whether `bytes` are kept: too much may wait already. */
  type(bytes) {
    if (this.waiting + bytes.length > MAX_WAITING) return false;
    this.typed.push(bytes);
    this.waiting += bytes.length;
    this.#next();
    return true;
  }

  opened() {
    this.isOpen = true;
    if (this.piece) this.#say();
    else this.#next();
  }

  lost() {
    this.isOpen = false;
    if (this.piece) this.piece.isRepeat = true;
  }

  /** The answer to the piece under way. */
  answered({ Offset, Refused, Closed = false }) {
    const { bytes, isRepeat } = this.piece;
    const isTaken = !Refused || (isRepeat && Offset >= this.offset + bytes.length);
    this.offset = Offset;
    if (!isTaken && Closed) return; // nor would it be at another offset
    if (!isTaken) {
      // Others have typed, or this is the first offset that is known: nothing of it was written.
      this.piece.isRepeat = false;
      return this.#say();
    }
    this.piece = null;
    this.waiting -= bytes.length;
    this.#next();
  }

  #next() {
    if (!this.isOpen || this.piece || !this.waiting) return;
    this.piece = { bytes: this.offset === null ? new Uint8Array() : this.#take(), isRepeat: false };
    this.#say();
  }

  #say() {
    this.send(pieceAt(this.offset ?? 0, this.piece.bytes));
  }

  #take() {
    const taken = [];
    let room = MAX_PIECE;
    while (this.typed.length && room) {
      const part = this.typed[0].subarray(0, room);
      taken.push(part);
      room -= part.length;
      if (part.length < this.typed[0].length) this.typed[0] = this.typed[0].subarray(part.length);
      else this.typed.shift();
    }
    const piece = new Uint8Array(MAX_PIECE - room);
    let at = 0;
    for (const part of taken) {
      piece.set(part, at);
      at += part.length;
    }
    return piece;
  }
}
