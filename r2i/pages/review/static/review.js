// The box on the image, and single keys. All else of the page works without this file.
"use strict";
(() => {
  document.documentElement.classList.add("js");
  const $ = (id) => document.getElementById(id);
  const stage = $("stage");
  const SIDES = ["left", "top", "right", "bottom"];
  if (stage) editBox();
  keys();

  function editBox() {
    const width = +stage.dataset.width, height = +stage.dataset.height;
    const fields = SIDES.map($), rect = stage.querySelector("rect"), crop = $("crop");
    const first = fields.map((field) => field.dataset.was);
    const typed = fields.map((field) => field.value);
    let box = typed.some((value) => value === "") ? null : typed.map(Number);
    let zoomed = false;

    // which sides a handle moves: place in SIDES, of x and of y; null: none
    const handles = [
      ["left edge", 0, null, "ew"], ["top edge", null, 1, "ns"], ["right edge", 2, null, "ew"], ["bottom edge", null, 3, "ns"],
      ["top left", 0, 1, "nwse"], ["top right", 2, 1, "nesw"], ["bottom right", 2, 3, "nwse"], ["bottom left", 0, 3, "nesw"],
    ].map(([name, x, y, shape]) => {
      const edge = x === null || y === null;  // corners are for the mouse: the keyboard reaches all by the edges
      const node = document.createElementNS("http://www.w3.org/2000/svg", "rect");
      node.setAttribute("class", `handle ${shape}`);
      node.dataset.name = name;
      if (edge) {
        node.setAttribute("tabindex", "0");
        node.setAttribute("role", "slider");
        node.setAttribute("aria-label", name);
        node.setAttribute("aria-orientation", x === null ? "vertical" : "horizontal");
        node.setAttribute("aria-valuemin", "0");
        node.setAttribute("aria-valuemax", x === null ? height : width);
      } else {
        node.setAttribute("aria-hidden", "true");
      }
      stage.append(node);
      drag(node, (dx, dy, start) => {
        const to = [...start];
        if (x !== null) to[x] = start[x] + dx;
        if (y !== null) to[y] = start[y] + dy;
        set(to, x, y);
      });
      if (edge) node.addEventListener("keydown", (event) => {
        const step = steps(event);
        if (!step || !box) return;
        const to = [...box];
        if (x !== null) to[x] += step[0] || -step[1];
        if (y !== null) to[y] += step[1] || -step[0];
        event.preventDefault();
        set(to, x, y);
      });
      return { node, x, y };
    });
    rect.classList.add("live");
    drag(rect, (dx, dy, start) => move(start, dx, dy));
    fields.forEach((field) => field.addEventListener("input", () => {
      const values = fields.map((one) => (one.value === "" ? NaN : Math.round(+one.value)));
      if (values.every(Number.isFinite) && values[0] < values[2] && values[1] < values[3]) { box = values; draw(false); }
    }));
    $("draw").addEventListener("click", () => {
      box = first.some((value) => value === "") ? [width / 4, height / 4, width * 3 / 4, height * 3 / 4].map(Math.round) : first.map(Number);
      draw(true);
    });
    $("zoom").addEventListener("click", () => { zoomed = !zoomed; $("zoom").setAttribute("aria-pressed", zoomed); stage.classList.toggle("zoomed", zoomed); frame(); draw(false); });
    new ResizeObserver(() => draw(false)).observe(stage);
    frame();
    draw(false);

    function steps(event) {
      const by = event.shiftKey ? 10 : 1;
      return { ArrowLeft: [-by, 0], ArrowRight: [by, 0], ArrowUp: [0, -by], ArrowDown: [0, by] }[event.key];
    }
    function clamp(value, low, high) { return Math.min(Math.max(Math.round(value), low), high); }
    // a side stops at the image's edge and one pixel before the opposite side
    function set(to, x, y) {
      box = [...box];
      if (x === 0) box[0] = clamp(to[0], 0, box[2] - 1);
      if (x === 2) box[2] = clamp(to[2], box[0] + 1, width);
      if (y === 1) box[1] = clamp(to[1], 0, box[3] - 1);
      if (y === 3) box[3] = clamp(to[3], box[1] + 1, height);
      draw(true);
    }
    function move(start, dx, dy) {
      const w = start[2] - start[0], h = start[3] - start[1];
      const left = clamp(start[0] + dx, 0, width - w), top = clamp(start[1] + dy, 0, height - h);
      box = [left, top, left + w, top + h];
      draw(true);
    }
    function drag(node, moved) {
      node.addEventListener("pointerdown", (event) => {
        if (!box || event.button) return;
        event.preventDefault();
        node.focus?.({ preventScroll: true });
        node.setPointerCapture(event.pointerId);
        const from = point(event), start = [...box];
        const onMove = (next) => { const to = point(next); moved(to.x - from.x, to.y - from.y, start); };
        const onUp = () => { node.removeEventListener("pointermove", onMove); };
        node.addEventListener("pointermove", onMove);
        node.addEventListener("lostpointercapture", onUp, { once: true });
      });
    }
    function point(event) { return new DOMPoint(event.clientX, event.clientY).matrixTransform(stage.getScreenCTM().inverse()); }
    function frame() {
      let view = [0, 0, width, height];
      if (zoomed && box) {
        const w = box[2] - box[0], h = box[3] - box[1];
        const scale = Math.min(1, 3 * Math.max(w / width, h / height));
        const vw = width * scale, vh = height * scale;
        view = [clamp(box[0] + w / 2 - vw / 2, 0, Math.floor(width - vw)), clamp(box[1] + h / 2 - vh / 2, 0, Math.floor(height - vh)), vw, vh];
      }
      stage.setAttribute("viewBox", view.join(" "));
    }
    function draw(write) {
      rect.toggleAttribute("hidden", !box);
      handles.forEach(({ node }) => node.toggleAttribute("hidden", !box));
      if (!box) return;
      const [left, top, right, bottom] = box;
      place(rect, left, top, right - left, bottom - top);
      const unit = 1 / (stage.getScreenCTM()?.a || 1);  // pixels of the image for one of the screen
      // small boxes: smaller handles, and edges longer than corners, so that they don't cover each other
      const side = Math.max(8 * unit, Math.min(14 * unit, (right - left) / 3, (bottom - top) / 3));
      handles.forEach(({ node, x, y }) => {
        const cx = x === null ? (left + right) / 2 : box[x], cy = y === null ? (top + bottom) / 2 : box[y];
        place(node, cx - side / 2, cy - side / 2, side, side);
        const value = x === null ? box[y] : box[x];
        if (node.hasAttribute("tabindex")) { node.setAttribute("aria-valuenow", value); node.setAttribute("aria-valuetext", `${value} pixels`); }
      });
      crop.setAttribute("viewBox", `${left} ${top} ${right - left} ${bottom - top}`);
      $("share").textContent = `${right - left} × ${bottom - top} px, ${(100 * (right - left) * (bottom - top) / (width * height)).toPrecision(2)} % of the image`;
      if (write) fields.forEach((field, place) => { field.value = box[place]; field.dispatchEvent(new Event("change", { bubbles: true })); });
    }
    function place(node, x, y, w, h) { Object.entries({ x, y, width: w, height: h }).forEach(([name, value]) => node.setAttribute(name, value)); }
  }

  function keys() {
    const form = $("decide"), on = $("keyson");
    const said = (text) => text.replace(/[\0\ufffd]/g, "").trim().replace(/\s+/g, " ");
    if (form) {
      const mark = () => form.querySelectorAll("[data-was]").forEach((field) => {
        field.classList.toggle("changed", said(field.value) !== said(field.dataset.was));
      });
      ["input", "change"].forEach((name) => form.addEventListener(name, mark));
      mark();
    }
    if (on) {
      try { on.checked = localStorage.getItem("r2i-keys") !== "off"; } catch { /* no storage: on */ }
      on.addEventListener("change", () => { try { localStorage.setItem("r2i-keys", on.checked ? "on" : "off"); } catch { /* as above */ } });
    }
    document.addEventListener("keydown", (event) => {
      const field = event.target.closest?.("textarea, select, input:not([type=radio]):not([type=checkbox])");
      if (event.key === "Escape" && field) { field.blur(); return; }
      if (event.repeat) return;  // a key that is held down decides once
      if (field || event.ctrlKey || event.altKey || event.metaKey || (on && !on.checked)) return;
      const press = (id) => $(id)?.click();
      const act = {
        a: () => press("accept"), f: () => press("fix"), s: () => press("skipit"), u: () => press("undoit"), z: () => press("zoom"),
        r: () => ($("reason")?.value ? press("reject") : $("reason")?.focus()),
        q: () => $("question")?.focus(), b: () => document.querySelector(".handle[tabindex]")?.focus(),
      }[event.key];
      if (act) { event.preventDefault(); act(); }
    });
  }
})();
