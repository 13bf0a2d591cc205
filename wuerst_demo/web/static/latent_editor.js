// Play with z: edits the maps of a picture's composition in the browser, and has them decoded at once.
// Runs in Gradio's function for a component, where `element` is the component (see explain/latent_editor.py).
const KEPT = "wuerst-latent-editor";
const MAX_UNDO = 50, RETRY_MS = 2000, LARGEST_HALF = 65504;
let editor = null; // of the present report, once it has been opened

const squeeze = async (bytes, stream) =>
  new Uint8Array(await new Response(new Blob([bytes]).stream().pipeThrough(stream)).arrayBuffer());
const fromHalf = (half) => {
  const exponent = (half >> 10) & 31, fraction = half & 1023;
  return (half >> 15 ? -1 : 1) * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -24 * fraction);
};
const scratch = new DataView(new ArrayBuffer(4));
const toHalf = (value) => { // rounded to the nearest, ties to even, like NumPy
  scratch.setFloat32(0, Math.max(-LARGEST_HALF, Math.min(LARGEST_HALF, value)));
  const bits = scratch.getUint32(0), sign = (bits >>> 16) & 0x8000, size = bits & 0x7fffffff;
  if (size < 0x38800000) return sign | Math.round(Math.abs(value) * 2 ** 24);
  return sign | Math.min((size - 0x38000000 + 0xfff + ((size >>> 13) & 1)) >>> 13, 0x7bff);
};

// The composition's text is a safetensors file of one float16 tensor, compressed with zlib, in base64.
const decode = async (text) => {
  const packed = Uint8Array.from(atob(text), (each) => each.charCodeAt(0));
  const file = await squeeze(packed, new DecompressionStream("deflate"));
  const view = new DataView(file.buffer), start = 8 + Number(view.getBigUint64(0, true));
  const [tensor] = Object.values(JSON.parse(new TextDecoder().decode(file.subarray(8, start))));
  const maps = new Float32Array((file.length - start) / 2);
  maps.forEach((_, at) => (maps[at] = fromHalf(view.getUint16(start + 2 * at, true))));
  return { shape: tensor.shape, head: file.slice(0, start), maps };
};
const encode = async (head, maps) => {
  const file = new Uint8Array(head.length + 2 * maps.length), view = new DataView(file.buffer);
  file.set(head);
  maps.forEach((value, at) => view.setUint16(head.length + 2 * at, toHalf(value), true));
  const packed = await squeeze(file, new CompressionStream("deflate"));
  return btoa(Array.from(packed, (byte) => String.fromCharCode(byte)).join(""));
};

// What an edit makes of one map (h rows of w numbers).
const scaled = (factor) => (map) => map.map((value) => factor * value);
const blurred = (map, width, height) => map.map((_, at) => {
  let sum = 0;
  for (const dy of [-1, 0, 1]) for (const dx of [-1, 0, 1]) {
    const x = Math.max(0, Math.min(width - 1, (at % width) + dx));
    const y = Math.max(0, Math.min(height - 1, Math.floor(at / width) + dy));
    sum += map[y * width + x];
  }
  return sum / 9;
});
const EDITS = { blur: blurred, zero: scaled(0), double: scaled(2), halve: scaled(0.5), negate: scaled(-1) };

const find = (selector) => editor.root.querySelector(selector);
const fill = (template, values) => template.replace(/\{(\w+)\}/g, (_, name) => values[name]);
const number = (value) => value.toFixed(1).replace("-", "−");
const planeOf = (map) => {
  const size = editor.width * editor.height;
  return editor.maps.subarray(map * size, (map + 1) * size);
};
const color = (value) => {
  const share = Math.max(0, Math.min(1, (value / editor.limit + 1) / 2));
  return editor.colors[Math.round(share * (editor.colors.length - 1))];
};
const paintCanvas = (canvas, plane) => {
  const context = canvas.getContext("2d");
  plane.forEach((value, at) => {
    context.fillStyle = color(value);
    context.fillRect(at % editor.width, Math.floor(at / editor.width), 1, 1);
  });
};

const brush = () => (Number(find(".brush").value) / 10) * editor.limit;
const unchanged = () => editor.maps.every((value, at) => value === editor.original[at]);
const textOf = async () => (unchanged() ? editor.base : encode(editor.head, editor.maps));
const showCell = () => {
  const [x, y] = editor.cell, output = find("#latent-cell"), cursor = find(".painting").style;
  const value = planeOf(editor.map)[y * editor.width + x];
  output.textContent = fill(output.dataset.cell, { row: y + 1, column: x + 1, value: number(value) });
  for (const [name, share] of [["--x", x / editor.width], ["--y", y / editor.height]]) cursor.setProperty(name, share);
};
const showBrush = () => {
  find(".brush").setAttribute("aria-valuetext", number(brush()));
  find(".brush + i").style.background = color(brush());
};
const showMaps = () => {
  const name = find(".maps").dataset.name;
  editor.root.querySelectorAll(".maps label").forEach((label, map) => {
    const plane = planeOf(map), [low, high] = [Math.min(...plane), Math.max(...plane)].map(number);
    paintCanvas(label.querySelector("canvas"), plane);
    label.querySelector("input").setAttribute("aria-label", fill(name, { map: map + 1, low, high }));
  });
  paintCanvas(find(".painting canvas"), planeOf(editor.map));
  find("[data-edit=undo]").disabled = !editor.past.length;
  find("[data-edit=restore]").disabled = unchanged();
  showCell();
};
const choose = (map) => {
  editor.map = map;
  find(`.maps input[value="${map}"]`).checked = true;
  const other = find(".other");
  for (const option of other.options) option.disabled = Number(option.value) === map;
  if (Number(other.value) === map) other.value = (map + 1) % other.options.length;
  showMaps();
};

