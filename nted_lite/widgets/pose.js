// A puppet: 18 joints that can be dragged, and the picture that follows. Only `render`, at the end, knows Jupyter.
//
//   puppet(root, about, start, draw) -> { set(start), show(pixels), follow() }
//
//   root    an element with the class "nted"
//   about   { size: [width, height], names, limbs, colours, sides, stances, pitch, reference: bytes h w 3 }
//   start   { joints: 18 times [x, y, depth, shown], facing: degrees }
//   draw    async (state) => bytes h w 3, or nothing if the picture comes by `show`; it gets one state at a time: what
//           happens while it works is skipped, except the last

const SVG = "http://www.w3.org/2000/svg";
const FACE = [0, 14, 15, 16, 17];
const NEAR = 14; // screen pixels from a joint within which it can be taken
const PATIENCE = 3000; // milliseconds without an answer before the reader is told

function make(name, attributes = {}, ...children) {
  const svg = ["svg", "line", "circle"].includes(name);
  const element = svg ? document.createElementNS(SVG, name) : document.createElement(name);
  for (const [key, value] of Object.entries(attributes)) element.setAttribute(key, value);
  element.append(...children);
  return element;
}

function paint(canvas, bytes) {
  const image = new ImageData(canvas.width, canvas.height);
  for (let pixel = 0, from = 0; pixel < image.data.length; pixel += 4, from += 3) {
    image.data[pixel] = bytes[from];
    image.data[pixel + 1] = bytes[from + 1];
    image.data[pixel + 2] = bytes[from + 2];
    image.data[pixel + 3] = 255;
  }
  canvas.getContext("2d").putImageData(image, 0, 0);
}

// Turn a body about the vertical through the middle of its hips, as seen by a camera that looks down by `pitch`.
// Positive angles turn the front towards the picture's right. Points of the face disappear behind the head.
export function turned(joints, degrees, pitch) {
  const [cos, sin] = [Math.cos((degrees * Math.PI) / 180), Math.sin((degrees * Math.PI) / 180)];
  const axis = [0, -Math.cos(pitch), Math.sin(pitch)]; // y points down
  const hips = [0, 1, 2].map((xyz) => (joints[8][xyz] + joints[11][xyz]) / 2);
  const rotated = joints.map((joint) => {
    const [x, y, z] = hips.map((middle, xyz) => joint[xyz] - middle);
    const along = (1 - cos) * (axis[1] * y + axis[2] * z);
    const cross = [axis[1] * z - axis[2] * y, axis[2] * x, -axis[1] * x];
    const spun = [x, y, z].map((value, xyz) => cos * value - sin * cross[xyz] + along * axis[xyz]);
    return [...spun.map((value, xyz) => value + hips[xyz]), joint[3]];
  });
  const before = facesSeen(joints), after = facesSeen(rotated);
  FACE.forEach((number, place) => {
    if (before[place] !== after[place]) rotated[number][3] = after[place];
  });
  return rotated;
}

// Whether nose, eyes and ears lie on the near side of the head; a little behind its middle is still its outline.
function facesSeen(joints) {
  const [right, left] = [joints[16], joints[17]];
  const wide = Math.hypot(...[0, 1, 2].map((xyz) => right[xyz] - left[xyz]));
  return FACE.map((number) => Number(joints[number][2] > (right[2] + left[2]) / 2 - 0.15 * wide));
}

