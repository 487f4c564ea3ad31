// The Scope: one request under way, the newest setting next, exact numbers when the hand lets go.
(function () {
  "use strict";

  const dash = (window.dash_clientside = window.dash_clientside || {});
  const own = (dash.gradscope = dash.gradscope || {});
  const QUIET = 250; // milliseconds after which a hand that does not drag has let go

  let setting = null; // where the knobs stand
  let pinned = null; // the pinned part of the link, or null
  let wanted = null; // what to ask next
  let flying = null; // what is asked
  let timer = null;
  let held = false;
  let due = false; // whether the numbers shown are still those of a moving hand

  function here() {
    return document.querySelector(".scope-cards") !== null;
  }

  function address(exact) {
    const values = new URLSearchParams(setting);
    if (pinned !== null) {
      values.set("pin", pinned);
    }
    if (exact) {
      values.set("exact", "1");
    }
    return "/scope/measure?" + values;
  }

  function ask(exact) {
    wanted = { exact: exact, url: address(exact), begun: performance.now() };
    if (flying && flying.exact) {
      flying.control.abort(); // the knobs have moved on
      flying = null;
    }
    pump();
  }

  function pump() {
    if (flying || !wanted) {
      return;
    }
    const one = (flying = wanted);
    wanted = null;
    one.control = new AbortController();
    window
      .fetch(one.url, { signal: one.control.signal })
      .then((reply) => (reply.ok ? reply.json() : { error: "This could not be measured; the server's log says why." }))
      .then(
        (answer) => flying === one && here() && show(answer, one),
        () => undefined // given up, or the server is gone: the page's banner says so
      )
      .then(function () {
        if (flying === one) {
          flying = null;
        }
        pump();
      });
    if (one.exact) {
      say("measuring exactly …", "is-busy");
    }
  }

  function say(text, look) {
    dash.set_props("scope-state", { children: text, className: "badge scope-state " + look });
  }

  function show(answer, one) {
    if (answer.error) {
      say(answer.error, "is-refused");
      return;
    }
    Object.keys(answer.figures).forEach(function (name) {
      dash.set_props({ type: "figure", name: "scope-" + name }, { data: { figure: answer.figures[name] } });
    });
    const exact = answer.state === "exact";
    say(exact ? "exact" : "sampled while you drag", exact ? "is-exact" : "is-sampled");
    if (exact) {
      due = false;
      dash.set_props("scope-verdict", {
        children: answer.verdict,
        className: "verdict large",
        style: { "--hue": answer.hue },
      });
      window.history.replaceState(window.history.state, "", window.location.pathname + answer.link);
    }
    if (!exact) {
      dash.set_props("scope-verdict", { className: "verdict large is-old" });
    }
    dash.set_props("scope-code", { children: answer.code });
    dash.set_props("scope-copy", { value: answer.code });
    dash.set_props("scope-pinned", { children: answer.pinned });
    window.gradscopeShown = { state: answer.state, url: one.url, begun: one.begun };
  }

  function settle() {
    window.clearTimeout(timer);
    timer = window.setTimeout(() => !held && due && here() && ask(true), QUIET);
  }

  document.addEventListener("pointerdown", function (event) {
    held = Boolean(event.target.closest && event.target.closest(".mantine-Slider-root"));
  });
  ["pointerup", "pointercancel"].forEach((name) =>
    document.addEventListener(name, function () {
      if (held) {
        held = false;
        settle();
      }
    })
  );

  own.turn = function (values, ids, link) {
    const now = {};
    ids.forEach((id, place) => (now[id.name] = String(values[place])));
    if (setting === null || !document.querySelector(".scope-state.is-exact, .scope-state.is-sampled, .scope-state.is-busy")) {
      pinned = new URLSearchParams(link).get("pin"); // the page has just been opened
    }
    setting = now;
    ids.forEach(function (id, place) {
      const beside = document.getElementById("scope-value-" + id.name);
      if (beside) {
        beside.textContent = String(values[place]).replace("-", "−");
      }
    });
    due = true;
    ask(false);
    settle();
    return dash.no_update;
  };

  own.pin = function () {
    pinned = new URLSearchParams(setting).toString();
    ask(true);
    return dash.no_update;
  };

  own.unpin = function () {
    pinned = null;
    ask(true);
    return dash.no_update;
  };

  own.python = function () {
    return true;
  };
})();
