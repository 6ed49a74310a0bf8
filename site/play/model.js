// The model, run by onnxruntime's WebAssembly build: `nted-lite export` wrote the two graphs.

import * as ort from "./vendor/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./vendor/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more would need headers that a plain file server does not send
ort.env.wasm.proxy = true; // in a worker, so that the page can paint one picture while the next is computed

/** Fetch a JSON file. Throws an Error that names the file if it is missing. */
export async function json(file) {
  const answer = await fetch(file);
  if (!answer.ok) throw new Error(`${file}: ${answer.status} ${answer.statusText}`);
  return answer.json();
}

export class Model {
  /** Load the model in a folder: model.json, extract.onnx, render.onnx. */
  static async load(folder) {
    const about = await json(`${folder}/model.json`);
    const graph = (name) => ort.InferenceSession.create(`${folder}/${about.graphs[name].file}`);
    const model = new Model();
    Object.assign(model, about, { extractor: await graph("extract"), renderer: await graph("render") });
    return model;
  }

  /**
   * The appearance of a photo.
   *
   * image    Float32Array, 3 h w, -1..1
   * returns  {textures, extraction}: for each operation k c, and k h w, which sums to 1 over h w; if the model has
   *          appearance flow, also {pixels, descriptors}: the image, and what its positions show
   */
  async extract(image) {
    const pixels = this.tensor(image.slice(), 3); // the worker takes over what it is given
    const found = await this.extractor.run({ reference: this.tensor(image, 3) });
    return {
      textures: this.all(found, "textures"), extraction: this.all(found, "extraction"),
      ...(found.descriptors && { pixels, descriptors: found.descriptors }),
    };
  }

  /**
   * A person with this appearance in this pose.
   *
   * pose     Float32Array, 20 h w, as `poseMap` draws it
   * mixture  made by `fuse`; the worker takes pose and mixture over, so they can be used only once
   * returns  {image, distribution}: 3 h w in -1..1, and for each operation k h w, which sums to 1 over k
   */
  async render(pose, mixture) {
    const found = await this.renderer.run({ pose: this.tensor(pose, 20), ...mixture });
    return { image: found.image.data, distribution: this.all(found, "distribution") };
  }

  tensor(data, channels) {
    return new ort.Tensor("float32", data, [1, channels, this.height, this.width]);
  }

  all(found, kind) {
    return Array.from({ length: this.operations }, (_, i) => found[`${kind}_${i}`]);
  }
}

/**
 * Move from one person's textures towards another's, each by its own amount: `T_a + amount (T_b - T_a)`.
 *
 * a, b     what `extract` returned
 * amounts  for each operation, one number 0..1 for each of its textures
 * returns  the inputs of the renderer: the textures, and for appearance flow both photos, with the share that each of
 *          the last operation's textures has from either
 */
export function fuse(a, b, amounts) {
  const textures = a.textures.map((mine, operation) => {
    const channels = mine.dims[2];
    const data = mine.data.map((value, i) => {
      return value + amounts[operation][Math.floor(i / channels)] * (b.textures[operation].data[i] - value);
    });
    return new ort.Tensor("float32", data, mine.dims);
  });
  const inputs = Object.fromEntries(textures.map((texture, i) => [`textures_${i}`, texture]));
  if (!a.descriptors) return inputs;
  const last = amounts.at(-1);
  const mixed = last.some((amount) => amount > 0);
  const shares = mixed ? [...last.map((amount) => 1 - amount), ...last] : last.map(() => 1);
  const people = mixed ? [a, b] : [a];
  return {
    ...inputs,
    pixels: beside(people.map((person) => person.pixels)),
    descriptors: beside(people.map((person) => person.descriptors)),
    shares: new ort.Tensor("float32", Float32Array.from(shares), [1, people.length, last.length]),
  };
}

/** Tensors of several photos, 1 c h w each, as one: 1 s c h w. */
function beside(tensors) {
  const size = tensors[0].data.length;
  const data = new Float32Array(tensors.length * size);
  tensors.forEach((tensor, i) => data.set(tensor.data, i * size));
  return new ort.Tensor("float32", data, [1, tensors.length, ...tensors[0].dims.slice(1)]);
}

/**
 * How far each texture moves towards the other person's, given a slider for each part.
 *
 * A texture belongs to a part if at least half of what it paints lies on that part, in the poses of either person: the
 * rule of `select_pure` in nted_lite/control.py.
 *
 * purity   of both people: part -> for each operation, each texture's share of paint that lies on the part
 * sliders  part -> 0..1
 */
export function amounts(purityA, purityB, sliders) {
  const parts = Object.keys(sliders);
  return purityA[parts[0]].map((textures, o) => textures.map((_, k) =>
    Math.max(...parts.map((part) => (Math.max(purityA[part][o][k], purityB[part][o][k]) >= 0.5 ? sliders[part] : 0)))));
}
