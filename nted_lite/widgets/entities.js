// Reference, textures and generated image, linked by the maps. Only `render`, at the end, knows Jupyter.
//
//   explorer(root, { size, parts, reference, generated, operations, extraction, distribution })
//
//   root          an element with the class "nted"
//   size          [width, height]; reference and generated are bytes h w 3
//   parts         { name: colour }
//   operations    coarse to fine: { size: [w, h], names, colours, order, usage, peaks }, k values each
//   extraction    of each operation, bytes k h w: the square root of (map / its peak)
//   distribution  of each operation, bytes k h w

const GREY = 237, GHOST = 0.12; // where no light falls, and how much of the picture is still seen there

function make(name, attributes = {}, ...children) {
  const element = document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

// A picture lit by a map of any size (0..1; without one, all of it), with a frame around one cell of the map.
function paint(canvas, pixels, [width, height], light, [w, h], cell) {
  const zoom = Math.round(canvas.width / width);
  const image = new ImageData(width, height);
  for (let y = 0, at = 0; y < height; y++)
    for (let x = 0; x < width; x++, at++) {
      const here = light ? light[Math.floor((y * h) / height) * w + Math.floor((x * w) / width)] : 1;
      const lit = GHOST + (1 - GHOST) * here;
      for (let c = 0; c < 3; c++) image.data[4 * at + c] = GREY + lit * (pixels[3 * at + c] - GREY);
      image.data[4 * at + 3] = 255;
    }
  const small = make("canvas", { width, height }), pen = canvas.getContext("2d");
  small.getContext("2d").putImageData(image, 0, 0);
  pen.imageSmoothingEnabled = false;
  pen.drawImage(small, 0, 0, canvas.width, canvas.height);
  if (cell === undefined) return;
  const [across, down] = [(zoom * width) / w, (zoom * height) / h];
  const frame = [(cell % w) * across, Math.floor(cell / w) * down, across, down];
  for (const [colour, line] of [["#fff", 5], ["#000", 2]]) {
    pen.strokeStyle = colour;
    pen.lineWidth = line;
    pen.strokeRect(...frame);
  }
}

const scaled = (values) => {
  const peak = Math.max(...values, 1e-12);
  return values.map((value) => value / peak);
};

// What lights up. where: "texture", "reference" or "generated"; place: a texture, or a cell of the maps.
// -> shares of the k textures, and the light on both pictures, h w each, 0..1
export function linked(operation, extraction, distribution, where, place) {
  const k = operation.names.length, cells = operation.size[0] * operation.size[1];
  const taken = (texture, cell) => (extraction[texture * cells + cell] / 255) ** 2 * operation.peaks[texture];
  const given = (texture, cell) => distribution[texture * cells + cell] / 255;
  const raw = Array.from({ length: k }, (_, texture) => {
    if (where === "texture") return Number(texture === place);
    return where === "reference" ? taken(texture, place) : given(texture, place);
  });
  const sum = raw.reduce((a, b) => a + b, 0) || 1;
  const shares = raw.map((value) => value / sum);
  const light = { reference: new Float64Array(cells), generated: new Float64Array(cells) };
  shares.forEach((share, texture) => {
    if (share < 1e-4) return;
    for (let cell = 0; cell < cells; cell++) {
      light.reference[cell] += share * taken(texture, cell);
      light.generated[cell] += share * given(texture, cell);
    }
  });
  return { shares, reference: scaled(light.reference), generated: scaled(light.generated) };
}

export function explorer(root, data) {
  const { size, operations } = data, zoom = Math.max(1, Math.round(528 / size[0]));
  let chosen = operations.length - 1, pinned = null;

  const help = "arrow keys move over its pixels, Enter pins one, Escape lets it go";
  const picture = (name) => make("canvas", {
    class: "picture", width: zoom * size[0], height: zoom * size[1], tabindex: 0, role: "application",
    "aria-label": `${name}: ${help}`,
  });
  const canvases = { reference: picture("reference"), generated: picture("generated") };
  const grid = make("div", { class: "entities", role: "group", "aria-label": "textures" });
  const says = make("output", { "aria-live": "polite" });
  const menu = make("select", {}, ...operations.map(({ size: [w, h], names }, number) =>
    make("option", { value: number }, `${number}: ${h} × ${w}, k = ${names.length}`)));
  menu.value = chosen;
  const free = make("button", { type: "button" }, "let go");
  const legend = make("div", { class: "row bar" }, ...Object.entries(data.parts).map(([name, colour]) =>
    make("span", { class: "legend" }, make("span", { class: "swatch", style: `background:${colour}` }), name)));
  const figure = (title, element) => make("figure", {}, make("figcaption", {}, title), element);
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own keys would take the arrows
  root.replaceChildren(
    make("div", { class: "row bar" }, make("label", {}, "operation", menu), free),
    make("div", { class: "row" }, figure("reference: extraction", canvases.reference), figure("textures", grid),
      figure("generated: distribution", canvases.generated)),
    says, legend);

  function show(where, place) {
    const operation = operations[chosen];
    const found = where && linked(operation, data.extraction[chosen], data.distribution[chosen], where, place);
    for (const [name, canvas] of Object.entries(canvases))
      paint(canvas, data[name], size, found?.[name], operation.size, where === name ? place : undefined);
    for (const button of grid.children) {
      const texture = Number(button.dataset.texture), share = found ? found.shares[texture] : 0;
      button.querySelector(".share").style.width = `${100 * share}%`;
      button.style.opacity = !found || share > 0.02 ? 1 : 0.35;
      button.setAttribute("aria-pressed", pinned?.where === "texture" && pinned.place === texture);
    }
    free.disabled = !pinned;
    says.textContent = where ? words(operation, where, place, found.shares) : "Point at a pixel or a texture; " +
      "click to pin it. With keys: Tab, arrows, Enter.";
  }
  function words({ size: [w], names, usage }, where, place, shares) {
    const pin = pinned ? "pinned: " : "", percent = (share) => `${Math.round(100 * share)} %`;
    if (where === "texture")
      return `${pin}texture ${place} (${names[place]}): left, what it averages; right, the ` +
        `${percent(usage[place])} of the picture that it paints`;
    const best = shares.map((share, texture) => [share, texture]).sort((a, b) => b[0] - a[0]).slice(0, 3);
    const list = best.filter(([share]) => share > 0.02).map(([share, texture]) =>
      `${percent(share)} texture ${texture} (${names[texture]})`).join(", ");
    const spot = `row ${Math.floor(place / w)}, column ${place % w}`;
    return where === "generated" ? `${pin}pixel at ${spot} is ${list}; left, where these were extracted`
      : `${pin}pixel at ${spot} goes into ${list}; right, where these are painted`;
  }
  const rest = () => (pinned ? show(pinned.where, pinned.place) : show());
  function pin(where, place) {
    const same = pinned && pinned.where === where && pinned.place === place;
    pinned = same ? null : { where, place };
    show(where, place);
  }

  function fill() {
    const { size: [w, h], names, colours, order } = operations[chosen];
    const thumbnails = order.map((texture) => {
      const canvas = make("canvas", { width: size[0], height: size[1] });
      const light = data.distribution[chosen].slice(texture * w * h, (texture + 1) * w * h);
      paint(canvas, data.generated, size, Array.from(light, (value) => value / 255), [w, h]);
      const dot = make("i", { style: `background:${colours[texture]}` });
      const button = make("button", {
        type: "button", "data-texture": texture, "aria-label": `texture ${texture}, ${names[texture]}`,
        title: names[texture], style: `--part:${colours[texture]}`,
      }, canvas, make("span", { class: "name" }, dot, String(texture)), make("span", { class: "share" }));
      for (const event of ["pointerenter", "focus"])
        button.addEventListener(event, () => pinned || show("texture", texture));
      button.addEventListener("pointerleave", rest);
      button.addEventListener("click", () => pin("texture", texture));
      return button;
    });
    grid.replaceChildren(...thumbnails);
    grid.style.gridTemplateColumns = `repeat(${Math.ceil(Math.sqrt(1.7 * names.length))}, 1fr)`;
    pinned = null;
    show();
  }

  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  for (const [where, canvas] of Object.entries(canvases)) {
    let cursor = null; // column and row, for the keys
    const cell = (event) => {
      const box = canvas.getBoundingClientRect(), [w, h] = operations[chosen].size;
      const inside = (value, end) => Math.min(Math.max(Math.floor(value), 0), end - 1);
      cursor = [inside(((event.clientX - box.left) / box.width) * w, w),
        inside(((event.clientY - box.top) / box.height) * h, h)];
      return cursor[1] * w + cursor[0];
    };
    canvas.addEventListener("pointermove", (event) => pinned || show(where, cell(event)));
    canvas.addEventListener("pointerleave", rest);
    canvas.addEventListener("click", (event) => pin(where, cell(event)));
    canvas.addEventListener("keydown", (event) => {
      const [w, h] = operations[chosen].size, step = STEPS[event.key];
      cursor ??= [w >> 1, h >> 1];
      if (event.key === "Enter") pin(where, cursor[1] * w + cursor[0]);
      else if (step) {
        cursor = [Math.min(Math.max(cursor[0] + step[0], 0), w - 1), Math.min(Math.max(cursor[1] + step[1], 0), h - 1)];
        if (pinned) pinned = { where, place: cursor[1] * w + cursor[0] };
        show(where, cursor[1] * w + cursor[0]);
      } else return;
      event.preventDefault();
    });
    menu.addEventListener("change", () => (cursor = null));
  }
  const letGo = () => {
    pinned = null;
    show();
  };
  root.addEventListener("keydown", (event) => {
    if (event.key === "Escape") letGo();
    event.stopPropagation();
  });
  free.addEventListener("click", letGo);
  menu.addEventListener("change", () => {
    chosen = Number(menu.value);
    fill();
  });
  fill();
}

// ------------------------------------------------------------------------------------------------------- in Jupyter

const bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

function render({ model, el }) {
  const root = el.appendChild(make("div", { class: "nted" }));
  explorer(root, {
    size: model.get("size"), parts: model.get("parts"), operations: model.get("operations"),
    reference: bytes(model.get("reference")), generated: bytes(model.get("generated")),
    extraction: model.get("extraction").map(bytes), distribution: model.get("distribution").map(bytes),
  });
}

export default { render };
