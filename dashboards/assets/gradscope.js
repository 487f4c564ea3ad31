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

  dash.gradscope = {
    colours: function () {
      return colours();
    },

    // A figure arrives without colours of its own: the template of the scheme in use gives them.
    draw: function (data, scheme, templates) {
      const keep = dash.no_update;
      if (!data || !scheme) {
        return [keep, keep, keep, keep, keep];
      }
      if (data.notice) {
        return [keep, "plot " + (data.failed ? "is-failed" : "is-noticed"), data.notice, "", ""];
      }
      const layout = Object.assign({}, data.figure.layout, { template: templates[scheme], autosize: true });
      const meta = layout.meta || {};
      const unit = meta.unit && meta.unit !== "1" ? meta.unit : "";
      return [{ data: data.figure.data, layout: layout }, "plot is-drawn", "", meta.caption || "", unit];
    },

    name: function (title) {
      document.title = title;
      return dash.no_update;
    },

    // Every look at the store is answered with its number; three without an answer, and the server is gone.
    banner: function (ticks, answered) {
      return (ticks || 0) - (answered || 0) > 3 ? "banner" : "banner hidden";
    },

    // A page writes the link of what it shows; the address bar follows without a turn through the server.
    follow: function (search) {
      if (typeof search === "string" && search !== window.location.search) {
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
      String(props.value).slice(0, 10)
    );
  };

  cell.Verdict = function (props) {
    const row = props.data;
    const text = row.status === "done" || row.verdict ? row.verdict_text : row.status;
    const hue = { "--hue": (props.hues || {})[row.verdict || row.status] };
    return element(
      "span",
      { className: "verdict", style: hue },
      element("i", { className: "dot", "aria-hidden": "true" }),
      element("span", null, text)
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
