// Figures: a card asks for its figure when the reader comes near, or is given it; Plotly draws it in the colours in use.
// Cards are plain elements: a page of thirty figures costs Dash nothing.
(function () {
  "use strict";

  const dash = (window.dash_clientside = window.dash_clientside || {});
  const own = (dash.gradscope = dash.gradscope || {});
  const NEAR = "600px 0px"; // how far from the window a card asks for its figure
  const AGAIN = 2000; // milliseconds until a figure that did not come is asked for once more
  const FAILED = { notice: "This figure could not be had; the server's log says why.", failed: true };
  const LOST = { notice: "plotly.js, which draws the figures, could not be loaded. The page keeps asking for it.", failed: true };
  const LOOKS = ["is-waiting", "is-drawn", "is-noticed", "is-failed"];
  const CONFIG = {
    displaylogo: false,
    showSendToCloud: false, // no button that would send the data elsewhere
    displayModeBar: "hover",
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d", "toImage"],
  };

  const known = new Map(); // of the part of a card that holds its figure: what is asked and shown there
  const early = new Map(); // figures whose cards are still to come, by name
  let templates = null; // of both colour schemes
  let lost = false; // whether plotly.js did not arrive
  let flight = null; // the request under way, one at a time

  // Mantine writes the colours in use on the root element, whoever chose them: the reader, the switch, the system.
  const root = document.documentElement;
  function colours() {
    return root.getAttribute("data-mantine-color-scheme") === "dark" ? "dark" : "light";
  }

  // Drawing ------------------------------------------------------------------------------------------------------------

  function word(body, css, text) {
    const found = body.closest(".card").querySelector(css);
    if (found) {
      found.textContent = text;
    }
  }

  function look(body, name) {
    body.classList.remove(...LOOKS.filter((other) => other !== name));
    body.classList.add(name);
    body.closest(".card").classList.toggle("is-complete", name === "is-drawn");
  }

  function say(body, data) {
    word(body, ".plot-notice", data.notice);
    word(body, ".caption", "");
    word(body, ".card-head > .unit", "");
    look(body, data.failed ? "is-failed" : "is-noticed");
  }

  // Where the reader has zoomed since the last drawing, and the axis is still the same, the next figure keeps the
  // reader's range.
  function keepZoom(one, layout, current) {
    const before = one.axes;
    one.axes = {};
    Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key)).forEach(function (key) {
      const axis = layout[key];
      const title = JSON.stringify(axis.title || null);
      one.axes[key] = { range: JSON.stringify(axis.range || null), title: title };
      const now = current && current[key];
      const zoomed = now && now.range && !now.autorange && before[key] && JSON.stringify(now.range) !== before[key].range;
      if (zoomed && before[key].title === title) {
        axis.range = now.range.slice();
        axis.autorange = false;
      }
    });
  }

  // A figure arrives without colours of its own: the template of the scheme in use gives them.
  function draw(body, one) {
    const figure = one.data.figure;
    const graph = body.querySelector(".plot-graph");
    const layout = Object.assign(structuredClone(figure.layout), { template: templates[colours()], autosize: true });
    const meta = layout.meta || {};
    keepZoom(one, layout, graph.layout);
    if (meta.along) { // along the sequence: the arrow keys move the time cursor
      body.tabIndex = 0;
    } else {
      body.removeAttribute("tabindex");
    }
    word(body, ".plot-notice", "");
    word(body, ".caption", meta.caption || "");
    word(body, ".card-head > .unit", ["1", "log10"].includes(meta.unit) ? "" : meta.unit || ""); // a log axis says it
    body.closest(".card").classList.toggle("is-blank", !figure.data.length); // words alone need less room
    window.Plotly.react(graph, figure.data.map(window.gradscopeNumbers.unpacked), layout, CONFIG);
    look(body, "is-drawn");
    if (!one.graph) {
      attend(body, one, graph);
    }
  }

  function tell(name, detail) {
    document.dispatchEvent(new CustomEvent(name, { detail: detail }));
  }

  function attend(body, one, graph) {
    one.graph = graph;
    graph.on("plotly_afterplot", () => tell("gradscope:plot", graph));
    graph.on("plotly_click", (event) => tell("gradscope:click", { name: one.name, graph: graph, points: event.points }));
    tell("gradscope:plot", graph);
    sizes.observe(body);
  }

  // Whether a graph is drawn for another size than it has; Plotly rounds.
  function other(drawn, graph) {
    return Math.abs(drawn.width - graph.clientWidth) > 1 || Math.abs(drawn.height - graph.clientHeight) > 1;
  }

  const sizes = new ResizeObserver(function (entries) {
    window.requestAnimationFrame(function () {
      entries.forEach(function ({ target: body }) {
        const graph = (known.get(body) || {}).graph;
        if (graph && graph.clientWidth && other(graph._fullLayout, graph)) {
          window.Plotly.Plots.resize(graph);
        }
      });
    });
  });

  function show(body, data) {
    const one = known.get(body);
    one.data = data;
    if (data.notice) {
      say(body, data);
    } else if (templates && window.Plotly) {
      try {
        draw(body, one);
      } catch (error) {
        console.error(error);
        say(body, { notice: "This figure could not be drawn: " + error, failed: true });
      }
    } else if (lost && !window.Plotly) {
      say(body, LOST);
    }
  }

  function again() {
    known.forEach((one, body) => one.data && !one.data.notice && body.isConnected && show(body, one.data));
  }

  new MutationObserver(again).observe(root, { attributeFilter: ["data-mantine-color-scheme"] });

  const script = document.getElementById("plotly");
  if (!window.Plotly) {
    script.addEventListener("load", again);
  }

  function reload() {
    const next = document.createElement("script");
    next.src = script.src;
    next.addEventListener("load", again);
    next.addEventListener("error", () => window.setTimeout(reload, AGAIN));
    document.head.append(next);
  }

  // The page has everything that will come, and this is not among it.
  window.addEventListener("load", function () {
    lost = !window.Plotly;
    if (lost) {
      again();
      reload();
    }
  });

  // Asking -------------------------------------------------------------------------------------------------------------

  function choice(body) {
    return body.closest(".card").querySelector("select[data-choice]");
  }

  // Cards that ask stand in an element that says where; one without it is given its figure.
  function address(body) {
    const source = body.closest("[data-source]");
    if (!source) {
      return "";
    }
    const values = { name: body.dataset.figure };
    const select = choice(body);
    if (select) {
      values.choice = select.value;
    }
    return source.dataset.source + "&" + new URLSearchParams(values);
  }

  function away(body) {
    const box = body.getBoundingClientRect();
    return Math.max(0, box.top - window.innerHeight, -box.bottom) * 1e6 + box.top;
  }

  function ask(body, one, url) {
    const control = new AbortController();
    const landed = function () {
      flight = null;
      pump(); // the server makes the next figure while this one is drawn
    };
    one.url = url;
    flight = { body: body, url: url, stop: () => control.abort() };
    window
      .fetch(url, { signal: control.signal })
      .then((reply) => (reply.ok ? reply.json() : FAILED))
      .then(
        function (data) {
          landed();
          if (known.get(body) === one && one.url === url) {
            show(body, data);
            tell("gradscope:figure", { name: one.name, data: data });
          }
        },
        function (error) {
          one.url = "";
          window.setTimeout(landed, error.name === "AbortError" ? 0 : AGAIN); // gone: the page's banner says so
        }
      );
  }

  // The nearest card asks first; what is not wanted any more is given up.
  function pump() {
    if (flight) {
      const wanted = flight.body.isConnected && known.has(flight.body) && address(flight.body) === flight.url;
      return wanted || flight.stop();
    }
    let next = null;
    known.forEach(function (one, body) {
      const url = one.near && body.isConnected ? address(body) : "";
      const far = url && url !== one.url ? away(body) : Infinity;
      if (far < (next ? next.far : Infinity)) {
        next = { body: body, one: one, url: url, far: far };
      }
    });
    return next && ask(next.body, next.one, next.url);
  }

  function near(body, one, yes) {
    one.near = yes;
    body.classList.toggle("is-near", yes);
  }

  const watch = new IntersectionObserver(
    function (entries) {
      entries.forEach(function (entry) {
        const one = known.get(entry.target);
        if (one) {
          near(entry.target, one, entry.isIntersecting);
        }
      });
      pump();
    },
    { rootMargin: NEAR }
  );

  // What a card shows is part of the link: show=card:choice for each that does not show its first.
  function shown() {
    return new URLSearchParams(window.location.search).getAll("show").map(function (text) {
      const cut = text.indexOf(":");
      return [text.slice(0, cut), text.slice(cut + 1)];
    });
  }

  document.addEventListener("change", function (event) {
    const select = event.target.matches && event.target.matches("select[data-choice]") ? event.target : null;
    if (!select) {
      return;
    }
    const name = select.dataset.choice;
    const values = new URLSearchParams(window.location.search);
    const kept = shown().filter(([other]) => other !== name);
    values.delete("show");
    kept.concat(select.selectedIndex ? [[name, select.value]] : []).forEach((pair) => values.append("show", pair.join(":")));
    const search = values.size ? "?" + values : "";
    window.history.replaceState(window.history.state, "", window.location.pathname + search);
    pump();
  });

  // Cards that come and go ---------------------------------------------------------------------------------------------

  function meet(body, box) {
    const name = body.dataset.figure;
    const select = choice(body);
    const asked = select && shown().find(([other]) => other === name);
    if (asked && [...select.options].some((option) => option.value === asked[1])) {
      select.value = asked[1];
    }
    const one = { name: name, near: false, url: "", data: null, graph: null, axes: {} };
    known.set(body, one);
    near(body, one, box.top < window.innerHeight && box.bottom > 0); // what can be seen need not wait for the observer
    watch.observe(body);
    if (early.has(name)) {
      const data = early.get(name);
      early.delete(name);
      show(body, data);
    }
  }

  function forget(body, one) {
    known.delete(body);
    watch.unobserve(body);
    sizes.unobserve(body);
    if (one.graph) {
      window.Plotly.purge(one.graph);
    }
  }

  function scan() {
    window.gradscopeCards();
    known.forEach((one, body) => body.isConnected || forget(body, one));
    const fresh = [...document.querySelectorAll("[data-figure]")].filter((body) => !known.has(body));
    const boxes = fresh.map((body) => body.getBoundingClientRect()); // all before the first is changed
    fresh.forEach((body, place) => meet(body, boxes[place]));
    pump();
  }

  // At once, and not when Dash has done what else it does with a new page: the server draws meanwhile.
  new MutationObserver(scan).observe(document.body || root, {
    subtree: true, childList: true, attributes: true, attributeFilter: ["data-card", "data-title", "data-choices", "data-source"],
  });

  // Give a card its figure, {figure: ...} or {notice: ...}; it may be still to come.
  own.give = function (name, data) {
    const body = document.querySelector('[data-figure="' + CSS.escape(name) + '"]');
    if (body && known.has(body)) {
      show(body, data);
    } else {
      early.set(name, data);
    }
  };

  const given = new Map();

  // Figures that Dash hands to the page go to their cards.
  own.given = function (all, ids) {
    const now = new Map(ids.map((id, place) => [id.name, all[place]]));
    now.forEach((data, name) => data && given.get(name) !== data && own.give(name, data));
    given.clear();
    now.forEach((data, name) => given.set(name, data));
    return dash.no_update;
  };

  own.templates = function (both) {
    templates = both;
    again();
    return dash.no_update;
  };
})();
