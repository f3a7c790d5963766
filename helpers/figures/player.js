// A figure with a slider. Live, Python draws each picture and `model` is that of a widget. On a
// page without a kernel all pictures come with it, in an object that answers like such a model.

function make(tag, settings, ...inside) {
  const element = Object.assign(document.createElement(tag), settings);
  element.append(...inside);
  return element;
}

function nearest(points, x, y, shape) {
  const apart = points.map(([px, py]) => Math.hypot((px - x) * shape.width, (py - y) * shape.height));
  return apart.indexOf(Math.min(...apart));
}

function render({ model, el }) {
  const labels = model.get("labels");
  const name = model.get("name");
  const image = el.querySelector("img") ?? make("img", {});
  const below = make("img", {});
  const [box, boxBelow] = [make("div", {}, image), make("div", {}, below)];
  const slider = make("input", { type: "range", min: 0, max: labels.length - 1, step: 1 });
  const said = make("output", {});
  const play = make("button", { type: "button", textContent: "▶" });
  const act = make("button", { type: "button", textContent: model.get("action") ?? "" });
  const status = make("span", { role: "status" });

  image.style.cssText = below.style.cssText = "max-width: 100%; height: auto";
  box.style.overflowX = boxBelow.style.overflowX = "auto"; // a page may keep pictures wide
  slider.style.cssText = "flex: 1 1 12em; min-width: 0";
  said.style.cssText = "min-width: 5em";
  play.setAttribute("aria-label", `play: ${name}`);
  slider.setAttribute("aria-label", name);
  slider.dataset.lmSuppressShortcuts = "true"; // JupyterLab would take the arrow keys for itself
  act.hidden = !act.textContent;
  const row = make("div", {}, play, make("span", { textContent: name }), slider, said, act, status);
  row.style.cssText = "display: flex; flex-wrap: wrap; align-items: center; gap: 0.6em";

  function choose(trait, value) {
    model.set(trait, value);
    model.save_changes();
    show();
  }

  function show() {
    const index = model.get("index");
    slider.value = index;
    slider.setAttribute("aria-valuetext", labels[index]);
    said.textContent = labels[index];
    image.alt = model.get("alts")[index];
    image.dataset.index = index;
    const frames = model.get("frames");
    if (frames) image.src = frames[index];
  }

  function draw(target, picture) {
    const before = target.src;
    target.src = URL.createObjectURL(new Blob([picture], { type: "image/webp" }));
    if (before.startsWith("blob:")) URL.revokeObjectURL(before);
  }

  function drawBelow() {
    below.alt = model.get("below_alt");
    if (!below.alt) return;
    draw(below, model.get("below"));
    row.after(boxBelow);
  }

  function point(event) {
    const shape = image.getBoundingClientRect();
    const x = (event.clientX - shape.left) / shape.width;
    const y = (event.clientY - shape.top) / shape.height;
    choose(model.get("clicks"), nearest(model.get("points"), x, y, shape));
  }

  let timer = null;
  function stop() {
    clearInterval(timer);
    timer = null;
    play.textContent = "▶";
  }
  play.addEventListener("click", () => {
    if (timer !== null) return stop();
    play.textContent = "⏸";
    timer = setInterval(() => choose("index", (model.get("index") + 1) % labels.length), 400);
  });
  slider.addEventListener("input", () => {
    stop();
    choose("index", Number(slider.value));
  });
  act.addEventListener("click", () => choose("asked", model.get("asked") + 1));
  if (model.get("points").length) {
    image.style.cursor = "crosshair";
    image.addEventListener("click", point);
    image.addEventListener("pointermove", (event) => model.get("hover") && point(event));
  }
  model.on("change:index", show);
  model.on("change:picture", () => draw(image, model.get("picture")));
  model.on("change:below", drawBelow);
  model.on("change:status", () => (status.textContent = model.get("status")));
  el.replaceChildren(box, row, make("p", { textContent: model.get("caption") ?? "" }));
  show();
  if (!model.get("frames")) {
    draw(image, model.get("picture"));
    drawBelow();
  }
  return stop;
}

export default { render };