const keep = (text) => {
  try {
    sessionStorage.setItem(KEPT, JSON.stringify({ base: editor.base, text, map: editor.map }));
  } catch {
    // storage is disabled
  }
};
const kept = (base) => {
  try {
    const found = JSON.parse(sessionStorage.getItem(KEPT));
    return found?.base === base ? found : null;
  } catch {
    return null;
  }
};

const requestOf = (text) => ({ ...editor.values, variation: { ...editor.values.variation, image_embeddings: text } });
const show = (figure, answer) => {
  find(`.${figure} img`).src = answer.picture;
  find(`.${figure} figcaption span`).textContent = answer.text;
};
// One picture is on its way at a time; the newest maps are sent when it is there.
const draw = async () => {
  const mine = editor;
  if (mine.busy) return (mine.due = true);
  mine.busy = true;
  const text = await textOf();
  keep(text);
  const first = !find(".original img").getAttribute("src");
  const answer = await window.wuerstLive.fetch(requestOf(first ? mine.base : text)).catch(() => ({ lost: true }));
  mine.busy = false;
  if (editor !== mine || !mine.root.isConnected) return;
  const again = mine.due || (first && text !== mine.base);
  mine.due = false;
  if (answer.picture) {
    if (first) show("original", answer);
    if (!first || !again) show("changed", answer);
    find(".note").textContent = "";
    if (again) draw();
  } else {
    const lost = answer.lost || [409, 503].includes(answer.status);
    find(".note").textContent = answer.detail ?? find(".note").dataset.lost;
    if (again && !lost) draw();
    else if (lost) setTimeout(() => editor === mine && draw(), RETRY_MS);
  }
};
const changed = () => {
  showMaps();
  draw();
};
const remember = () => {
  editor.past.push(editor.maps.slice());
  if (editor.past.length > MAX_UNDO) editor.past.shift();
};
const paint = () => {
  const [x, y] = editor.cell;
  planeOf(editor.map)[y * editor.width + x] = brush();
  changed();
};
const edit = async (name) => {
  if (name === "keep") return trigger("submit", { values: requestOf(await textOf()) });
  if (name === "undo") editor.maps = editor.past.pop() ?? editor.maps;
  else remember();
  if (name === "restore") editor.maps = editor.original.slice();
  if (name in EDITS) planeOf(editor.map).set(EDITS[name](planeOf(editor.map), editor.width, editor.height));
  if (name === "swap") {
    const one = planeOf(editor.map), other = planeOf(Number(find(".other").value)), before = one.slice();
    one.set(other);
    other.set(before);
  }
  changed();
};

const open = async (root) => {
  if (root.dataset.opened) return;
  root.dataset.opened = "yes";
  const { values, colors, limit } = JSON.parse(root.dataset.editor), base = values.variation.image_embeddings;
  const found = kept(base), { shape, head, maps } = await decode(base);
  const [, height, width] = shape;
  editor = { root, values, colors, limit, base, head, width, height, original: maps.slice(), maps, past: [], cell: [0, 0] };
  if (found) editor.maps = (await decode(found.text)).maps;
  choose(found?.map ?? 0);
  showBrush();
  draw();
};
// Gradio keeps no state of what is unfolded: an edited composition unfolds itself again.
const reopen = () => {
  const root = element.querySelector(".latent-editor");
  if (root && kept(JSON.parse(root.dataset.editor).values.variation.image_embeddings)) root.open = true;
};

const moveTo = (canvas, event) => {
  const box = canvas.getBoundingClientRect();
  const at = (share, count) => Math.max(0, Math.min(count - 1, Math.floor(share * count)));
  const x = at((event.clientX - box.left) / box.width, editor.width);
  const y = at((event.clientY - box.top) / box.height, editor.height);
  const moved = x !== editor.cell[0] || y !== editor.cell[1];
  editor.cell = [x, y];
  return moved;
};
const surface = (event) => editor && event.target.closest?.(".painting canvas");
element.addEventListener("toggle", (event) => {
  if (event.target.matches(".latent-editor") && event.target.open) open(event.target);
}, true);
element.addEventListener("change", (event) => {
  if (event.target.matches(".maps input")) choose(Number(event.target.value));
});
element.addEventListener("input", (event) => {
  if (event.target.matches(".brush")) showBrush();
});
element.addEventListener("click", (event) => {
  const button = event.target.closest?.(".latent-editor button");
  if (button) edit(button.dataset.edit);
});
element.addEventListener("pointerdown", (event) => {
  const canvas = surface(event);
  if (!canvas) return;
  canvas.setPointerCapture(event.pointerId);
  remember();
  moveTo(canvas, event);
  paint();
});
element.addEventListener("pointermove", (event) => {
  const canvas = surface(event);
  if (canvas?.hasPointerCapture(event.pointerId) && moveTo(canvas, event)) paint();
});
element.addEventListener("keydown", (event) => {
  if (!surface(event) || event.ctrlKey || event.metaKey || event.altKey) return;
  const next = window.wuerstMoveInGrid(event, editor.cell, [editor.width, editor.height]);
  if (next) {
    editor.cell = next;
    showCell();
  } else if (event.key === " " || event.key === "Enter") {
    event.preventDefault();
    remember();
    paint();
  }
});
watch("value", reopen);
reopen(); // the report of a refreshed page may be there before its tab
