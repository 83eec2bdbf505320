import { expect, test } from "vitest";

import { sseParser } from "../src/model/sse";

test("frames are read over the borders of pieces, and comments are none", () => {
  const parse = sseParser();
  expect(parse("retry: 2000\n\n: keep\n\nid: 5\nevent: job.cha")).toEqual([]);
  expect(parse('nged\ndata: {"a": 1}\n\nid: 6\n')).toEqual([
    { id: "5", event: "job.changed", data: '{"a": 1}' },
  ]);
  expect(parse("data: x\ndata: y\n\n")).toEqual([{ id: "6", event: "", data: "x\ny" }]);
});
