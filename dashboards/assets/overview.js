// The overview in the browser: rows asked for as the reader comes near, groups that open, parts of figures that filter.
(function () {
  "use strict";

  const dash = (window.dash_clientside = window.dash_clientside || {});
  const gradscope = (dash.gradscope = dash.gradscope || {});
  const ROWS = "/overview/rows";
  const AGAIN = 2000; // milliseconds until rows that did not come are asked for once more

  // A run opens with the overview's view in its link, so that the way back leads there.
  function address(run, page) {
    return { pathname: "/" + (page || "run") + "/" + encodeURIComponent(run), search: window.location.search };
  }

  function open(run) {
    dash.set_props("url", address(run));
  }

  // Rows -------------------------------------------------------------------------------------------------------------

  const asked = { api: null, query: "", open: "", version: "" }; // what the table shows

  function added(query, pairs) {
    const text = pairs.map(([name, value]) => name + "=" + encodeURIComponent(value)).join("&");
    return text ? query + (query ? "&" : "?") + text : query;
  }

  function order(sorted) {
    return sorted.slice(0, 1).map((one) => ["sort", (one.sort === "desc" ? "-" : "") + one.colId]);
  }

  const source = {
    getRows: function (params) {
      const api = asked.api;
      const view = added(asked.query, order(params.sortModel).concat(asked.open));
      const wanted = added(view, [["first", params.startRow], ["last", params.endRow]]);
      window
        .fetch(ROWS + wanted)
        .then((answer) => (answer.ok ? answer.json() : Promise.reject(answer.status)))
        .then((answer) => params.successCallback(answer.rows, answer.count))
        .catch(function () {
          params.failCallback();
          setTimeout(() => api.isDestroyed() || api.refreshInfiniteCache(), AGAIN);
        });
    },
  };

  // The table of the page before may still be known by this name; Dash gives a new one a source of its own first.
  async function table() {
    for (;;) {
      const api = await window.dash_ag_grid.getApiAsync("runs");
      if (!api.isDestroyed() && api.getGridOption("datasource")) {
        return api;
      }
      await new Promise((again) => setTimeout(again, 20));
    }
  }

  // Other rows replace the old ones; the same ones, written anew, take their places in turn.
  gradscope.rows = function (data) {
    table().then(function (api) {
      const before = Object.assign({}, asked);
      Object.assign(asked, { api, query: data.query, open: data.open.map((key) => ["open", key]), version: data.version });
      if (before.api !== api) {
        api.setGridOption("datasource", source);
      } else if (before.query !== data.query) {
        api.purgeInfiniteCache();
      } else if (before.version !== data.version || JSON.stringify(before.open) !== JSON.stringify(asked.open)) {
        api.refreshInfiniteCache();
      }
    });
    return dash.no_update;
  };

  // The link holds what the table shows: a click changes the link, and the page follows it.
  function relink(drop, pairs) {
    const kept = Array.from(new URLSearchParams(window.location.search)).filter((pair) => !drop(pair));
    gradscope.follow("/" + added("", kept.concat(pairs)));
  }

  function turn(group) {
    const isOpen = asked.open.some(([, key]) => key === group);
    relink(([name, value]) => name === "open" && value === group, isOpen ? [] : [["open", group]]);
  }

  // A part of a figure says which runs it stands for: a click keeps those.
  document.addEventListener("gradscope:click", function (event) {
    const { graph, points } = event.detail;
    const { x = [], y = [], trace = [] } = graph.layout.meta.conditions || {};
    const point = points[0];
    const conditions = [].concat(x[point.x] || [], y[point.y] || [], trace[point.curveNumber] || []);
    if (conditions.length && graph.closest(".overview-figures")) {
      dash.set_props("picked", { data: { conditions, at: Date.now() } });
    }
  });

  // Selected runs ----------------------------------------------------------------------------------------------------

  let selected = [];
  gradscope.chosen = function (rows) {
    selected = (rows || []).map((row) => row.run);
    dash.set_props("compare", { children: selected.length ? "Compare " + selected.length : "Compare" });
    return selected.length < 2;
  };

  gradscope.compare = function (clicks) {
    if (clicks) {
      dash.set_props("url", { pathname: "/compare", search: added("", selected.map((run) => ["run", run])) });
    }
    return dash.no_update;
  };

  // Cells ------------------------------------------------------------------------------------------------------------

  const grid = (window.dashAgGridFunctions = window.dashAgGridFunctions || {});

  function enter(row) {
    return row.group ? turn(row.group) : open(row.run);
  }

  grid.sorted = function (params) {
    if (params.source === "uiColumnSorted") {
      relink(([name]) => name === "sort", order(params.api.getColumnState().filter((column) => column.sort)));
    }
  };

  grid.openRow = function (params) {
    const event = params.event;
    const held = event && (event.ctrlKey || event.metaKey || event.shiftKey || event.altKey || event.defaultPrevented);
    const marked = window.getSelection && String(window.getSelection()).length > 0;
    const boxed = event && event.target.closest && event.target.closest("[col-id=ag-Grid-SelectionColumn], a, button");
    if (params.data && !held && !marked && !boxed) {
      enter(params.data);
    }
  };

  grid.openRowByKey = function (params) {
    if (params.data && params.event && params.event.key === "Enter") {
      enter(params.data);
    }
  };

  const cell = (window.dashAgGridComponentFunctions = window.dashAgGridComponentFunctions || {});
  const element = function () {
    return window.React.createElement.apply(null, arguments);
  };

  // A real link: it can be opened in another tab, and read out. Everything from the store is set as text.
  function link(to, className, title, children) {
    const click = function (event) {
      if (event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey) {
        event.preventDefault();
        dash.set_props("url", to);
      }
    };
    return element("a", { href: to.pathname + to.search, onClick: click, className, title }, children);
  }

  cell.RunCell = function (props) {
    const row = props.data;
    if (!row) {
      return element("span", { className: "row-wait" });
    }
    if (row.group) {
      const mark = element("i", { className: "icon icon-fold" + (row.open ? " open" : ""), "aria-hidden": "true" });
      const text = row.runs.toLocaleString("en") + (row.runs === 1 ? " run" : " runs");
      const told = { className: "fold", "aria-expanded": row.open, title: row.group, tabIndex: -1 };
      return element("button", Object.assign(told, { onClick: () => turn(row.group) }), mark, text);
    }
    const curve = element("i", { className: "icon icon-course", "aria-hidden": "true" });
    return element(
      "span",
      { className: "run-cell" },
      link(address(row.run), "run-link", row.run, String(row.run).slice(0, 8)),
      row.trained ? link(address(row.run, "training"), "run-course", "How run " + row.run + " was trained", curve) : null
    );
  };

  cell.Verdict = function (props) {
    const row = props.data;
    if (!row) {
      return null;
    }
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
    const interval = props.data && props.data[name + ":interval"];
    return element(
      "span",
      { className: "measured" },
      props.value === null ? "–" : props.value,
      interval ? element("span", { className: "interval" }, interval) : null
    );
  };
})();
