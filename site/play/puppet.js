// The joints of a pose as an SVG on top of the picture: drag them, or move them with the arrow keys.

import { COLOURS, JOINTS, LIMBS } from "./pose.js";

const SVG = "http://www.w3.org/2000/svg";
const BODY = 14; // eyes and ears, the joints from here on, are small
const REACH = { finger: 28, mouse: 14 }; // pixels of the screen between a pointer and the joint that it takes
const FOLLOWERS = {
  0: [14, 15, 16, 17], 1: [0, 14, 15, 16, 17], 2: [3, 4], 3: [4], 5: [6, 7], 6: [7], 8: [9, 10], 9: [10],
  11: [12, 13], 12: [13],
};
const ARROWS = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
export const colour = (i) => `rgb(${[...COLOURS[i]].reverse()})`;

export class Puppet {
  /**
   * svg      the element to draw into
   * size     {height, width} of the picture
   * grabbed  called when a drag begins, or a key goes down
   * moved    called with (joints, dx, dy) in pixels of the picture, for each step of a drag
   */
  constructor(svg, { height, width }, grabbed, moved) {
    Object.assign(this, { svg, width, height, grabbed, moved, held: null });
    svg.setAttribute("viewBox", `-0.5 -0.5 ${width} ${height}`); // integers are the centres of pixels
    svg.replaceChildren();
    const scale = height / 64;
    this.lines = LIMBS.map((_, limb) => this.add("line", { stroke: colour(limb), style: `stroke-width: ${1.1 * scale}` }));
    this.dots = JOINTS.map((name, joint) => {
      const r = (joint < BODY ? 1.2 : 0.6) * scale;
      const dot = this.add("circle", { r, fill: colour(joint), tabindex: 0, role: "button" });
      dot.addEventListener("keydown", (event) => this.key(event, joint));
      return dot;
    });
    svg.parentElement.onpointerdown = (event) => this.take(event);
    svg.onpointermove = (event) => this.drag(event);
    svg.onpointerup = svg.onpointercancel = () => (this.held = null);
  }

  add(kind, attributes) {
    const element = document.createElementNS(SVG, kind);
    for (const [name, value] of Object.entries(attributes)) element.setAttribute(name, value);
    return this.svg.appendChild(element);
  }

  /** Put the joints where the key points are. */
  show(keypoints, visible) {
    this.lines.forEach((line, limb) => {
      const [a, b] = LIMBS[limb];
      line.style.display = visible[a] && visible[b] ? "" : "none";
      const [[x1, y1], [x2, y2]] = [keypoints[a], keypoints[b]];
      for (const [name, value] of Object.entries({ x1, y1, x2, y2 })) line.setAttribute(name, value);
    });
    this.dots.forEach((dot, joint) => {
      const [x, y] = keypoints[joint];
      dot.style.display = visible[joint] ? "" : "none";
      dot.setAttribute("cx", x);
      dot.setAttribute("cy", y);
      dot.setAttribute("aria-label", `${JOINTS[joint]}, column ${Math.round(x)}, row ${Math.round(y)}`);
    });
  }

  /** Take the joint nearest to the pointer, if one is in reach. */
  take(event) {
    const distances = this.dots.map((dot) => {
      const { left, right, top, bottom, width } = dot.getBoundingClientRect(); // all zero if the joint is hidden
      return width ? Math.hypot(event.clientX - (left + right) / 2, event.clientY - (top + bottom) / 2) : Infinity;
    });
    const nearest = Math.min(...distances);
    if (nearest > (event.pointerType === "touch" ? REACH.finger : REACH.mouse)) return;
    const joint = distances.indexOf(nearest);
    event.preventDefault();
    this.dots[joint].focus({ preventScroll: true });
    this.svg.setPointerCapture(event.pointerId);
    this.held = { joint, x: event.clientX, y: event.clientY };
    this.grabbed();
  }

  drag(event) {
    if (!this.held) return;
    const zoom = this.width / this.svg.getBoundingClientRect().width;
    const [dx, dy] = [(event.clientX - this.held.x) * zoom, (event.clientY - this.held.y) * zoom];
    Object.assign(this.held, { x: event.clientX, y: event.clientY });
    this.moved(this.with(this.held.joint, event.shiftKey), dx, dy);
  }

  key(event, joint) {
    const step = ARROWS[event.key];
    if (!step) return;
    event.preventDefault();
    if (!event.repeat) this.grabbed();
    this.moved(this.with(joint, event.shiftKey), ...step);
  }

  with(joint, alone) {
    return alone ? [joint] : [joint, ...(FOLLOWERS[joint] ?? [])];
  }
}
