// Copies the page's address followed by `link`. Returns whether that succeeded.
async (link) => {
  const address = location.origin + location.pathname + link;
  try {
    await navigator.clipboard.writeText(address);
    return true;
  } catch {
    // Without https there is no clipboard API; execCommand still works.
    const field = document.createElement("textarea");
    field.value = address;
    document.body.append(field);
    field.select();
    const copied = document.execCommand("copy");
    field.remove();
    return copied;
  }
}
