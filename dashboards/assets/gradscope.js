// What the browser does by itself: draw figures in the colours in use, move between pages, notice a silent server.
(function () {
  "use strict";

  const dash = (window.dash_clientside = window.dash_clientside || {});

  // A run opens with the overview's view in its link, so that the way back leads there.
  function address(run) {
    return { pathname: "/run/" + encodeURIComponent(run), search: window.location.search };
  }

  function open(run) {
    dash.set_props("url", address(run));
  }

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

  dash.gradscope = {
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
      if (typeof search === "string" && decodeURIComponent(search) !== decodeURIComponent(window.location.search)) {
        dash.set_props("url", { search: search });
      }
      return dash.no_update;
    },

    link: function () {
      return window.location.href;
    },
  };

  const grid = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});

  grid.openRun = function (params) {
    const event = params.event;
    const held = event && (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.defaultPrevented);
    const selected = window.getSelection && String(window.getSelection()).length > 0;
    if (params.data && !held && !selected) {
      open(params.data.run);
    }
  };

  grid.openRunByKey = function (params) {
    if (params.data && params.event && params.event.key === "Enter") {
      open(params.data.run);
    }
  };

  const cell = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const element = function () {
    return window.React.createElement.apply(null, arguments);
  };

  // A real link: it can be opened in another tab, and read out. Everything from the store is set as text.
  cell.RunLink = function (props) {
    const to = address(props.value);
    const click = function (event) {
      if (event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey) {
        event.preventDefault();
        open(props.value);
      }
    };
    return element(
      "a",
      { href: to.pathname + to.search, onClick: click, className: "run-link", title: props.value },
      String(props.value).slice(0, 8)
    );
  };

  cell.Verdict = function (props) {
    const row = props.data;
    const text = row.status === "done" || row.verdict ? row.verdict_text : row.status;
    const [head, ...tail] = text.split(/(?= over )/); // the length has a column of its own: it goes first when narrow
    const hue = { "--hue": (props.hues || {})[row.verdict || row.status] };
    return element(
      "span",
      { className: "verdict", style: hue },
      element("i", { className: "dot", "aria-hidden": "true" }),
      element("span", null, head, element("span", { className: "tail" }, tail.join("")))
    );
  };

  cell.Measured = function (props) {
    const name = props.column.getColId();
    const interval = props.data[name + ":interval"];
    return element(
      "span",
      { className: "measured" },
      props.data[name + ":words"] || "–",
      interval ? element("span", { className: "interval" }, interval) : null
    );
  };

  // The arrow keys turn the pages from run to run, unless something else is using them.
  document.addEventListener("keydown", function (event) {
    const target = event.target;
    const busy = target.closest && target.closest("input, textarea, select, [role], .ag-root, .js-plotly-plot");
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
