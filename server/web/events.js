// Server-sent events out of an answer's body. EventSource would do the same, but cannot send a key.

/** Yields `{ id, name, data }` for every event of a stream of bytes; `id` is `""` for an event without one. */
export async function* events(body) {
  const reader = body.pipeThrough(new TextDecoderStream()).getReader();
  let text = "";
  for (;;) {
    const { done, value } = await reader.read();
    if (done) return;
    const blocks = (text + value).split("\n\n");
    text = blocks.pop();
    for (const block of blocks) {
      const event = parse(block);
      if (event.data) yield { ...event, data: JSON.parse(event.data) };
    }
  }
}

/** The server ends lines with a line feed alone, and writes every event's data in one line. */
function parse(block) {
  const event = { id: "", name: "message", data: "" };
  for (const line of block.split("\n")) {
    const [, field, value] = /^(\w*): ?(.*)$/.exec(line) ?? [];
    if (field === "event") event.name = value;
    else if (field in event) event[field] = value;
  }
  return event;
}
