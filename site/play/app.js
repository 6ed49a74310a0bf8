// The page: what the visitor chose, what is drawn from it, and the controls.

import { column, destinations, heat, painted, sources } from "./maps.js";
import { Model, amounts, fuse, json } from "./model.js";
import { poseMap } from "./pose.js";
import { Puppet } from "./puppet.js";

const $ = (id) => document.getElementById(id);
const HEAT = [255, 64, 0];
const INVITATION = $("probe").textContent;
const RUNNING = "Running in your browser. Nothing leaves this page.";

// {name, model, about, photos, appearances, truths}: a network and its people, which belong together. Photos are
// ImageData; extracted textures and sprites are kept when first needed.
let network, latest; // the one that is shown, and the promise of the one that was chosen last
let puppet;
let state; // {person, donor, pose, turn, offsets, sliders}: all that the picture depends on, besides the network
let past = []; // earlier states, for "undo"
let lasting = null; // the gesture that goes on: all its changes are one step of undo
let shown; // what was drawn last: {distribution, weights, a, b}
let probe = null; // {where: "photo" | "generated", x, y} in 0..1
const trouble = { loading: "", drawing: "" };

/** Say whether all is well. */
function say(news) {
  Object.assign(trouble, news);
  const text = trouble.loading || trouble.drawing || RUNNING;
  if ($("status").textContent !== text) $("status").textContent = text; // a screen reader says it once
}

// ------------------------------------------------------------------------------------------------- pictures and people

async function picture(file) {
  const image = new Image();
  image.src = file;
  await image.decode().catch(() => {
    throw new Error(`${file} is missing, or is no picture`);
  });
  return image;
}

/** Cut one picture out of a sprite. -> ImageData */
function tile(sprite, { width, height }, column, row = 0) {
  const pen = new OffscreenCanvas(width, height).getContext("2d", { willReadFrequently: true });
  pen.drawImage(sprite, -column * width, -row * height);
  return pen.getImageData(0, 0, width, height);
}

/** Bytes of a picture, h w RGBA -> a tensor's data, 3 h w in -1..1 */
function toTensor({ data, width, height }) {
  const size = height * width;
  return Float32Array.from({ length: 3 * size }, (_, i) => data[4 * (i % size) + Math.floor(i / size)] / 127.5 - 1);
}

/** The inverse of `toTensor`. */
function toPixels(tensor) {
  const size = tensor.length / 3;
  const pixels = new Uint8ClampedArray(4 * size).fill(255);
  for (let i = 0; i < size; i++) for (let c = 0; c < 3; c++) pixels[4 * i + c] = (tensor[c * size + i] + 1) * 127.5;
  return pixels;
}

function paint(canvas, pixels, height = network.model.height, width = network.model.width) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

async function appearance({ appearances, model, photos }, person) {
  return (appearances[person] ??= await model.extract(toTensor(photos[person])));
}

// ------------------------------------------------------------------------------------------------------------- the pose

/**
 * The key points of the chosen pose, with what the visitor dragged. A dragged joint turns with the body.
 * A joint outside the picture counts as missing, as it did in training.
 */
function currentPose() {
  const { about, model } = network;
  const { keypoints, visible } = about.people[state.person].poses[state.pose][state.turn];
  const angle = (2 * Math.PI * state.turn) / about.turns;
  const moved = keypoints.map(([x, y], joint) => {
    const [dx, dy, dz] = state.offsets[joint];
    return [x + Math.cos(angle) * dx + Math.sin(angle) * dz, y + dy];
  });
  const inside = (value, size) => value > -0.5 && value < size - 0.5; // integers are the centres of pixels
  const seen = moved.map(([x, y], joint) => visible[joint] && inside(x, model.width) && inside(y, model.height));
  return { keypoints: moved, visible: seen.map(Boolean) };
}

/** Move joints by dx, dy pixels, as far as the first of them stays in the picture; hidden ones go with the body, too. */
function move(joints, dx, dy) {
  const { about, model } = network;
  const angle = (2 * Math.PI * state.turn) / about.turns;
  const [x, y] = currentPose().keypoints[joints[0]];
  dx = Math.min(Math.max(x + dx, 0), model.width - 1) - x;
  dy = Math.min(Math.max(y + dy, 0), model.height - 1) - y;
  change(() => {
    for (const joint of joints) {
      const [ox, oy, oz] = state.offsets[joint];
      state.offsets[joint] = [ox + Math.cos(angle) * dx, oy + dy, oz + Math.sin(angle) * dx];
    }
  }, "joint");
}

