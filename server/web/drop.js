// A picture that is dropped on the page, or pasted: its settings go into the form.

import * as api from "./api.js";

/** Calls `found` with the request that made the picture, or `lost` with what was wrong with it. */
export function receive(found, lost) {
  const read = async (file) => {
    try {
      const { source, request } = await api.settings(await base64(file));
      if (source) found(request);
      else lost({ message: "The picture does not say how it was made." });
    } catch (problem) {
      lost({ message: problem.message });
    }
  };
  addEventListener("dragover", (event) => event.preventDefault());
  addEventListener("drop", (event) => {
    event.preventDefault();
    const [file] = event.dataTransfer.files;
    if (file) read(file);
  });
  addEventListener("paste", (event) => {
    const [file] = event.clipboardData.files;
    if (file) read(file);
  });
}

function base64(file) {
  return new Promise((resolve, reject) => {
    const reader = new FileReader();
    reader.onload = () => resolve(reader.result.slice(reader.result.indexOf(",") + 1));
    reader.onerror = () => reject(new Error("The file cannot be read."));
    reader.readAsDataURL(file);
  });
}
