// The page: what the visitor chose, what is drawn from it, and the controls.

import { column, destinations, heat, painted, sources } from "./maps.js";
import { Model, amounts, fuse } from "./model.js";
import { poseMap } from "./pose.js";
import { Puppet } from "./puppet.js";

const $ = (id) => document.getElementById(id);
const HEAT = [255, 64, 0];
const INVITATION = $("probe").textContent;

let model, folder, about, puppet; // the network, where it is, and its people
let state; // {person, donor, pose, turn, offsets, sliders}: all that the picture depends on
let past = []; // earlier poses, for "undo"
let photos, appearances, truths; // pictures as tensors; extracted textures and sprites, kept when first needed
let shown; // what was drawn last: {distribution, weights, a, b}
let probe = null; // {where: "photo" | "generated", x, y} in 0..1

// ------------------------------------------------------------------------------------------------- pictures and people

async function picture(name) {
  const image = new Image();
  image.src = `${folder}/${name}`;
  await image.decode();
  return image;
}

/** Cut one picture out of a sprite. -> ImageData */
function tile(sprite, column, row = 0) {
  const pen = new OffscreenCanvas(model.width, model.height).getContext("2d", { willReadFrequently: true });
  pen.drawImage(sprite, -column * model.width, -row * model.height);
  return pen.getImageData(0, 0, model.width, model.height);
}

/** Bytes of a picture, h w RGBA -> a tensor's data, 3 h w in -1..1 */
function toTensor({ data }) {
  const size = model.height * model.width;
  return Float32Array.from({ length: 3 * size }, (_, i) => data[4 * (i % size) + Math.floor(i / size)] / 127.5 - 1);
}

/** The inverse of `toTensor`. */
function toPixels(tensor) {
  const size = model.height * model.width;
  const pixels = new Uint8ClampedArray(4 * size).fill(255);
  for (let i = 0; i < size; i++) for (let c = 0; c < 3; c++) pixels[4 * i + c] = (tensor[c * size + i] + 1) * 127.5;
  return pixels;
}

function paint(canvas, pixels, height = model.height, width = model.width) {
  if (canvas.width !== width || canvas.height !== height) [canvas.width, canvas.height] = [width, height];
  canvas.getContext("2d").putImageData(new ImageData(pixels, width, height), 0, 0);
}

async function appearance(person) {
  return (appearances[person] ??= await model.extract(toTensor(photos[person])));
}

// ------------------------------------------------------------------------------------------------------------- the pose

/** The key points of the chosen pose, with what the visitor dragged. A dragged joint turns with the body. */
function currentPose() {
  const { keypoints, visible } = about.people[state.person].poses[state.pose][state.turn];
  const angle = (2 * Math.PI * state.turn) / about.turns;
  const moved = keypoints.map(([x, y], joint) => {
    const [dx, dy, dz] = state.offsets[joint];
    return [x + Math.cos(angle) * dx + Math.sin(angle) * dz, y + dy];
  });
  return { keypoints: moved, visible: visible.map(Boolean) };
}

function move(joints, dx, dy) {
  const angle = (2 * Math.PI * state.turn) / about.turns;
  const { keypoints, visible } = currentPose();
  const [x, y] = keypoints[joints[0]];
  dx = Math.min(Math.max(x + dx, 0), model.width - 1) - x;
  dy = Math.min(Math.max(y + dy, 0), model.height - 1) - y;
  for (const joint of joints.filter((j) => visible[j])) {
    const [ox, oy, oz] = state.offsets[joint];
    state.offsets[joint] = [ox + Math.cos(angle) * dx, oy + dy, oz + Math.sin(angle) * dx];
  }
  redraw();
}

const still = () => Array.from({ length: 18 }, () => [0, 0, 0]);
const untouched = () => state.offsets.flat().every((value) => value === 0);

function remember() {
  past.push(JSON.stringify([state.pose, state.turn, state.offsets]));
}

function undo() {
  if (!past.length) return;
  [state.pose, state.turn, state.offsets] = JSON.parse(past.pop());
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
    await draw();
  }
  busy = false;
}

async function draw() {
  const { keypoints, visible } = currentPose();
  puppet.show(keypoints, visible);
  const [a, b] = [await appearance(state.person), await appearance(state.donor)];
  const people = [state.person, state.donor].map((i) => about.people[i]);
  const weights = amounts(people[0].purity, people[1].purity, state.sliders);
  const pose = poseMap(keypoints, visible, model, model.fine_pose);
  const { image, distribution } = await model.render(pose, fuse(a, b, weights));
  paint($("generated").querySelector(".pixels"), toPixels(image));
  shown = { distribution, weights, a, b, image };
  performance.mark("picture");
  showMaps();
  controls();
  await showTruth();
}

