// The time cursor: every figure along the sequence marks the step under the pointer, or the one that was kept. A thin
// line over each figure, moved by its own transform: Plotly draws nothing anew, so that it keeps up with the pointer.
(function () {
  "use strict";

  const SLIP = 4; // pixels within which a press is a click and not a zoom
  const MANY = 5; // curves of which the line says the numbers
  const RAISED = { "+": "⁺", "-": "⁻", "−": "⁻", ".": "·" };

  let kept = null; // the step that stays, or null
  let hovered = null; // the step under the pointer, or null
  let pointed = null; // the graph under the pointer
  let pressed = null; // where the pointer went down
  let drawing = false;

  function bar() {
    return document.getElementById("cursor-bar");
  }

  function last() {
    return bar() ? Number(bar().dataset.last) : Infinity;
  }

  function graphs() {
    return Array.from(document.querySelectorAll(".plot.is-drawn .js-plotly-plot")).filter(
      (graph) => graph._fullLayout && graph._fullLayout.xaxis && ((graph.layout || {}).meta || {}).along
    );
  }

  // Text of a figure's own hover, without its markup: 10<sup>-4</sup> becomes 10⁻⁴.
  function plain(text) {
    const raised = (whole, power) =>
      power.replace(/[-+−.\d]/g, (sign) => RAISED[sign] || "⁰¹²³⁴⁵⁶⁷⁸⁹"[Number(sign)]);
    return String(text).split(/<br>| · /)[0].replace(/<sup>(.*?)<\/sup>/g, raised).replace(/<[^>]*>/g, "");
  }

  // A number short enough to stand beside a line.
  function short(text) {
    return text.replace(/\d+\.\d+/, (number) => String(Number(Number(number).toPrecision(4))));
  }

  function place(numbers, step) {
    let low = 0;
    let high = numbers.length - 1;
    while (low <= high) {
      const middle = (low + high) >> 1;
      if (numbers[middle] === step) {
        return middle;
      }
      if (numbers[middle] < step) {
        low = middle + 1;
      } else {
        high = middle - 1;
      }
    }
    return -1;
  }

  // What the curves of a figure are at a step; none where the step was not measured or not drawn.
  function readings(graph, step) {
    const found = [];
    graph._fullData.forEach(function (trace) {
      const meta = trace.meta || {};
      if (trace.visible === true && meta.role === "median" && trace.text && trace.x) {
        const at = place(trace.x, step);
        if (at >= 0 && Number.isFinite(trace.y[at])) {
          found.push({ colour: trace.line.color, text: short(plain(trace.text[at])) });
        }
      }
    });
    return found.length <= MANY ? found : [];
  }

  function line(graph) {
    const box = graph.closest(".plot");
    let mark = box.querySelector(":scope > .cursor");
    if (!mark) {
      mark = document.createElement("div");
      mark.className = "cursor";
      mark.setAttribute("aria-hidden", "true");
      mark.appendChild(document.createElement("div")).className = "cursor-label";
      box.appendChild(mark);
    }
    return mark;
  }

  function label(mark, graph, step) {
    const found = graph === pointed ? [] : readings(graph, step);
    const key = step + " " + found.map((one) => one.text).join(" ");
    const box = mark.firstChild;
    if (box.dataset.key !== key) {
      box.dataset.key = key;
      box.replaceChildren();
      found.forEach(function (one) {
        const row = box.appendChild(document.createElement("span"));
        const dot = row.appendChild(document.createElement("i"));
        dot.className = "dot";
        dot.style.setProperty("--hue", one.colour);
        row.appendChild(document.createTextNode(one.text));
      });
    }
    box.hidden = !found.length;
  }

  function mark(graph, step) {
    const axis = graph._fullLayout.xaxis;
    const area = graph._fullLayout._size;
    const x = step === null ? NaN : axis.l2p(step);
    const found = line(graph);
    found.hidden = !(x >= -0.5 && x <= axis._length + 0.5);
    if (!found.hidden) {
      label(found, graph, step);
      found.classList.toggle("is-left", x > 0.62 * axis._length);
      found.classList.toggle("is-kept", hovered === null);
      found.style.height = area.h + "px";
      found.style.transform = "translate(" + (axis._offset + x).toFixed(1) + "px," + area.t + "px)";
    }
  }

  function paint() {
    drawing = false;
    const step = hovered === null ? kept : hovered;
    graphs().forEach((graph) => mark(graph, step));
    if (bar()) {
      tell(step);
    }
  }

  // What the line above the figures says: the step that they mark; its slider stands at the one that stays.
  function tell(step) {
    const slider = bar().querySelector("input");
    document.getElementById("cursor-value").textContent = step === null ? "–" : step.toLocaleString("en");
    bar().classList.toggle("is-kept", kept !== null);
    slider.value = kept || 0;
    slider.parentNode.style.setProperty("--at", (kept || 0) / last());
  }

  function draw() {
    if (!drawing) {
      drawing = true;
      window.requestAnimationFrame(paint);
    }
  }

  function write() {
    const asked = new URLSearchParams(window.location.search);
    if (String(kept) !== String(asked.get("t"))) {
      const rest = window.location.search.replace(/([?&])t=[^&]*&?/, "$1").replace(/[?&]$/, "");
      const more = kept === null ? "" : (rest ? "&" : "?") + "t=" + kept;
      window.history.replaceState(window.history.state, "", window.location.pathname + rest + more);
    }
  }

  function keep(step) {
    kept = step === null ? null : Math.max(0, Math.min(last(), Math.round(step)));
    if (bar()) {
      write();
    }
    draw();
  }

  // The step under the pointer, or null where it is not over the plot of a figure along the sequence.
  function under(event, graph) {
    const layout = graph && graph._fullLayout;
    if (!layout || !layout.xaxis || !((graph.layout || {}).meta || {}).along) {
      return null;
    }
    const box = graph.getBoundingClientRect();
    const x = event.clientX - box.left - layout.xaxis._offset;
    const y = event.clientY - box.top - layout._size.t;
    const inside = x >= 0 && x <= layout.xaxis._length && y >= 0 && y <= layout._size.h;
    return inside ? Math.max(0, Math.round(layout.xaxis.p2l(x))) : null;
  }

  function graphOf(event) {
    return event.target.closest ? event.target.closest(".js-plotly-plot") : null;
  }

  document.addEventListener("pointermove", function (event) {
    const graph = graphOf(event);
    const step = event.buttons ? null : under(event, graph);
    if (step !== hovered || (step !== null && graph !== pointed)) {
      hovered = step;
      pointed = step === null ? null : graph;
      draw();
    }
  });
  document.addEventListener("pointerleave", function () {
    hovered = pointed = null;
    draw();
  });
  document.addEventListener("pointerdown", function (event) {
    const graph = event.button === 0 ? graphOf(event) : null;
    const free = graph && !event.target.closest(".legend, .modebar, .draglayer .ew, .draglayer .ns");
    pressed = free ? { graph: graph, x: event.clientX, y: event.clientY } : null;
  }, true);
  document.addEventListener("pointerup", function (event) {
    const still = pressed && Math.hypot(event.clientX - pressed.x, event.clientY - pressed.y) < SLIP;
    const step = still && bar() ? under(event, pressed.graph) : null;
    pressed = null;
    if (step !== null) {
      keep(step);
    }
  }, true);

  document.addEventListener("keydown", function (event) {
    const target = event.target;
    if (!bar() || event.ctrlKey || event.metaKey || event.altKey || !target.closest) {
      return;
    }
    const open = Array.from(document.querySelectorAll("[role=menu], [role=listbox]")).some((one) => one.checkVisibility());
    if (event.key === "Escape" && kept !== null && !open) {
      keep(null);
      return;
    }
    if (!target.matches(".plot[tabindex]")) {
      return;
    }
    const wide = event.shiftKey ? 10 : 1;
    const now = kept === null ? 0 : kept;
    const next = { ArrowLeft: now - wide, ArrowRight: now + wide, Home: 0, End: last() }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      hovered = null;
      keep(kept === null && event.key.startsWith("Arrow") ? 0 : next);
    }
  });

  document.addEventListener("click", function (event) {
    if (event.target.closest && event.target.closest("#cursor-clear")) {
      keep(null);
    }
  });
  window.addEventListener("resize", draw);
  window.addEventListener("popstate", draw);

  // A figure that is drawn, zoomed or moved shows the mark at its new place.
  document.addEventListener("gradscope:plot", draw);

  // A plain slider, which this page hears by itself. When a run is opened, its link says which step stays.
  function open(box) {
    const slot = box.querySelector(".slider");
    const slider = slot.querySelector("input") || slot.appendChild(document.createElement("input"));
    Object.assign(slider, { type: "range", min: 0, max: box.dataset.last, step: 1 });
    slider.setAttribute("aria-label", "Time step that every figure marks");
    slider.oninput = () => keep(Number(slider.value));
    const asked = new URLSearchParams(window.location.search).get("t");
    kept = /^\d+$/.test(asked || "") ? Math.min(Number(asked), last()) : null;
    hovered = null;
    draw();
  }

  let shown = null; // the run whose figures are marked

  new MutationObserver(function () {
    const box = bar();
    if (box && (box.dataset.run !== shown || !box.querySelector("input"))) {
      open(box);
    }
    shown = box && box.dataset.run;
  }).observe(document.body || document.documentElement, { subtree: true, childList: true, attributeFilter: ["data-run"] });
})();