const still = () => Array.from({ length: 18 }, () => [0, 0, 0]);
const untouched = () => state.offsets.flat().every((value) => value === 0);

/** Change the state by a function, as one step of undo, or as part of the gesture that goes on. */
function change(act, gesture = null) {
  const before = JSON.stringify(state);
  act();
  if (JSON.stringify(state) === before) return;
  if (!gesture || gesture !== lasting) past.push(before);
  lasting = gesture;
  redraw();
}

const finish = () => (lasting = null);

function undo() {
  if (!past.length) return;
  state = JSON.parse(past.pop());
  finish();
  redraw();
}

// --------------------------------------------------------------------------------------------------------------- drawing

let wanted = false;
let busy = false;

/** Draw as soon as possible; changes that come while a picture is being drawn share the next one. */
function redraw() {
  wanted = true;
  if (!busy) requestAnimationFrame(loop);
  busy = true;
}

async function loop() {
  while (wanted) {
    wanted = false;
    try {
      await draw();
      say({ drawing: "" });
    } catch (error) {
      say({ drawing: `Something could not be drawn (${error.message}). The next change tries again.` });
    }
  }
  busy = false;
}

async function draw() {
  const drawn = network; // another one may come while this one works
  const { model, about } = drawn;
  const { person, donor, sliders } = state;
  const { keypoints, visible } = currentPose();
  puppet.show(keypoints, visible);
  controls();
  const weights = amounts(about.people[person].purity, about.people[donor].purity, sliders);
  const pose = poseMap(keypoints, visible, model, model.fine_pose);
  const [a, b] = [await appearance(drawn, person), await appearance(drawn, donor)];
  const { image, distribution } = await model.render(pose, fuse(a, b, weights));
  if (drawn !== network) return;
  paint($("generated").querySelector(".pixels"), toPixels(image));
  shown = { distribution, weights, a, b, image };
  performance.mark("picture");
  showMaps();
  await showTruth();
}

/** The ground truth, where it was rendered: of a pose as it is, or of one item borrowed by somebody who stands. */
async function showTruth() {
  const { name, model, about, truths } = network;
  const set = Object.values(state.sliders).filter((value) => value > 0);
  const number = String(state.person).padStart(2, "0");
  const borrowing = set.length && state.donor !== state.person;
  let unknown = "";
  let found = null;
  if (!untouched()) unknown = "Unknown: you have invented this pose.";
  else if (!borrowing) found = [`truth-${number}.png`, state.turn, about.poses.indexOf(state.pose)];
  else if (set.length === 1 && set[0] === 1 && state.pose === "stand" && state.turn === 0) {
    found = [`swaps-${number}.png`, state.donor, about.items.findIndex((item) => state.sliders[item])];
  } else unknown = "Unknown for this mixture: choose “stand”, turn 0, and move one slider to 100 %.";
  const canvas = $("truth").querySelector("canvas");
  $("unknown").textContent = unknown;
  canvas.hidden = true;
  if (!found) return;
  const [file, column, row] = found;
  const sprite = (truths[file] ??= await picture(`${name}/${file}`));
  if (truths !== network.truths) return;
  paint(canvas, tile(sprite, model, column, row).data);
  canvas.hidden = false;
}

