// The footprints of the images in the table, on a view of the sky. The table is complete without it.

const box = document.getElementById("sky");
const note = document.getElementById("sky-note");
const rows = [...document.querySelectorAll("table.images tbody tr")];
const colour = { 2: "#f0b429", 3: "#5aa9e6" };
const chosen = "#ff5c5c";

/** The corners of a row's footprint: pairs of degrees. */
function corners(row) {
  const numbers = row.dataset.footprint.trim().split(/\s+/).map(Number);
  return numbers.filter((_, n) => n % 2 === 0).map((ra, n) => [ra, numbers[2 * n + 1]]);
}

/** The middle of all footprints and the widest angle from it, in degrees. */
function field() {
  const vectors = rows.flatMap(corners).map(([ra, dec]) => {
    const [a, d] = [ra, dec].map((angle) => (angle * Math.PI) / 180);
    return [Math.cos(d) * Math.cos(a), Math.cos(d) * Math.sin(a), Math.sin(d)];
  });
  const sum = [0, 1, 2].map((axis) => vectors.reduce((total, one) => total + one[axis], 0));
  const length = Math.hypot(...sum) || 1;
  const middle = sum.map((one) => one / length);
  const widest = Math.max(
    ...vectors.map((one) => Math.acos(Math.min(1, one.reduce((total, x, axis) => total + x * middle[axis], 0)))),
  );
  const degrees = 180 / Math.PI;
  const ra = (Math.atan2(middle[1], middle[0]) * degrees + 360) % 360;
  // The viewer's field is that of its width; what is less high than wide shows less from south to north.
  const shape = Math.max(1, box.clientWidth / Math.max(1, box.clientHeight));
  const across = Math.min(180, Math.max(0.01, 2.2 * widest * degrees * shape));
  return { ra, dec: Math.asin(middle[2]) * degrees, across };
}

/** Say why there is no view; the table goes on working. */
function without(why) {
  box.hidden = true;
  note.hidden = false;
  note.textContent = why;
}

async function show() {
  if (!document.createElement("canvas").getContext("webgl2")) {
    without("This browser shows no view of the sky, because it has no WebGL 2. The table below is complete.");
    return;
  }
  // The page has an origin of its own, which keeps nothing; the viewer looks for what it may have kept.
  const nothing = { getItem: () => null, setItem() {}, removeItem() {}, clear() {} };
  Object.defineProperty(window, "localStorage", { value: nothing });
  box.hidden = false;
  const { default: A } = await import(box.dataset.viewer);
  await A.init;
  const { ra, dec, across } = field();
  const sky = A.aladin("#sky", {
    // No survey: its tiles would come from elsewhere.
    survey: [],
    hipsList: [],
    target: `${ra} ${dec}`,
    fov: across,
    cooFrame: "ICRS",
    showCooGrid: true,
    gridOptions: { color: "#7c8798", opacity: 0.6 },
    backgroundColor: "#10141a",
    log: false,
    samp: false,
    showReticle: false,
    showContextMenu: false,
    showLayersControl: false,
    showFullscreenControl: false,
    showSimbadPointerControl: false,
    showProjectionControl: false,
    showCooGridControl: false,
    showSettingsControl: false,
    showShareControl: false,
    showStatusBar: false,
    showFrame: false,
  });
  const layer = A.graphicOverlay({ lineWidth: 2, name: "footprints" });
  sky.addOverlay(layer);
  const shapes = rows.map((row) => A.polygon(corners(row), { color: colour[row.dataset.level] }));
  shapes.forEach((shape) => layer.add(shape));

  let current = -1;
  const buttons = rows.map((row) => {
    const name = row.querySelector(".name");
    const button = document.createElement("button");
    button.type = "button";
    button.className = "pick";
    button.textContent = name.textContent;
    button.setAttribute("aria-pressed", "false");
    name.replaceChildren(button);
    return button;
  });
  function select(place, { fromSky = false } = {}) {
    if (current >= 0) {
      shapes[current].setColor(colour[rows[current].dataset.level]);
      rows[current].classList.remove("chosen");
      buttons[current].setAttribute("aria-pressed", "false");
    }
    current = place === current && !fromSky ? -1 : place;
    if (current < 0) return;
    shapes[current].setColor(chosen);
    rows[current].classList.add("chosen");
    buttons[current].setAttribute("aria-pressed", "true");
    if (fromSky) {
      buttons[current].focus({ preventScroll: true });
      rows[current].scrollIntoView({ block: "nearest" });
    }
    box.dataset.chosen = rows[current].dataset.name;
  }
  buttons.forEach((button, place) => {
    button.addEventListener("click", () => select(place));
    button.addEventListener("keydown", (event) => {
      const step = { ArrowDown: 1, ArrowUp: -1 }[event.key];
      if (!step || !buttons[place + step]) return;
      event.preventDefault();
      buttons[place + step].focus();
      select(place + step);
    });
  });
  sky.on("footprintClicked", (shape) => {
    const place = shapes.indexOf(shape);
    if (place >= 0) select(place, { fromSky: true });
  });
  box.dataset.ready = "yes";
}

show().catch(() => without("The view of the sky could not be shown. The table below is complete."));
