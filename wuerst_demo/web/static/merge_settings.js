// Fills in the settings that were restored while the page was loading, except in what was changed meanwhile. `names` and
// `defaults` are those of the controls, whose present values follow.
(names, defaults) => (restored, ...values) => {
  const settings = JSON.parse(restored || "{}");
  const untouched = (value, initial) => value === initial || (initial === null && !value); // a number begins as 0
  return names.map((name, at) => (name in settings && untouched(values[at], defaults[at]) ? settings[name] : values[at]));
}
