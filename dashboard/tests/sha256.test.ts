import { expect, test } from "vitest";

import { Sha256 } from "../src/model/sha256";

async function expected(bytes: Uint8Array): Promise<string> {
  const digest = await crypto.subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>);
  return [...new Uint8Array(digest)].map((one) => one.toString(16).padStart(2, "0")).join("");
}

test.each([0, 1, 55, 56, 63, 64, 65, 119, 1000])("the digest of %i bytes", async (size) => {
  const bytes = Uint8Array.from({ length: size }, (_, index) => (index * 31) % 256);
  expect(new Sha256().update(bytes).hex()).toBe(await expected(bytes));
});

test("the parts in which the bytes come do not matter", async () => {
  const bytes = Uint8Array.from({ length: 1000 }, (_, index) => index % 251);
  const inParts = new Sha256();
  for (let from = 0; from < 1000; from += 37) inParts.update(bytes.subarray(from, from + 37));
  expect(inParts.hex()).toBe(await expected(bytes));
});
