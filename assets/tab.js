// Gives this tab a name that outlives a refresh, and hands it to the server beside what the browser is known by; with
// it, to whoever asks for that, what had been typed here at the same address (see draft.js).
async (owner, tab, ...draft) => {
  const fresh = () => `${Date.now()}-${Math.random()}`;
  // A tab that is duplicated has the name of the one it was made from: whoever holds the name's lock keeps it.
  const free = (name) =>
    new Promise((answer) => {
      navigator.locks.request(`wuerst-tab-${name}`, { ifAvailable: true }, (lock) => {
        answer(lock !== null);
        return lock && new Promise(() => {}); // held for as long as the page is there
      }).catch(() => answer(true)); // where a browser gives no locks, names are as they are
    });
  const named = async () => {
    try {
      let name = sessionStorage.getItem("wuerst-tab") || fresh();
      // For a second: the page before a refresh may still be on its way out. Without https there are no locks.
      for (let tries = 0; navigator.locks && !(await free(name)); tries++) {
        if (tries < 10) await new Promise((on) => setTimeout(on, 100));
        else name = fresh();
      }
      sessionStorage.setItem("wuerst-tab", name);
      return name;
    } catch {
      return fresh(); // a browser that keeps nothing finds nothing again
    }
  };
  const typed = () => {
    try {
      const [address, text] = JSON.parse(sessionStorage.getItem("wuerst-draft"));
      return address === location.search ? JSON.stringify(text) : "";
    } catch {
      return "";
    }
  };
  // More than one event of the page asks, and what is typed from now on is written over what had been.
  window.wuerstDraft ??= typed();
  window.wuerstTab ??= named();
  const name = await window.wuerstTab;
  return draft.length ? [owner, name, window.wuerstDraft] : [owner, name];
}
