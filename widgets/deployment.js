// The live table of `%ggml deploy … --watch`: the trait `steps` in, one row each out.

const COLUMNS = ["seconds", "device", "component", "state", "detail"];
const GOOD = ["SUCCEEDED", "COMPLETED", "RUNNING", "FINISHED", "PUBLISHED", "UNCHANGED", "CREATED", "FOUND", "HEALTHY"];
const BAD = ["FAILED", "TIMED_OUT", "CANCELED", "REJECTED", "ERRORED", "BROKEN", "UNHEALTHY"];

function element(name, text = "", attributes = {}) {
  const made = document.createElement(name);
  made.textContent = text;
  for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
  return made;
}

// The word says it; the shape beside it is for the eye only.
function shape(state) {
  if (GOOD.includes(state)) return "✓";
  return BAD.includes(state) ? "✗" : "…";
}

function row(step) {
  const made = element("tr");
  for (const column of COLUMNS) {
    const cell = element("td");
    if (column === "state") cell.append(element("span", shape(step.state), { "aria-hidden": "true" }), " ");
    cell.append(step[column] ?? "");
    made.append(cell);
  }
  return made;
}

function render({ model, el }) {
  const root = element("div", "", { class: "ggml-deployment", role: "status", "aria-live": "polite" });
  const table = element("table");
  const caption = element("caption");
  const head = element("tr");
  for (const column of COLUMNS) head.append(element("th", column, { scope: "col" }));
  const thead = element("thead");
  thead.append(head);
  const body = element("tbody");
  table.append(caption, thead, body);
  root.append(table);
  el.append(root);

  // Rows are only added, so that a screen reader says each step once.
  function update() {
    const steps = model.get("steps");
    caption.textContent = `${model.get("title")}: under way, ${steps.length} ${steps.length === 1 ? "step" : "steps"}`;
    for (const step of steps.slice(body.rows.length)) body.append(row(step));
  }

  model.on("change:steps", update);
  update();
  return () => model.off("change:steps", update);
}

export default { render };
