// A figure as a file: the picture as PNG or SVG with its title and caption, its numbers as CSV. All of it is made from
// what the card shows; no byte leaves the address of the dashboard.
(function () {
  "use strict";

  const dash = (window.dash_clientside = window.dash_clientside || {});
  const SCALE = 2; // pixels of a PNG for each pixel of the page
  const LEAST = { width: 720, height: 380 };
  const EDGE = 24;
  const NAMESPACE = "http://www.w3.org/2000/svg";

  function card(name) {
    const body = document.querySelector('[data-figure="' + CSS.escape(name) + '"]');
    return body && body.closest(".card");
  }

  function plain(text) {
    return String(text || "").replace(/\s+/g, " ").trim();
  }

  // What the page is about, as its tab says it, and the moment that it shows.
  function subject() {
    const title = document.title.replace(/ · gradscope$/, "");
    const moment = document.querySelector("#content [data-moment]");
    return [title, moment && moment.dataset.moment].filter(Boolean).join(" · ");
  }

  // What a card shows, where there is a choice.
  function view(box) {
    const choice = box.querySelector(".card-aside select, .card-aside input:not([type=hidden])");
    return choice && choice.offsetParent ? choice.value : "";
  }

  function fileName(name, kind) {
    const asked = new URLSearchParams(window.location.search);
    const parts = [
      decodeURIComponent(window.location.pathname).replace(/^\/(run\/)?/, "") || "overview",
      asked.get("layer") || "",
      asked.has("iteration") ? "iteration-" + asked.get("iteration") : "",
      name,
      view(card(name)),
    ];
    const safe = parts.map((part) => part.replace(/[^\w.-]+/g, "-").replace(/^[-.]+|-+$/g, "")).filter(Boolean);
    return safe.join("_").slice(0, 180) + "." + kind;
  }

  function save(blob, name) {
    const link = document.createElement("a");
    link.href = URL.createObjectURL(blob);
    link.download = name;
    document.body.appendChild(link);
    link.click();
    link.remove();
    window.setTimeout(() => URL.revokeObjectURL(link.href), 60000);
  }

  // Numbers -------------------------------------------------------------------------------------------------------

  function listed(key, value) {
    const found = window.gradscopeNumbers.packed(value);
    return ArrayBuffer.isView(found) ? Array.from(found) : found;
  }

  function numbers(graph) {
    const layout = Object.assign({}, graph.layout, { template: undefined });
    const text = JSON.stringify({ data: graph.data, layout: layout }, listed);
    return window
      .fetch("/figure.csv", { method: "POST", headers: { "Content-Type": "application/json" }, body: text })
      .then((reply) => (reply.ok ? reply.blob() : reply.text().then((words) => Promise.reject(new Error(words)))));
  }

  // Pictures ------------------------------------------------------------------------------------------------------

  function broken(text, font, width) {
    const brush = document.createElement("canvas").getContext("2d");
    brush.font = font;
    const lines = [];
    plain(text).split(" ").forEach(function (word) {
      const longer = lines.length ? lines[lines.length - 1] + " " + word : word;
      if (lines.length && brush.measureText(longer).width <= width) {
        lines[lines.length - 1] = longer;
      } else {
        lines.push(word);
      }
    });
    return lines;
  }

  function element(name, attributes, text) {
    const node = document.createElementNS(NAMESPACE, name);
    Object.keys(attributes).forEach((key) => node.setAttribute(key, attributes[key]));
    if (text !== undefined) {
      node.textContent = text;
    }
    return node;
  }

  // The figure as Plotly draws it, between what it is and what to conclude from it, on the colour of its card.
  function sheet(graph, name) {
    const box = card(name);
    const meta = graph.layout.meta || {};
    const size = {
      width: Math.max(LEAST.width, graph.clientWidth),
      height: Math.max(LEAST.height, graph.clientHeight),
    };
    const width = size.width + 2 * EDGE;
    const inks = window.getComputedStyle(box);
    const ink = inks.color;
    const quiet = window.getComputedStyle(box.querySelector(".caption")).color;
    const family = inks.fontFamily.replace(/"/g, "'");
    const title = [plain(box.querySelector("h3").textContent), view(box)].filter(Boolean).join(": ");
    const texts = [
      { lines: broken(title, "600 17px " + family, size.width), size: 17, weight: 600, fill: ink, step: 22 },
      { lines: broken(subject(), "13px " + family, size.width), size: 13, weight: 400, fill: quiet, step: 18 },
    ];
    const caption = broken(meta.caption, "12.5px " + family, size.width);
    const options = { format: "svg", width: size.width, height: size.height, imageDataOnly: true };
    return window.Plotly.toImage(graph, options).then(function (drawing) {
      const parsed = new DOMParser().parseFromString(drawing, "image/svg+xml").documentElement;
      let y = EDGE - 4;
      const lines = [];
      texts.forEach(function (text) {
        text.lines.forEach(function (line) {
          y += text.step;
          const look = { x: EDGE, y: y - 4, "font-size": text.size, "font-weight": text.weight, fill: text.fill };
          lines.push(element("text", look, line));
        });
      });
      y += 8;
      parsed.setAttribute("x", EDGE);
      parsed.setAttribute("y", y);
      y += size.height + 6;
      caption.forEach(function (line) {
        y += 18;
        lines.push(element("text", { x: EDGE, y: y - 4, "font-size": 12.5, fill: quiet }, line));
      });
      const height = y + EDGE - 4;
      const whole = element("svg", { width: width, height: height, viewBox: "0 0 " + width + " " + height });
      whole.setAttribute("font-family", family);
      whole.appendChild(element("title", {}, title));
      whole.appendChild(element("desc", {}, plain(meta.caption)));
      whole.appendChild(element("rect", { width: width, height: height, fill: inks.backgroundColor }));
      lines.concat([parsed]).forEach((node) => whole.appendChild(node));
      return { text: new XMLSerializer().serializeToString(whole), width: width, height: height };
    });
  }

  function drawing(made) {
    return new Blob([made.text], { type: "image/svg+xml" });
  }

  function picture(made) {
    return new Promise(function (done, failed) {
      const image = new Image();
      image.onload = function () {
        const canvas = document.createElement("canvas");
        canvas.width = Math.round(SCALE * made.width);
        canvas.height = Math.round(SCALE * made.height);
        canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
        canvas.toBlob((blob) => (blob ? done(blob) : failed(new Error("The picture is too large."))), "image/png");
      };
      image.onerror = () => failed(new Error("The browser could not draw the picture."));
      image.src = "data:image/svg+xml," + encodeURIComponent(made.text);
    });
  }

  const makers = {
    csv: (graph) => numbers(graph),
    svg: (graph, name) => sheet(graph, name).then(drawing),
    png: (graph, name) => sheet(graph, name).then(picture),
  };

  function refuse(error) {
    dash.set_props("trouble", {
      children: {
        namespace: "dash_mantine_components",
        type: "Alert",
        props: {
          children: String(error.message || error),
          title: "The figure could not be saved",
          color: "red",
          variant: "filled",
          withCloseButton: true,
          className: "trouble",
        },
      },
    });
  }

  // One menu serves every card -----------------------------------------------------------------------------------------

  let opener = null; // the button that the menu hangs from

  function menu() {
    return document.getElementById("export-menu");
  }

  // Below its button, above it at the window's lower edge; it goes where the button goes.
  function hang() {
    const list = menu();
    if (!list || !list.matches(":popover-open")) {
      return;
    }
    const box = opener.getBoundingClientRect();
    const below = box.bottom + 4 + list.offsetHeight <= window.innerHeight;
    list.style.left = Math.max(4, box.right - list.offsetWidth) + "px";
    list.style.top = (below ? box.bottom + 4 : box.top - 4 - list.offsetHeight) + "px";
  }

  function open(button) {
    const list = menu();
    opener = button;
    list.popover = "auto"; // Escape and a click elsewhere close it
    list.setAttribute("aria-label", button.getAttribute("aria-label"));
    list.showPopover();
    hang();
    button.setAttribute("aria-expanded", "true");
    list.querySelector("[role=menuitem]").focus();
  }

  function close() {
    menu().hidePopover();
    opener.focus();
  }

  document.addEventListener(
    "toggle",
    function (event) {
      if (event.target === menu() && event.newState === "closed" && opener) {
        opener.setAttribute("aria-expanded", "false");
      }
    },
    true
  );
  ["scroll", "resize"].forEach((name) => window.addEventListener(name, hang));

  document.addEventListener("keydown", function (event) {
    const item = event.target.closest && event.target.closest("#export-menu [role=menuitem]");
    if (!item) {
      return;
    }
    const items = [...menu().querySelectorAll("[role=menuitem]")];
    const place = items.indexOf(item);
    const next = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: -1 }[event.key];
    if (next !== undefined) {
      event.preventDefault();
      items.at(next % items.length).focus();
    } else if (event.key === "Tab") {
      close();
    }
  });

  document.addEventListener("click", function (event) {
    const at = (css) => event.target.closest && event.target.closest(css);
    const button = at("[data-export-of]");
    const item = at("[data-export]");
    if (button) {
      open(button);
    } else if (item && opener) {
      const name = opener.dataset.exportOf;
      const kind = item.dataset.export;
      const graph = card(name).querySelector(".js-plotly-plot");
      close();
      makers[kind](graph, name).then((blob) => save(blob, fileName(name, kind)), refuse);
    }
  });
})();