/** The picture of the shares, and what belongs to the spot that the visitor points at. */
function showMaps() {
  const o = Number($("operation").value);
  const { about } = network;
  const distribution = shown.distribution[o];
  const [, , h, w] = distribution.dims;
  paint($("entities").querySelector("canvas"), painted(distribution, about.texture_colours[o]), h, w);
  for (const id of ["photo", "donor", "generated"]) {
    const canvas = $(id).querySelector(".heat");
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  }
  for (const id of ["photo", "generated"]) $(id).querySelector(".spot").hidden = probe?.where !== id;
  $("bars").replaceChildren();
  if (!probe) {
    $("probe").textContent = INVITATION;
    return;
  }

  const [down, across] = [Math.floor(probe.y * h), Math.floor(probe.x * w)];
  const position = down * w + across;
  Object.assign($(probe.where).querySelector(".spot").style, {
    left: `${(100 * across) / w}%`, top: `${(100 * down) / h}%`, width: `${100 / w}%`, height: `${100 / h}%`,
  });
  const [mine, theirs] = [shown.weights[o].map((amount) => 1 - amount), shown.weights[o]];
  const layer = (id, map) => paint($(id).querySelector(".heat"), heat(map, HEAT), h, w);
  let shares, says;
  if (probe.where === "generated") {
    layer("photo", sources(distribution, shown.a.extraction[o], position, mine));
    if (theirs.some((amount) => amount > 0)) layer("donor", sources(distribution, shown.b.extraction[o], position, theirs));
    shares = column(distribution, position);
    says = "This spot is painted with these textures. In the photo, you see where they were taken from.";
  } else {
    layer("generated", destinations(distribution, shown.a.extraction[o], position, mine));
    shares = column(shown.a.extraction[o], position);
    const sum = shares.reduce((a, b) => a + b);
    shares = shares.map((share) => share / sum);
    says = "These textures look at this spot of the photo. In the large picture, you see where they go.";
  }
  $("probe").textContent = `Row ${down}, column ${across}. ${says}`;
  bars(shares, o);
}

function bars(shares, o) {
  const { about } = network;
  const largest = shares.map((share, k) => [share, k]).sort((a, b) => b[0] - a[0]).slice(0, 3);
  for (const [share, k] of largest) {
    const [row, text, bar] = ["li", "span", "i"].map((kind) => document.createElement(kind));
    text.textContent = `${Math.round(100 * share)} % · ${k}, ${about.texture_parts[o][k]}`;
    bar.style.width = `${100 * share}%`;
    bar.style.background = `rgb(${about.texture_colours[o][k].map((value) => 255 * value)})`;
    row.append(text, bar);
    $("bars").append(row);
  }
}

// -------------------------------------------------------------------------------------------------------------- controls

/** Let every control say what the state is. */
function controls() {
  const { about, photos } = network;
  paint($("photo").querySelector(".pixels"), photos[state.person].data);
  paint($("donor").querySelector(".pixels"), photos[state.donor].data);
  for (const button of $("poses").children) button.setAttribute("aria-pressed", button.value === state.pose && untouched());
  for (const [id, chosen] of [["people", state.person], ["donors", state.donor]]) {
    [...$(id).children].forEach((button, i) => {
      button.setAttribute("aria-checked", i === chosen);
      button.tabIndex = i === chosen ? 0 : -1;
    });
  }
  $("turn").value = state.turn;
  $("turn").nextElementSibling.value = `${Math.round((360 * state.turn) / about.turns)}°`;
  $("undo").disabled = !past.length;
  for (const slider of $("sliders").querySelectorAll("input")) {
    slider.value = 100 * state.sliders[slider.name];
    slider.nextElementSibling.value = `${slider.value} %`;
  }
}

/** A row of small pictures, one of which is the `person` or the `donor`; arrow keys go from one to the next. */
function gallery(element, who) {
  const { about, photos } = network;
  const choose = (i) => change(() => (state[who] = i));
  element.replaceChildren(...about.people.map((person, i) => {
    const button = document.createElement("button");
    const canvas = document.createElement("canvas");
    Object.assign(button, { type: "button", title: `test person ${person.number}`, onclick: () => choose(i) });
    button.setAttribute("role", "radio");
    button.setAttribute("aria-label", `test person ${person.number}, top: ${person.top}, bottom: ${person.bottom}`);
    button.onkeydown = (event) => {
      const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
      if (!step) return;
      event.preventDefault();
      const next = (i + step + about.people.length) % about.people.length;
      choose(next);
      element.children[next].focus();
    };
    paint(canvas, photos[i].data);
    button.append(canvas);
    return button;
  }));
}

/** Let a picture be pointed at, with a pointer or with the arrow keys. */
function probing(where) {
  const element = $(where);
  const point = (x, y) => {
    const inside = (value) => Math.min(Math.max(value, 0), 0.999);
    probe = { where, x: inside(x), y: inside(y) };
    showMaps();
  };
  element.onpointermove = element.onpointerdown = (event) => {
    const box = element.getBoundingClientRect();
    if (shown) point((event.clientX - box.left) / box.width, (event.clientY - box.top) / box.height);
  };
  element.onpointerleave = element.onblur = () => {
    probe = null;
    if (shown) showMaps();
  };
  element.onkeydown = (event) => {
    const step = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] }[event.key];
    if (!step || !shown) return;
    event.preventDefault();
    const [, , h, w] = shown.distribution[Number($("operation").value)].dims;
    const { x, y } = probe?.where === where ? probe : { x: 0.5, y: 0.5 };
    point(x + step[0] / w, y + step[1] / h);
  };
}