async function sprite(name) {
  return (truths[name] ??= await picture(name));
}

/** The ground truth, where it was rendered: of a pose as it is, or of one item borrowed by somebody who stands. */
async function showTruth() {
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
  canvas.hidden = !found;
  if (found) paint(canvas, tile(await sprite(found[0]), found[1], found[2]).data);
}

/** The picture of the shares, and what belongs to the spot that the visitor points at. */
function showMaps() {
  const o = Number($("operation").value);
  const distribution = shown.distribution[o];
  const [, , h, w] = distribution.dims;
  paint($("entities").querySelector("canvas"), painted(distribution, about.texture_colours[o]), h, w);
  for (const id of ["photo", "donor", "generated"]) {
    const canvas = $(id).querySelector(".heat");
    canvas.getContext("2d").clearRect(0, 0, canvas.width, canvas.height);
  }
  $("bars").replaceChildren();
  if (!probe) {
    $("probe").textContent = INVITATION;
    return;
  }

  const position = Math.floor(probe.y * h) * w + Math.floor(probe.x * w);
  const [mine, theirs] = [shown.weights[o].map((amount) => 1 - amount), shown.weights[o]];
  const layer = (id, map) => paint($(id).querySelector(".heat"), heat(map, HEAT), h, w);
  let shares;
  if (probe.where === "generated") {
    layer("photo", sources(distribution, shown.a.extraction[o], position, mine));
    if (theirs.some((amount) => amount > 0)) layer("donor", sources(distribution, shown.b.extraction[o], position, theirs));
    shares = column(distribution, position);
    $("probe").textContent = "This spot is painted with these textures. In the photo, you see where they were taken from.";
  } else {
    layer("generated", destinations(distribution, shown.a.extraction[o], position, mine));
    shares = column(shown.a.extraction[o], position);
    const sum = shares.reduce((a, b) => a + b);
    shares = shares.map((share) => share / sum);
    $("probe").textContent = "These textures look at this spot of the photo. In the large picture, you see where they go.";
  }
  bars(shares, o);
}

function bars(shares, o) {
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

function choosePerson(i) {
  state.person = i;
  paint($("photo").querySelector(".pixels"), photos[i].data);
  redraw();
}

function chooseDonor(i) {
  state.donor = i;
  paint($("donor").querySelector(".pixels"), photos[i].data);
  redraw();
}

/** A row of small pictures, one of which is chosen; arrow keys go from one to the next. */
function gallery(element, choose) {
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
  label.querySelector("input").oninput = (event) => {
    state.sliders[item] = event.target.value / 100;
    redraw();
  };
  return label;
}

/** Load a network and its people, and set up all that depends on them. */
async function open(name) {
  folder = name;
  [model, about] = await Promise.all([Model.load(name), fetch(`${name}/people.json`).then((answer) => answer.json())]);
  const sheet = await picture("photos.png");
  photos = about.people.map((_, i) => tile(sheet, i));
  [appearances, truths, past] = [{}, {}, []];
  state ??= {
    person: 2, donor: 3, pose: "stand", turn: 0, offsets: still(),
    sliders: Object.fromEntries(about.items.map((item) => [item, 0])),
  };
  state.offsets = still();
  puppet = new Puppet($("puppet"), model, remember, move);
  gallery($("people"), choosePerson);
  gallery($("donors"), chooseDonor);
  $("turn").max = about.turns - 1;
  $("poses").replaceChildren(...about.poses.map((pose) => {
    const button = Object.assign(document.createElement("button"), { type: "button", value: pose, textContent: pose });
    button.onclick = () => {
      remember();
      Object.assign(state, { pose, turn: 0, offsets: still() });
      redraw();
    };
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
  choosePerson(state.person);
  chooseDonor(state.donor);
}

async function start() {
  const names = await (await fetch("models.json")).json();
  $("model").replaceChildren(...names.map((name, i) => new Option(i ? `${name}, finer and slower` : name, name)));
  $("models").hidden = names.length < 2;
  $("model").onchange = () => open($("model").value);
  $("operation").onchange = showMaps;
  $("turn").oninput = (event) => {
    state.turn = Number(event.target.value);
    redraw();
  };
  $("turn").onpointerdown = remember;
  $("undo").onclick = undo;
  $("reset").onclick = () => {
    remember();
    Object.assign(state, { pose: "stand", turn: 0, offsets: still() });
    for (const item of about.items) state.sliders[item] = 0;
    redraw();
  };
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
  $("status").textContent = "Running in your browser. Nothing leaves this page.";
}

/** For the tests: what is shown now. */
export const current = () => ({ state, shown, pose: currentPose(), model });

start().catch((error) => ($("status").textContent = `This browser cannot run the network (${error.message}).`));
