// The Scope: one request under way, the newest setting next, exact numbers when the hand lets go.
(function () {
  "use strict";

  const dash = (window.dash_clientside = window.dash_clientside || {});
  const own = (dash.gradscope = dash.gradscope || {});
  const live = window.gradscopeLive;
  const LACKED = ["forget_bias", "activation"]; // knobs that not every cell has
  const QUIET = 250; // milliseconds after which a hand that does not drag has let go
  const LARGEST = 32 * 1024 * 1024; // bytes of a file
  const client = Array.from(window.crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
  const PAUSE = 200; // and after which Plotly gets time for a whole drawing

  let setting = null; // where the knobs stand
  let pinned = null; // the pinned part of the link, or null
  let wanted = null; // what to ask next
  let flying = null; // what is asked
  let turns = 0; // requests so far
  let file = ""; // what tells the file of the reader's own
  let code = "";
  let timer = null;
  let pause = null;
  let told = {}; // what Dash has heard
  let held = false;
  let due = false; // whether the numbers shown are still those of a moving hand

  function here() {
    const left = window.location.pathname !== "/scope"; // another page has been asked for, if it has not come yet
    return !left && document.querySelector(".scope-cards") !== null;
  }

  function address() {
    const values = new URLSearchParams(setting);
    if (pinned !== null) {
      values.set("pin", pinned);
    }
    if (setting.signal === "file" && file) {
      values.set("file", file);
    }
    return values;
  }

  // The server gives up what this page has asked for before.
  function request(exact) {
    const values = address();
    values.set("client", client);
    values.set("turn", turns);
    if (exact) {
      values.set("exact", "1");
    }
    return "/scope/measure?" + values;
  }

  function ask(exact) {
    turns += 1;
    wanted = { exact: exact, turn: turns, url: request(exact), begun: performance.now() };
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

  // Dash hears what has changed only: each word to it costs milliseconds.
  function put(name, props, id) {
    const text = JSON.stringify(props);
    if (told[name] !== text) {
      told[name] = text;
      dash.set_props(id || name, props);
    }
  }

  function say(text, look) {
    put("scope-state", { children: text, className: "badge scope-state " + look });
  }

  // What is drawn belongs to another setting: it steps back.
  function refuse(reason) {
    say(reason, "is-refused");
    put("scope-verdict", { className: "verdict large is-old" });
    document.querySelectorAll(".scope-cards .plot:not(.is-drawn)").forEach(function (body) {
      dash.set_props({ type: "figure", name: body.dataset.figure }, { data: { notice: "There is nothing to show yet." } });
    });
    fade(true);
  }

  function fade(refused) {
    const found = document.querySelector(".scope-cards");
    found && found.classList.toggle("is-refused", refused);
  }

  function show(answer, one) {
    if (answer.error) {
      refuse(answer.error);
      return;
    }
    fade(false);
    const exact = answer.state === "exact";
    const names = Object.keys(answer.figures);
    names.forEach(function (name) {
      const figure = live.mark(answer.figures[name], one.turn);
      if (exact) {
        live.forget(name);
      }
      if (exact || !live.draw(name, figure)) {
        dash.set_props({ type: "figure", name: "scope-" + name }, { data: { figure: figure } });
      }
    });
    say(exact ? "exact" : "sampled while you drag", exact ? "is-exact" : "is-sampled");
    if (exact) {
      due = false;
      put("scope-verdict", { children: answer.verdict, className: "verdict large", style: { "--hue": answer.hue } });
      window.history.replaceState(window.history.state, "", window.location.pathname + answer.link);
    } else {
      put("scope-verdict", { className: "verdict large is-old" });
      window.requestAnimationFrame(() => window.setTimeout(() => catchUp(names, true), 0)); // once the curves are seen
      window.clearTimeout(pause);
      pause = window.setTimeout(() => catchUp(names, false), PAUSE);
    }
    code = answer.code;
    put("scope-pinned", { children: answer.pinned });
    put("scope-cell-note", { children: answer.cell });
    put("scope-file-note", { children: answer.file });
    LACKED.forEach((name) => put(name, { disabled: answer.lacks.includes(name) }, { type: "scope", name: name }));
    window.gradscopeShown = { state: answer.state, url: one.url, begun: one.begun };
    document.dispatchEvent(new CustomEvent("scope-drawn", { detail: answer.state }));
  }

  // Plotly draws what it is behind with, a figure at a time, so that no pointer waits for long.
  function catchUp(names, words) {
    const idle = words || (!flying && !wanted);
    if (idle && here() && live.catchUp(names, words) && !words) {
      pause = window.setTimeout(() => catchUp(names, false), 0);
    }
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
    window.clearTimeout(pause);
    const now = {};
    ids.forEach((id, place) => (now[id.name] = String(values[place])));
    if (setting === null || !document.querySelector(".scope-state.is-exact, .scope-state.is-sampled, .scope-state.is-busy")) {
      pinned = new URLSearchParams(link).get("pin"); // the page has just been opened
      file = new URLSearchParams(link).get("file") || "";
      told = {};
    }
    setting = now;
    document.querySelectorAll(".scope-file").forEach((row) => row.classList.toggle("hidden", now.signal !== "file"));
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

  own.pin = function (clicks) {
    if (!clicks) {
      return dash.no_update; // the button has just been made
    }
    pinned = null;
    pinned = address().toString();
    ask(true);
    return dash.no_update;
  };

  own.unpin = function (clicks) {
    if (!clicks) {
      return dash.no_update; // the button has just been made
    }
    pinned = null;
    ask(true);
    return dash.no_update;
  };

  // The file goes to the server on this machine alone, which keeps it in memory.
  function send(chosen) {
    if (chosen.size > LARGEST) {
      refuse(chosen.name + " has more than 32 MB: give a part of it; the Scope shows 400 steps of 16 sequences.");
      return;
    }
    say("reading " + chosen.name + " …", "is-busy");
    const sent = { method: "POST", body: chosen, headers: { "Content-Type": "application/octet-stream" } };
    window
      .fetch("/scope/file?name=" + encodeURIComponent(chosen.name), sent)
      .then((reply) => reply.json())
      .then(function (answer) {
        if (answer.error) {
          refuse(answer.error);
          return;
        }
        file = answer.file;
        ask(false);
        due = true;
        settle();
      })
      .catch(() => refuse(chosen.name + " could not be sent to the server."));
  }

  own.choose = function (clicks) {
    if (!clicks) {
      return dash.no_update; // the button has just been made
    }
    const picker = document.createElement("input");
    picker.type = "file";
    picker.accept = ".npy,.csv";
    picker.addEventListener("change", () => picker.files.length && send(picker.files[0]));
    picker.click();
    return dash.no_update;
  };

  own.python = function (clicks) {
    if (!clicks) {
      return dash.no_update;
    }
    put("scope-code", { children: code });
    put("scope-copy", { value: code });
    return true;
  };
})();
