/** SHA-256 of bytes that come in parts. The browser's own takes only what fits in memory. */

const K = new Uint32Array(64);
const START = new Uint32Array(8);

// The first bits of the fractions of roots of the first primes (FIPS 180-4).
for (let candidate = 2, found = 0; found < 64; candidate += 1) {
  let isPrime = true;
  for (let d = 2; d * d <= candidate; d += 1) isPrime &&= candidate % d !== 0;
  if (!isPrime) continue;
  if (found < 8) START[found] = (candidate ** 0.5 % 1) * 2 ** 32;
  K[found] = (Math.cbrt(candidate) % 1) * 2 ** 32;
  found += 1;
}

const rotated = (x: number, n: number) => (x >>> n) | (x << (32 - n));

export class Sha256 {
  private readonly state = START.slice();
  private readonly words = new Uint32Array(64);
  private readonly block = new Uint8Array(64);
  private filled = 0;
  private length = 0;

  update(bytes: Uint8Array): this {
    this.length += bytes.length;
    for (let from = 0; from < bytes.length; ) {
      const some = bytes.subarray(from, from + 64 - this.filled);
      this.block.set(some, this.filled);
      this.filled += some.length;
      from += some.length;
      if (this.filled === 64) this.compress();
    }
    return this;
  }

  /** The digest as `sha256sum` prints it. Nothing can be added after it. */
  hex(): string {
    const bits = this.length * 8;
    this.update(Uint8Array.of(0x80));
    while (this.filled !== 56) this.update(Uint8Array.of(0));
    const view = new DataView(this.block.buffer);
    view.setUint32(56, Math.floor(bits / 2 ** 32));
    view.setUint32(60, bits >>> 0);
    this.compress();
    return [...this.state].map((word) => word.toString(16).padStart(8, "0")).join("");
  }

  private compress(): void {
    const { state, words } = this;
    const view = new DataView(this.block.buffer);
    const w = (index: number) => words[index] as number;
    for (let t = 0; t < 16; t += 1) words[t] = view.getUint32(4 * t);
    for (let t = 16; t < 64; t += 1) {
      const x = w(t - 15);
      const y = w(t - 2);
      const low = rotated(x, 7) ^ rotated(x, 18) ^ (x >>> 3);
      const high = rotated(y, 17) ^ rotated(y, 19) ^ (y >>> 10);
      words[t] = w(t - 16) + low + w(t - 7) + high;
    }
    let [a, b, c, d, e, f, g, h] = state as unknown as [
      number, number, number, number, number, number, number, number,
    ];
    for (let t = 0; t < 64; t += 1) {
      const high = rotated(e, 6) ^ rotated(e, 11) ^ rotated(e, 25);
      const one = (h + high + ((e & f) ^ (~e & g)) + (K[t] as number) + w(t)) | 0;
      const low = rotated(a, 2) ^ rotated(a, 13) ^ rotated(a, 22);
      const two = (low + ((a & b) ^ (a & c) ^ (b & c))) | 0;
      [h, g, f, e, d, c, b, a] = [g, f, e, (d + one) | 0, c, b, a, (one + two) | 0];
    }
    [a, b, c, d, e, f, g, h].forEach((value, index) => {
      state[index] = (state[index] as number) + value;
    });
    this.filled = 0;
  }
}
