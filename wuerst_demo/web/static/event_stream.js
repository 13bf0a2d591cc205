// Lets no answer of Gradio's server get lost. The server ends the stream of answers when no event waits for one, and the
// page opens another with its next event. An event that is sent while the end is on its way would get no answer: the page
// believes that the stream is open still. So the page has one stream for all its time here, and behind it a connection
// whenever an event waits.
(() => {
  const send = window.fetch, encoder = new TextEncoder();
  const waiting = new Set(); // events that have been sent, until their last answer
  const ended = new Set(); // events whose last answer came before the answer to their sending
  let resume = () => {};

  const sendEvent = async (...request) => {
    const response = await send(...request);
    const { event_id: id } = response.ok ? await response.clone().json().catch(() => ({})) : {};
    if (id && !ended.delete(id)) {
      waiting.add(id);
      resume();
    }
    return response;
  };

  // Takes note of a message, and returns whether it ends the connection.
  const isEnd = (text) => {
    if (!/"(process_completed|unexpected_error|close_stream)"/.test(text)) return false;
    const { msg, event_id: id } = JSON.parse(text.slice(text.indexOf("{")));
    if (msg === "process_completed" && !waiting.delete(id)) ended.add(id);
    if (msg === "unexpected_error") waiting.clear();
    return msg === "close_stream";
  };

  const openStream = async (...request) => {
    const template = new Request(...request);
    const connect = () => send(template.clone());
    const first = await connect();
    if (!first.ok) return first;
    // Gradio's page takes a message at the next timer, or at once while the tab is hidden: one that comes when the tab has
    // just been hidden would overtake the last one.
    let shown = true;
    const keepOrder = async () => {
      const hidden = document.visibilityState === "hidden";
      if (shown && hidden) await new Promise((on) => setTimeout(on, 0));
      shown = !hidden;
    };
    const read = async (response, page) => {
      if (!response.ok) throw new Error(`The stream of answers was refused: ${response.status}`);
      const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
      for (let rest = ""; ; ) {
        const { value, done } = await reader.read();
        if (done) throw new Error("The stream of answers ended early.");
        const messages = (rest + value).split("\n\n");
        rest = messages.pop();
        for (const text of messages) {
          await keepOrder();
          if (isEnd(text)) return;
          page.enqueue(encoder.encode(`${text}\n\n`));
        }
      }
    };
    const follow = async (response, page) => {
      resume = () => {}; // one connection at a time
      try {
        await read(await response, page);
        resume = () => template.signal.aborted || follow(connect(), page);
        if (waiting.size) resume();
      } catch (error) {
        waiting.clear();
        page.error(error);
      }
    };
    return new Response(new ReadableStream({ start: (page) => void follow(first, page) }), { headers: first.headers });
  };

  window.fetch = (...request) => {
    const { pathname } = new URL(request[0].url ?? request[0], location.href);
    if (pathname.endsWith("/queue/join")) return sendEvent(...request);
    return pathname.endsWith("/queue/data") ? openStream(...request) : send(...request);
  };
})();
