// A canvas with 18 joints that can be dragged. Python gets the new key points when a joint is let go.
// keypoints: 18 pairs [x, y] in pixels of the picture; [-1, -1] is a missing joint, which is not drawn.

const ZOOM = 6; // screen pixels for a pixel of the picture
const REACH = 14; // screen pixels from a joint within which it can be taken

function render({ model, el }) {
  const [width, height] = model.get("size");
  const canvas = document.createElement("canvas");
  const density = window.devicePixelRatio || 1;
  canvas.width = width * ZOOM * density;
  canvas.height = height * ZOOM * density;
  canvas.style.cssText = `width:${width * ZOOM}px; height:${height * ZOOM}px; margin:2px; touch-action:none; cursor:grab`;
  canvas.setAttribute("aria-label", "pose editor: drag a joint");
  el.appendChild(canvas);
  const pen = canvas.getContext("2d");

  let joints, held = -1;
  const there = ([x, y]) => x !== -1 || y !== -1;
  const onScreen = ([x, y]) => [(x + 0.5) * ZOOM, (y + 0.5) * ZOOM]; // integers are the centres of pixels

  function draw() {
    const colours = model.get("colours");
    pen.setTransform(density, 0, 0, density, 0, 0);
    pen.fillStyle = "#f4f4f4";
    pen.fillRect(0, 0, width * ZOOM, height * ZOOM);
    pen.lineCap = "round";
    pen.lineWidth = 8;
    model.get("limbs").forEach(([a, b], limb) => {
      if (!there(joints[a]) || !there(joints[b])) return;
      pen.strokeStyle = colours[limb] + "99";
      pen.beginPath();
      pen.moveTo(...onScreen(joints[a]));
      pen.lineTo(...onScreen(joints[b]));
      pen.stroke();
    });
    joints.forEach((joint, number) => {
      if (!there(joint)) return;
      pen.fillStyle = colours[number];
      pen.strokeStyle = number === held ? "#000" : "#fff";
      pen.lineWidth = 2;
      pen.beginPath();
      pen.arc(...onScreen(joint), number < 14 ? 7 : 4, 0, 2 * Math.PI); // eyes and ears are small
      pen.fill();
      pen.stroke();
    });
  }

  function read() {
    joints = model.get("keypoints").map((joint) => [...joint]);
    draw();
  }

  function pointer(event) {
    const box = canvas.getBoundingClientRect(); // its size on screen may differ from the canvas's own
    return [((event.clientX - box.left) * width) / box.width, ((event.clientY - box.top) * height) / box.height];
  }

  canvas.addEventListener("pointerdown", (event) => {
    const [x, y] = pointer(event);
    const far = joints.map((j) => (there(j) ? ZOOM * Math.hypot(j[0] + 0.5 - x, j[1] + 0.5 - y) : Infinity));
    const nearest = far.indexOf(Math.min(...far));
    if (far[nearest] > REACH) return;
    held = nearest;
    canvas.setPointerCapture(event.pointerId);
    draw();
  });
  canvas.addEventListener("pointermove", (event) => {
    if (held < 0) return;
    const [x, y] = pointer(event);
    joints[held] = [Math.min(Math.max(x, 0), width) - 0.5, Math.min(Math.max(y, 0), height) - 0.5];
    draw();
  });
  const release = () => {
    if (held < 0) return;
    held = -1;
    model.set("keypoints", joints.map((joint) => [...joint]));
    model.save_changes();
    draw();
  };
  canvas.addEventListener("pointerup", release);
  canvas.addEventListener("pointercancel", release);

  model.on("change:keypoints", read);
  read();
  return () => model.off("change:keypoints", read);
}

export default { render };