export function puppet(root, about, start, draw) {
  const { size: [width, height], names, limbs, colours, sides, stances, pitch } = about;
  const unit = height / 384; // an enlarged pixel, in pixels of the picture
  let joints, facing, held = -1, past = [], moving = null;
  const copy = (points) => points.map((point) => [...point]);
  const into = (value, end) => Math.round(100 * Math.min(Math.max(value, -0.49), end - 0.51)) / 100;

  // ------------------------------------------------------------------------------------------------ what is seen
  const canvas = (label) => make("canvas", { class: "picture", width, height, role: "img", "aria-label": label });
  const reference = canvas("reference: the person"), generated = canvas("generated: the person in this pose");
  const svg = make("svg", {
    class: "picture", viewBox: `0 0 ${width} ${height}`, role: "application", tabindex: -1, "aria-label":
      "pose: Tab to a joint, arrow keys move it, with Shift by larger steps; Delete removes it, Ctrl Z goes back",
  });
  const lines = limbs.map((_, limb) => make("line", { stroke: colours[limb], "stroke-width": 8 * unit }));
  const dots = names.map((_, joint) => make("circle", {
    r: (joint < 14 ? 7 : 4.5) * unit, fill: colours[joint], "stroke-width": 2 * unit, tabindex: 0, role: "button",
  }));
  svg.append(...lines, ...dots);
  const figures = [["reference", reference], ["pose", svg], ["generated", generated]];
  const says = make("output", { "aria-live": "polite" });
  const missing = make("div", { class: "row bar missing", role: "group", "aria-label": "missing joints" });
  const slider = make("input", { type: "range", min: -180, max: 180, step: 5, "aria-label": "turn the body" });
  const undo = make("button", { type: "button", title: "Ctrl Z" }, "undo");
  const button = (name, act) => {
    const element = make("button", { type: "button" }, name);
    element.addEventListener("click", act);
    return element;
  };
  const pose = (name) => button(name, () => change(turned(stances[name].map((j) => [...j, 1]), facing, pitch), facing));
  const again = button("start again", () => change(copy(start.joints), start.facing));
  const legend = Object.entries(sides).map(([name, members]) => make("span", { class: "legend" },
    ...members.map((limb) => make("span", { class: "swatch", style: `background:${colours[limb]}` })), name));
  root.dataset.lmSuppressShortcuts = "true"; // JupyterLab's own keys would take the arrows
  root.replaceChildren(
    make("div", { class: "row" }, ...figures.map(([title, element]) =>
      make("figure", {}, make("figcaption", {}, title), element))),
    make("div", { class: "row bar" }, ...Object.keys(stances).map(pose),
      make("label", {}, "turn", slider), undo, again),
    missing, make("div", { class: "row bar" }, ...legend), says);

  function redraw() {
    const at = (value) => value + 0.5; // integers are the centres of pixels
    limbs.forEach(([a, b], limb) => {
      const [from, to] = [joints[a], joints[b]];
      lines[limb].style.display = from[3] && to[3] ? "" : "none";
      for (const [key, value] of [["x1", from[0]], ["y1", from[1]], ["x2", to[0]], ["y2", to[1]]])
        lines[limb].setAttribute(key, at(value));
    });
    joints.forEach(([x, y, , shown], joint) => {
      const dot = dots[joint];
      if (!shown && dot === root.getRootNode().activeElement) svg.focus(); // or Ctrl Z would go to the page
      dot.style.display = shown ? "" : "none";
      dot.setAttribute("cx", at(x));
      dot.setAttribute("cy", at(y));
      dot.classList.toggle("held", joint === held);
      dot.setAttribute("aria-label", `${names[joint]}: x ${Math.round(x)}, y ${Math.round(y)}`);
    });
    svg.classList.toggle("held", held >= 0);
    slider.value = facing;
    slider.setAttribute("aria-valuetext", `${Math.round(facing)} degrees to the picture's right`);
    undo.disabled = !past.length;
    const absent = names.filter((_, joint) => !joints[joint][3]);
    if (missing.dataset.names !== absent.join()) {
      missing.dataset.names = absent.join();
      missing.replaceChildren(absent.length ? "put back:" : "double-click a joint (or press Delete) to remove it", ...absent.map((name) =>
        button(name, () => {
          const joint = names.indexOf(name), back = copy(joints);
          back[joint] = [into(back[joint][0], width), into(back[joint][1], height), back[joint][2], 1];
          change(back, facing);
          dots[joint].focus();
        })));
    }
  }

  // --------------------------------------------------------------------------------- what changes, and what follows
  function keep(what) { // one step back for a drag, a turn, or several presses of arrow keys at the same joint
    if (moving !== null && moving === what) return;
    moving = what;
    past.push({ joints: copy(joints), facing });
  }
  function change(newJoints, newFacing, what = null) {
    keep(what);
    [joints, facing] = [newJoints, newFacing];
    if (!what) says.textContent = "";
    redraw();
    follow();
  }
  function goBack() {
    if (!past.length) return;
    ({ joints, facing } = past.pop());
    moving = null;
    redraw();
    follow();
  }

  let busy = false, stale = false;
  async function follow() {
    stale = true;
    if (busy) return;
    busy = true;
    try {
      while (stale) {
        stale = false;
        const late = setTimeout(() => {
          generated.classList.add("still");
          says.textContent = "The generated picture waits for an answer. Is the kernel running, and free?";
        }, PATIENCE);
        try {
          const pixels = await draw({ joints: copy(joints), facing });
          if (pixels) show(pixels);
        } finally {
          clearTimeout(late);
        }
      }
    } finally {
      busy = false;
    }
  }
  function show(pixels) {
    if (pixels.byteLength !== 3 * width * height) return;
    paint(generated, pixels);
    if (generated.classList.contains("still")) says.textContent = "";
    generated.classList.remove("still");
    generated.dataset.shown = Number(generated.dataset.shown || 0) + 1;
  }

  // ------------------------------------------------------------------------------------------- pointer and keyboard
  function pointer(event) {
    const box = svg.getBoundingClientRect();
    const zoom = box.width / width;
    return [(event.clientX - box.left) / zoom - 0.5, (event.clientY - box.top) / zoom - 0.5, zoom];
  }
  function nearest(event) {
    const [x, y, zoom] = pointer(event);
    const far = joints.map((j) => (j[3] ? zoom * Math.hypot(j[0] - x, j[1] - y) : Infinity));
    const joint = far.indexOf(Math.min(...far));
    return far[joint] <= NEAR ? joint : -1;
  }
  svg.addEventListener("pointerdown", (event) => {
    held = nearest(event);
    if (held < 0) return;
    event.preventDefault();
    dots[held].focus();
    svg.setPointerCapture(event.pointerId);
    moving = null;
    redraw();
  });
  svg.addEventListener("pointermove", (event) => {
    if (held < 0) {
      const joint = nearest(event);
      if (joint >= 0) says.textContent = names[joint];
      return;
    }
    const [x, y] = pointer(event), moved = copy(joints);
    moved[held] = [into(x, width), into(y, height), moved[held][2], 1];
    change(moved, facing, "drag");
  });
  for (const end of ["pointerup", "pointercancel"])
    svg.addEventListener(end, () => {
      [held, moving] = [-1, null];
      redraw();
    });
  const remove = (joint) => {
    const left = copy(joints);
    left[joint][3] = 0;
    change(left, facing);
  };
  svg.addEventListener("dblclick", (event) => {
    const joint = nearest(event);
    if (joint >= 0) remove(joint);
  });
  const STEPS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
  dots.forEach((dot, joint) => {
    dot.addEventListener("focus", () => (says.textContent = dot.getAttribute("aria-label")));
    dot.addEventListener("keydown", (event) => {
      const step = STEPS[event.key];
      if (event.key === "Delete" || event.key === "Backspace") remove(joint);
      else if (step) {
        const [x, y, z] = joints[joint], far = (event.shiftKey ? 5 : 1) * (height / 64), moved = copy(joints);
        moved[joint] = [into(x + far * step[0], width), into(y + far * step[1], height), z, 1];
        change(moved, facing, `key ${joint}`);
        says.textContent = dot.getAttribute("aria-label");
      } else return;
      event.preventDefault();
    });
  });
  root.addEventListener("keydown", (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") {
      event.preventDefault();
      goBack();
    }
    event.stopPropagation();
  });
  slider.addEventListener("input", () => {
    change(turned(joints, slider.value - facing, pitch), Number(slider.value), "turn");
  });
  slider.addEventListener("change", () => (moving = null));
  undo.addEventListener("click", goBack);

  function set(state) {
    if (held >= 0) return; // the hand on the joint decides
    [joints, facing] = [copy(state.joints), state.facing];
    redraw();
  }
  paint(reference, about.reference);
  set(start);
  return { set, show, follow };
}

// ------------------------------------------------------------------------------------------------------- in Jupyter

const bytes = (view) => new Uint8Array(view.buffer, view.byteOffset, view.byteLength);

function render({ model, el }) {
  const state = () => ({ joints: model.get("joints"), facing: model.get("facing") });
  const root = el.appendChild(make("div", { class: "nted" }));
  const about = { ...model.get("about"), reference: bytes(model.get("reference_pixels")) };
  let answered = () => {};
  const view = puppet(root, about, state(), (wanted) => new Promise((resolve) => {
    if (JSON.stringify(wanted.joints) === JSON.stringify(model.get("joints"))) return resolve();
    answered = resolve;
    model.set(wanted);
    model.save_changes();
  }));
  const show = () => view.show(bytes(model.get("generated_pixels")));
  const events = [
    ["change:joints", () => view.set(state())],
    ["change:answers", () => { show(); answered(); }],
  ];
  for (const [event, act] of events) model.on(event, act);
  show();
  return () => events.forEach(([event, act]) => model.off(event, act));
}

export default { render };
