// Live pictures: while the switch is on, the picture follows the prompt and the settings.
//
// Text is sent at the end of a word, or after a short pause within one. One request is on its way at a time; the newest
// values that are ready to be sent meanwhile are sent when it is answered. The last picture stays until the next is there.
// After a longer pause it is drawn once more at full quality.
window.wuerstLive = (() => {
  const WORD_PAUSE_MS = 250, FINISH_PAUSE_MS = 1000, RETRY_MS = 2000, POLL_MS = 200, SETTLE_MS = 50;
  const TEXTS = { prompt: "prompt", negative_prompt: "negative-prompt" };
  let on = false, settings = {}, typed = {}, request = null, timer = 0, due = null, changedAt = 0;
  let shown = "", drawn = "", finished = "", replaced = null, observer = null;

  const box = () => document.getElementById("live-view");
  const texts = () => {
    const fields = Object.entries(TEXTS).map(([name, id]) => [name, document.querySelector(`#${id} textarea`)]);
    return Object.fromEntries(fields.filter(([, field]) => field).map(([name, field]) => [name, field.value]));
  };
  // What the picture follows beside the texts.
  const settingsOf = ({ prompt: _, negative_prompt: __, new_seed: ___, morph_first: ____, ...others }) => others;
  const generating = () => document.getElementById("generate")?.disabled;
  const note = (words) => {
    const place = box()?.querySelector(".live-note");
    if (place && place.textContent !== words) place.textContent = words;
  };
  const show = (answer, prompt) => {
    const image = box()?.querySelector("img");
    if (!image) return;
    image.src = answer.picture;
    image.alt = prompt;
    box().querySelector("figcaption").textContent = answer.text;
    shown = answer.id;
    note("");
  };
  // Generating replaces the picture, but a generation that brings none gives it back.
  const giveWay = () => {
    const image = box()?.querySelector("img"), src = image?.getAttribute("src");
    if (generating() && src) {
      replaced = { src, state: [shown, drawn, finished] };
      image.removeAttribute("src");
      note("");
      shown = drawn = finished = "";
    } else if (!generating() && replaced) {
      if (!src && !document.querySelector("#status .done")) {
        image.src = replaced.src;
        [shown, drawn, finished] = replaced.state;
      }
      replaced = null;
    }
  };

  const stop = () => {
    clearTimeout(timer);
    timer = 0;
    due = null;
    request?.abort();
    request = null;
  };
  const later = (delay, finish = false) => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      timer = 0;
      send(finish, { ...settings, ...texts() });
    }, delay);
  };
  const changed = (delay) => {
    if (!on) return;
    changedAt = performance.now();
    if (request?.finish) stop();
    later(delay);
  };

  const fetchPicture = async (signal, values, finish) => {
    const body = JSON.stringify({ owner: window.wuerstOwner, tab: await window.wuerstTab, values, finish });
    const options = { method: "POST", headers: { "Content-Type": "application/json" }, body, signal };
    const answer = await fetch(`${window.gradio_config?.root ?? location.origin}/live`, options);
    return { status: answer.status, ...(await answer.json()) };
  };
  const send = async (finish, values) => {
    if (request) {
      due = values;
      return;
    }
    // A generation of this tab goes first, and a page that nobody looks at draws nothing.
    if (generating() || document.hidden) return later(POLL_MS, finish);
    const wanted = JSON.stringify(values);
    if (!values.prompt?.trim() || wanted === finished) return note("");
    const unlessChanged = (delay, toFinish) => timer || later(delay, toFinish);
    const finishInTime = () => unlessChanged(Math.max(0, changedAt + FINISH_PAUSE_MS - performance.now()), true);
    if (wanted === drawn && !finish) return finishInTime();
    const mine = (request = Object.assign(new AbortController(), { finish }));
    const answer = await fetchPicture(mine.signal, values, finish).catch(() => ({ lost: true }));
    if (request !== mine) return; // stopped
    request = null;
    if (answer.picture) {
      show(answer, values.prompt);
      [drawn, finished] = finish ? [drawn, wanted] : [wanted, ""];
    } else if (answer.status !== 409) note(answer.detail ?? box()?.querySelector(".live-note")?.dataset.lost ?? "");
    if (due) {
      const next = due;
      due = null;
      send(false, next);
    } else if (answer.lost || [409, 503].includes(answer.status)) unlessChanged(RETRY_MS, finish);
    else if (answer.picture && !finish) finishInTime();
  };

  // Whether a change of a text leaves the caret in the middle of a word that is being typed. Keyboards of phones compose
  // a word, and report all of it with each key.
  const withinWord = ({ target, isComposing, inputType = "", data }) => {
    const composing = isComposing || inputType.startsWith("insertComposition");
    const key = composing || (/^(insertText|deleteContent)/.test(inputType) && (data ?? "").length < 2);
    return key && /[^\s,.;:!?)"]$/.test(target.value.slice(0, target.selectionStart));
  };
  const edited = (event) => {
    if (!event.target.matches?.(Object.values(TEXTS).map((id) => `#${id} textarea`).join())) return;
    typed = texts();
    changed(withinWord(event) ? WORD_PAUSE_MS : 0);
  };
  document.addEventListener("input", edited);
  document.addEventListener("compositionend", edited);
  // In the capture phase: before Gradio disables the button.
  document.addEventListener("click", (event) => {
    if (event.target.closest?.("#generate")) stop();
  }, true);

  // Whether the switch is on, and whether each generation had a new seed before. It outlasts a reload, which Gradio also
  // makes when a lost connection is back.
  let memory = null;
  const remember = (state) => {
    memory = state;
    try {
      if (state) sessionStorage.setItem("wuerst-live", JSON.stringify(state));
      else sessionStorage.removeItem("wuerst-live");
    } catch {
      // storage is disabled
    }
  };
  const remembered = () => {
    try {
      return JSON.parse(sessionStorage.getItem("wuerst-live"));
    } catch {
      return memory;
    }
  };

  return {
    // The page has been loaded, and its settings are there.
    restore() {
      observer ??= new MutationObserver(giveWay);
      observer.observe(document.getElementById("generate"), { attributeFilter: ["disabled"] });
      if (remembered() && !on) document.querySelector("#live input")?.click();
    },
    // The switch was turned. Returns the seed, and whether each generation has a new one: live pictures keep theirs.
    turn(to, values) {
      stop();
      note("");
      on = to;
      const { freshSeeds = values.new_seed } = remembered() ?? {};
      remember(on && { freshSeeds });
      if (!on) return [values.seed, values.new_seed || freshSeeds];
      settings = settingsOf(values);
      if (!Number.isInteger(settings.seed)) settings.seed = crypto.getRandomValues(new Uint32Array(1))[0];
      typed = texts();
      changed(0);
      return [settings.seed, false];
    },
    // Settings have changed, or a text has, by something else than typing.
    set(values) {
      const others = { ...settingsOf(values), seed: values.seed ?? settings.seed };
      const moved = JSON.stringify(others) !== JSON.stringify(settings);
      settings = others;
      setTimeout(() => {
        const before = JSON.stringify(typed);
        typed = texts(); // by now Gradio has put them into their fields
        if ((moved || JSON.stringify(typed) !== before) && !generating()) changed(0);
      }, SETTLE_MS);
    },
    // One live picture of other values, beside those of the Generate tab: the route's answer with its status.
    fetch: (values) => fetchPicture(undefined, values, false),
    // The id of the picture that is shown, or "".
    get shown() {
      return shown;
    },
  };
})();
