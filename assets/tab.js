// Gives this tab a name that outlives a refresh, and hands it to the server beside what the browser is known by.
(owner, tab) => {
  try {
    const name = sessionStorage.getItem("wuerst-tab") || `${Date.now()}-${Math.random()}`;
    sessionStorage.setItem("wuerst-tab", name);
    return [owner, name];
  } catch {
    return [owner, `${Math.random()}`]; // a browser that keeps nothing finds nothing again
  }
}
