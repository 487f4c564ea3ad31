// What the browser does by itself: move between pages, keep the address, notice a silent server.
(function () {
  "use strict";

  const dash = (window.dash_clientside = window.dash_clientside || {});
  let gone = false; // whether the server did not answer when it was asked last
  let begun = false; // whether the first page is known to be the one of the address
  const OWN = ["t", "show"]; // parts of the address that no page's server writes: see cursor.js and figures.js

  // A link's own part of the address, with what only the browser knows where the link says nothing of it.
  function kept(search) {
    const [to, now] = [new URLSearchParams(search), new URLSearchParams(window.location.search)];
    OWN.filter((name) => !to.has(name)).forEach(function (name) {
      now.getAll(name).forEach(function (value) {
        search += (search ? "&" : "?") + name + "=" + encodeURIComponent(value);
      });
    });
    return search;
  }

  // What the browser has written by itself, Dash does not know: it is told the whole address.
  function go(pathname, search) {
    dash.set_props("url", { href: window.location.origin + pathname + search, pathname: pathname, search: search });
  }

  // The frame brings the page of the address that the browser said; some browsers say half of it.
  function begin(pathname, search) {
    begun = true;
    if (pathname + search !== window.location.pathname + window.location.search) {
      go(window.location.pathname, window.location.search);
    }
  }

  dash.gradscope = Object.assign(dash.gradscope || {}, {
    // The header says which page is open; a run is a page of the runs.
    here: function (pathname, search) {
      if (!begun && pathname) {
        begin(pathname, search);
      }
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

    // Slow is not gone: the line appears only when the server cannot be reached at all. When it is back, the page is
    // asked for again: the reader may have gone on meanwhile.
    banner: function () {
      return window.fetch("/assets/logo.svg", { method: "HEAD", cache: "no-store" }).then(
        function () {
          if (gone) {
            gone = false;
            dash.set_props("version", { data: "" });
          }
          return "banner hidden";
        },
        function () {
          gone = true;
          return "banner";
        }
      );
    },

    // A page writes the link of what it shows; the address bar follows without a turn through the server. What only the
    // browser knows stays: the time that is marked, and what cards show.
    follow: function (link) {
      const to = typeof link === "string" ? new URL(link, window.location.origin) : null;
      if (!to || decodeURIComponent(to.pathname) !== decodeURIComponent(window.location.pathname)) {
        return dash.no_update; // nothing, or the answer to a page that has been left
      }
      const search = kept(to.search);
      if (decodeURIComponent(search) !== decodeURIComponent(window.location.search)) {
        go(window.location.pathname, search);
      }
      return dash.no_update;
    },

    link: function () {
      return window.location.href;
    },
  });

  // From run to run the marked time stays, and what the cards show.
  document.addEventListener("click", function (event) {
    const link = event.target.closest && event.target.closest("a.arrow");
    const plain = event.button === 0 && !event.ctrlKey && !event.metaKey && !event.shiftKey && !event.altKey;
    if (link && plain) {
      const to = new URL(link.href);
      event.preventDefault();
      event.stopPropagation();
      go(to.pathname, kept(to.search));
    }
  }, true);

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
