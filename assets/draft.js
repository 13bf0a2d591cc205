// Keeps what is typed in this tab until the tab is closed: a page that comes back after a lost connection is a new one.
(prompt, negative) => {
  if (window.wuerstDraft === undefined) return; // what had been typed before has not been read yet
  try {
    sessionStorage.setItem("wuerst-draft", JSON.stringify([location.search, { prompt, negative_prompt: negative }]));
  } catch {
    // a browser that keeps nothing
  }
}
