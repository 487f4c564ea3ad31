// What the browser does by itself: draw figures in the colours in use, move between pages, notice a silent server.
(function () {
  "use strict";

  const dash = (window.dash_clientside = window.dash_clientside || {});

  // Mantine writes the colours in use on the root element, whoever chose them: the reader, the switch, the system.
  const root = document.documentElement;
  function colours() {
    return root.getAttribute("data-mantine-color-scheme") === "dark" ? "dark" : "light";
  }
  let known = colours();
  new MutationObserver(function () {
    if (known !== colours()) {
      known = colours();
      dash.set_props("colours", { data: known });
    }
  }).observe(root, { attributeFilter: ["data-mantine-color-scheme"] });

  // The ranges that each figure asked for when it was last drawn. Where the reader has zoomed since, and the axis is
  // still the same, the next figure keeps the reader's range. (Plotly's own uirevision does not survive dcc.Graph, which
  // hands the zoomed layout back to Plotly as if it were the figure's own.)
  const asked = {};
  function keepZoom(name, layout, current) {
    const before = asked[name] || {};
    asked[name] = {};
    Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key)).forEach(function (key) {
      const axis = layout[key];
      const title = JSON.stringify(axis.title || null);
      asked[name][key] = { range: JSON.stringify(axis.range || null), title: title };
      const now = current && current[key];
      const zoomed = now && now.range && !now.autorange && before[key] && JSON.stringify(now.range) !== before[key].range;
      if (zoomed && before[key].title === title) {
        axis.range = now.range.slice();
        axis.autorange = false;
      }
    });
  }

  dash.gradscope = Object.assign(dash.gradscope || {}, {
    colours: function () {
      return colours();
    },

    // A figure arrives without colours of its own: the template of the scheme in use gives them.
    draw: function (data, scheme, templates, current, id) {
      const keep = dash.no_update;
      if (!data || !scheme) {
        return [keep, keep, keep, keep, keep];
      }
      if (data.notice) {
        return [keep, "plot " + (data.failed ? "is-failed" : "is-noticed"), data.notice, "", ""];
      }
      const figure = structuredClone(data.figure);
      Object.assign(figure.layout, { template: templates[scheme], autosize: true });
      keepZoom(id.name, figure.layout, current && current.layout);
      const meta = figure.layout.meta || {};
      const body = document.querySelector('[data-figure="' + id.name + '"]');
      if (body && meta.along) { // along the sequence: the arrow keys move the time cursor
        body.tabIndex = 0;
      } else if (body) {
        body.removeAttribute("tabindex");
      }
      window.dispatchEvent(new Event("gradscope:draw"));
      const unit = ["1", "log10"].includes(meta.unit) ? "" : meta.unit || ""; // a log axis says what it is itself
      return [figure, "plot is-drawn", "", meta.caption || "", unit];
    },

    // A figure is asked for when the reader comes near its card, so that a page of many cards stands at once.
    watch: function (id) {
      const body = document.querySelector('[data-figure="' + id.name + '"]');
      if (!body) {
        return Date.now();
      }
      const observer = new IntersectionObserver(
        function (entries) {
          if (entries.some((entry) => entry.isIntersecting)) {
            observer.disconnect();
            dash.set_props(id, { data: Date.now() });
          }
        },
        { rootMargin: "600px 0px" }
      );
      observer.observe(body);
      return dash.no_update;
    },

    // The header says which page is open; a run is a page of the runs.
    here: function (pathname) {
      const part = (pathname || "/").split("/")[1] || "";
      document.querySelectorAll(".nav-link").forEach(function (link) {
        const own = new URL(link.href).pathname.split("/")[1];
        if (own === (part === "run" ? "" : part)) {
          link.setAttribute("aria-current", part === "run" ? "true" : "page");
        } else {
          link.removeAttribute("aria-current");
        }
      });
    },

    name: function (title) {
      document.title = title;
      return dash.no_update;
    },

    // Slow is not gone: the line appears only when the server cannot be reached at all.
    banner: function () {
      return window.fetch("/assets/logo.svg", { method: "HEAD", cache: "no-store" }).then(
        function () {
          return "banner hidden";
        },
        function () {
          return "banner";
        }
      );
    },

    // A page writes the link of what it shows; the address bar follows without a turn through the server.
    follow: function (search) {
      const step = new URLSearchParams(window.location.search).get("t"); // the browser's own: see cursor.js
      if (typeof search === "string" && step !== null && !/[?&]t=/.test(search)) {
        search += (search ? "&" : "?") + "t=" + encodeURIComponent(step);
      }
      if (typeof search === "string" && decodeURIComponent(search) !== decodeURIComponent(window.location.search)) {
        dash.set_props("url", { search: search });
      }
      return dash.no_update;
    },

    link: function () {
      return window.location.href;
    },
  });

  // The arrow keys turn the pages from run to run, unless something else is using them.
  document.addEventListener("keydown", function (event) {
    const target = event.target;
    const busy = target.closest && target.closest("input, textarea, select, [role], .ag-root, .js-plotly-plot, .plot");
    if (busy || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey) {
      return;
    }
    const link = { ArrowLeft: "previous-run", ArrowRight: "next-run" }[event.key];
    const found = link && document.getElementById(link);
    if (found) {
      event.preventDefault();
      found.click();
    }
  });
})();
