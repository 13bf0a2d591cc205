// Puts two identifiers before the other inputs of an event: the browser's, which outlasts its tabs, and this tab's, which
// outlasts a reload. They are created here, so that the first event of a page has them already.
window.wuerstIdentify = async (owner, tab, ...rest) => {
  const fresh = () => Array.from(crypto.getRandomValues(new Uint32Array(6)), (part) => part.toString(36)).join("-");
  const browser = () => {
    try {
      const name = localStorage.getItem("wuerst-owner") || fresh();
      localStorage.setItem("wuerst-owner", name);
      return name;
    } catch {
      return fresh(); // storage is disabled: nothing can be re-attached
    }
  };
  // A duplicated tab copies the name of the original: the holder of the name's lock keeps it.
  const free = (name) =>
    new Promise((answer) => {
      navigator.locks.request(`wuerst-tab-${name}`, { ifAvailable: true }, (lock) => {
        answer(lock !== null);
        return lock && new Promise(() => {}); // held while the page is open
      }).catch(() => answer(true)); // no locks: names are kept as they are
    });
  const tabName = async () => {
    try {
      let name = sessionStorage.getItem("wuerst-tab") || fresh();
      // Retried for three seconds: the page before a reload may still be closing. Without https there are no locks.
      for (let tries = 0; navigator.locks && !(await free(name)); tries++) {
        if (tries < 30) await new Promise((on) => setTimeout(on, 100));
        else name = fresh();
      }
      sessionStorage.setItem("wuerst-tab", name);
      return name;
    } catch {
      return fresh();
    }
  };
  window.wuerstOwner ??= browser(); // several events of the page run this
  window.wuerstTab ??= tabName();
  return [window.wuerstOwner, await window.wuerstTab, ...rest];
};
