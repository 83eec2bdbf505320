/** Server-sent events, parsed from pieces of text. */

export interface Frame {
  id: string;
  event: string;
  data: string;
}

/** Return a function that takes the next piece and returns the frames that it completes. */
export function sseParser(): (piece: string) => Frame[] {
  let rest = "";
  let fields: Partial<Frame> = {};
  return (piece) => {
    const lines = (rest + piece).split("\n");
    rest = lines.pop() ?? "";
    const frames: Frame[] = [];
    for (const line of lines) {
      if (line === "" || line === "\r") {
        // A comment and the field `retry` have no data.
        if (fields.data !== undefined) frames.push({ id: "", event: "", data: "", ...fields });
        fields = {};
        continue;
      }
      const colon = line.indexOf(":");
      const name = line.slice(0, colon);
      const value = line.slice(colon + 1).trim();
      if (name === "id" || name === "event") fields[name] = value;
      else if (name === "data") fields.data = fields.data === undefined ? value : `${fields.data}\n${value}`;
    }
    return frames;
  };
}