function slider(item) {
  const label = document.createElement("label");
  label.className = "slider";
  label.innerHTML = `${item} <input type="range" name="${item}" min="0" max="100" value="0"><output></output>`;
  const input = label.querySelector("input");
  input.oninput = () => change(() => (state.sliders[item] = input.value / 100), item);
  input.onchange = finish;
  return label;
}

async function load(name) {
  const [model, about, sheet] = await Promise.all([
    Model.load(name), json(`${name}/people.json`), picture(`${name}/photos.png`),
  ]);
  return { name, model, about, photos: about.people.map((_, i) => tile(sheet, model, i)), appearances: {}, truths: {} };
}

/** Load a network and show it. What was shown before goes on until all of the new one is there, or if it fails. */
async function open(name) {
  const mine = (latest = load(name));
  say({ loading: `Loading the network ${name} …` });
  try {
    const loaded = await mine;
    if (mine !== latest) return; // another one was chosen meanwhile
    show(loaded);
    say({ loading: "" });
  } catch (error) {
    if (mine !== latest) return;
    say({ loading: `This browser cannot run the network ${name} (${error.message}).` });
    if (network) $("model").value = network.name;
  }
}

/** Set up all that depends on the network. */
function show(loaded) {
  network = loaded;
  const { model, about } = network;
  [past, shown, probe] = [[], undefined, null];
  finish();
  state ??= {
    person: 2, donor: 3, pose: "stand", turn: 0, sliders: Object.fromEntries(about.items.map((item) => [item, 0])),
  };
  state.offsets = still();
  puppet = new Puppet($("puppet"), model, finish, move);
  gallery($("people"), "person");
  gallery($("donors"), "donor");
  $("turn").max = about.turns - 1;
  $("poses").replaceChildren(...about.poses.map((pose) => {
    const button = Object.assign(document.createElement("button"), { type: "button", value: pose, textContent: pose });
    button.onclick = () => change(() => Object.assign(state, { pose, turn: 0, offsets: still() }));
    return button;
  }));
  $("sliders").replaceChildren(...about.items.map(slider));
  $("operation").replaceChildren(...about.texture_parts.map((textures, o) => {
    const [, , h, w] = model.graphs.render.outputs[`distribution_${o}`];
    return new Option(`${o}: ${textures.length} textures at ${h} × ${w}`, o);
  }));
  $("operation").value = about.texture_parts.length - 1;
  $("legend").replaceChildren(...Object.entries(about.part_colours).map(([part, colour]) => {
    const entry = document.createElement("li");
    entry.innerHTML = `<i style="background: ${colour}"></i>${part}`;
    return entry;
  }));
  $("rule").textContent = about.rule;
  document.querySelector(".columns").inert = false;
  redraw();
}

async function start() {
  const names = await json("models.json");
  $("model").replaceChildren(...names.map((name, i) => new Option(i ? `${name}, finer and slower` : name, name)));
  $("models").hidden = names.length < 2;
  $("model").onchange = () => open($("model").value);
  $("operation").onchange = () => shown && showMaps();
  $("turn").oninput = () => change(() => (state.turn = Number($("turn").value)), "turn");
  $("turn").onchange = finish;
  $("undo").onclick = undo;
  $("reset").onclick = () => change(() => {
    Object.assign(state, { pose: "stand", turn: 0, offsets: still() });
    for (const item of network.about.items) state.sliders[item] = 0;
  });
  $("joints").onchange = (event) => $("puppet").classList.toggle("hidden", !event.target.checked);
  document.onkeydown = (event) => {
    if ((event.ctrlKey || event.metaKey) && event.key === "z") {
      event.preventDefault();
      undo();
    }
  };
  probing("photo");
  probing("generated");
  await open(names[0]);
  $("model").disabled = false; // not before: onnxruntime starts once, with the first network
}

/** For the tests: what is shown now. */
export const current = () => ({ state, shown, pose: currentPose(), model: network.model });

start().catch((error) => ($("status").textContent = `This page cannot start (${error.message}).`));
