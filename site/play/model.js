// The model, run by onnxruntime's WebAssembly build: `nted-lite export` wrote the two graphs.

import * as ort from "./vendor/ort.wasm.min.mjs";

ort.env.wasm.wasmPaths = new URL("./vendor/", import.meta.url).href;
ort.env.wasm.numThreads = 1; // more would need headers that a plain file server does not send
ort.env.wasm.proxy = true; // in a worker, so that the page can paint one picture while the next is computed

export class Model {
  /** Load the model in a folder: model.json, extract.onnx, render.onnx. */
  static async load(folder) {
    const about = await (await fetch(`${folder}/model.json`)).json();
    const graph = (name) => ort.InferenceSession.create(`${folder}/${about.graphs[name].file}`);
    const model = new Model();
    Object.assign(model, about, { extractor: await graph("extract"), renderer: await graph("render") });
    return model;
  }

  /**
   * The neural textures of a photo.
   *
   * image    Float32Array, 3 h w, -1..1
   * returns  {textures, extraction}: for each operation k c, and k h w, which sums to 1 over h w
   */
  async extract(image) {
    const found = await this.extractor.run({ reference: this.tensor(image, 3) });
    return { textures: this.all(found, "textures"), extraction: this.all(found, "extraction") };
  }

  /**
   * A person with these textures in this pose.
   *
   * pose      Float32Array, 20 h w, as `poseMap` draws it
   * textures  a mixture made by `fuse`; the worker takes pose and textures over, so they can be used only once
   * returns   {image, distribution}: 3 h w in -1..1, and for each operation k h w, which sums to 1 over k
   */
  async render(pose, textures) {
    const inputs = Object.fromEntries(textures.map((texture, i) => [`textures_${i}`, texture]));
    const found = await this.renderer.run({ pose: this.tensor(pose, 20), ...inputs });
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
 * amounts  for each operation, one number 0..1 for each of its textures
 */
export function fuse(a, b, amounts) {
  return a.map((mine, operation) => {
    const channels = mine.dims[2];
    const data = mine.data.map((value, i) => {
      return value + amounts[operation][Math.floor(i / channels)] * (b[operation].data[i] - value);
    });
    return new ort.Tensor("float32", data, mine.dims);
  });
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
