/** Where a data set can be dropped, which is uploaded and becomes that of the spec. */

import { useState } from "preact/hooks";

import { uploadDataset } from "../api/upload";
import { share } from "../model/format";

export function DroppedDataset({ onReady }: { onReady: (uri: string) => void }) {
  const [told, setTold] = useState("");
  const [refusal, setRefusal] = useState("");
  const [isOver, setOver] = useState(false);

  async function upload(file: File | undefined): Promise<void> {
    setOver(false);
    if (!file) return;
    setRefusal("");
    try {
      const { uri } = await uploadDataset(file, (doing, done) =>
        setTold(`${doing} ${file.name}: ${share(done, 0)}`),
      );
      setTold(`${file.name} is uploaded, and the spec names it`);
      onReady(uri);
    } catch (error) {
      setTold("");
      setRefusal(`${file.name}: ${(error as Error).message}`);
    }
  }

  return (
    <label
      class={isOver ? "drop over" : "drop"}
      onDragOver={(event) => {
        event.preventDefault();
        setOver(true);
      }}
      onDragLeave={() => setOver(false)}
      onDrop={(event) => {
        event.preventDefault();
        void upload(event.dataTransfer?.files[0]);
      }}
    >
      <span>
        Drop a data set here, or <span class="link">choose a file</span>
      </span>
      <input
        type="file"
        class="hidden"
        onChange={(event) => void upload(event.currentTarget.files?.[0])}
      />
      <span class="small" role="status">
        {told}
      </span>
      <span class="small bad" role="alert">
        {refusal}
      </span>
    </label>
  );
}
