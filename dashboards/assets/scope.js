// The Scope: one request under way, the newest setting next, exact numbers when the hand lets go.
(function () {
  "use strict";

  const dash = (window.dash_clientside = window.dash_clientside || {});
  const own = (dash.gradscope = dash.gradscope || {});
  const live = window.gradscopeLive;
  const SLIDER = ".scope-slider input";
  const QUIET = 250; // milliseconds after which a hand that does not drag has let go
  const PATIENCE = 400; // and after which a reader wants to know how far an exact measurement is
  const AGAIN = 2000; // until a server that is gone is asked again
  const LARGEST = 32 * 1024 * 1024; // bytes of a file
  const client = Array.from(window.crypto.getRandomValues(new Uint32Array(2)), (part) => part.toString(36)).join("");
  const PAUSE = 400; // and after which Plotly gets time for a whole drawing

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
    if (flying || !wanted || !here()) {
      return; // an answer may come when the page has been left
    }
    const one = (flying = wanted);
    wanted = null;
    one.control = new AbortController();
    window
      .fetch(one.url, { signal: one.control.signal })
      .then((reply) => (reply.ok ? reply.json() : { error: "This could not be measured; the server's log says why." }))
      .then(
        (answer) => flying === one && here() && show(answer, one),
        () => flying === one && here() && lose(one) // else it was given up
      )
      .then(function () {
        if (flying === one) {
          flying = null;
        }
        pump();
      });
    if (one.exact) {
      say("measuring exactly …", "is-busy");
      follow(one);
    }
  }

  function lose(one) {
    refuse("The server does not answer.");
    window.setTimeout(() => here() && !flying && !wanted && ask(one.exact), AGAIN);
  }

  // How far an exact measurement is, for as long as it goes on; beside the state, which is read out.
  function follow(one) {
    window.setTimeout(function () {
      if (flying !== one) {
        return;
      }
      window
        .fetch("/scope/progress?client=" + client)
        .then((reply) => reply.json())
        .then((answer) => flying === one && step(answer.step), () => undefined)
        .then(() => follow(one));
    }, PATIENCE);
  }

  function step(text) {
    const found = document.getElementById("scope-step");
    if (found) {
      found.textContent = text;
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
    step("");
    put("scope-state", { children: text, className: "badge scope-state " + look });
  }

  // What is drawn belongs to another setting: it steps back.
  function refuse(reason) {
    say(reason, "is-refused");
    put("scope-verdict", { className: "verdict large is-old" });
    document.querySelectorAll(".scope-cards .plot:not(.is-drawn)").forEach(function (body) {
      own.give(body.dataset.figure, { notice: "There is nothing to show yet." });
    });
    fade(true);
  }

  function fade(refused) {
    const found = document.querySelector(".scope-cards");
    found && found.classList.toggle("is-refused", refused);
  }

  // Without a file there is nothing to show yet: no mistake, but an invitation.
  function invite(words) {
    const awaits = words !== undefined;
    document.querySelector(".scope-cards").classList.toggle("hidden", awaits);
    document.getElementById("scope-invitation").classList.toggle("hidden", !awaits);
    ["scope-pin", "scope-python"].forEach((name) => put(name, { disabled: awaits }));
    if (awaits) {
      put("scope-awaits", { children: words });
      put("scope-verdict", { className: "verdict large hidden" });
      say("no file yet", "is-awaiting");
    }
  }

  function link(answer) {
    window.history.replaceState(window.history.state, "", window.location.pathname + answer.link);
  }

  function show(answer, one) {
    if (answer.error) {
      refuse(answer.error);
      return;
    }
    fade(false);
    invite(answer.awaits);
    if (answer.awaits !== undefined) {
      due = false;
      window.clearTimeout(timer);
      link(answer);
      return;
    }
    const exact = answer.state === "exact";
    const names = Object.keys(answer.figures);
    names.forEach(function (name) {
      const figure = live.mark(answer.figures[name], one.turn);
      if (exact) {
        live.forget(name);
      }
      if (exact || !live.draw(name, figure)) {
        own.give("scope-" + name, { figure: figure });
      }
    });
    say(exact ? "exact" : "sampled while you drag", exact ? "is-exact" : "is-sampled");
    if (exact) {
      due = false;
      put("scope-verdict", { children: answer.verdict, className: "verdict large", style: { "--hue": answer.hue } });
      link(answer);
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
    document.getElementById("scope-forget_bias").disabled = answer.lacks.includes("forget_bias");
    put("activation", { disabled: answer.lacks.includes("activation") }, { type: "scope", name: "activation" });
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
    held = event.target.matches(SLIDER);
  });
  ["pointerup", "pointercancel"].forEach((name) =>
    document.addEventListener(name, function () {
      if (held) {
        held = false;
        settle();
      }
    })
  );

  // Plain sliders, which the page hears by itself: a turn through Dash and React costs ten milliseconds.
  function make(row) {
    const slider = document.createElement("input");
    Object.assign(slider, { type: "range", id: "scope-" + row.dataset.name });
    ["min", "max", "step", "value"].forEach((key) => (slider[key] = row.dataset[key]));
    row.append(slider);
  }

  const along = (slider, value) => (value - slider.min) / (slider.max - slider.min);

  // Some cells cost more and go less far: a slider beyond its end then stands at it.
  function bound(slider, cell) {
    const { name, max, usual } = slider.parentNode.dataset;
    const ends = JSON.parse(document.getElementById("scope-cell-note").dataset.ends)[cell] || {};
    slider.max = ends[name] === undefined ? max : ends[name];
    slider.parentNode.style.setProperty("--usual", along(slider, usual));
    tell(slider);
  }

  // What a slider's number says, and how far its track is filled.
  function tell(slider) {
    const row = slider.parentNode;
    document.getElementById("scope-value-" + row.dataset.name).textContent = slider.value.replace("-", "−");
    row.style.setProperty("--at", along(slider, slider.value));
  }

  function turned() {
    window.clearTimeout(pause);
    due = true;
    ask(false);
    settle();
  }

  document.addEventListener("input", function (event) {
    const slider = event.target;
    if (setting !== null && slider.matches(SLIDER)) {
      tell(slider);
      setting[slider.parentNode.dataset.name] = slider.value;
      turned();
    }
  });

  own.turn = function (values, ids, link) {
    const now = {};
    ids.forEach((id, place) => (now[id.name] = String(values[place])));
    const opened = document.querySelector(".scope-state[class*=' is-']") === null;
    if (setting === null || opened) {
      pinned = new URLSearchParams(link).get("pin"); // the page has just been opened
      file = new URLSearchParams(link).get("file") || "";
      told = {};
    }
    document.querySelectorAll(".scope-slider:empty").forEach(make);
    document.querySelectorAll(SLIDER).forEach(function (slider) {
      bound(slider, now.cell);
      now[slider.parentNode.dataset.name] = slider.value;
    });
    document.querySelectorAll(".scope-file").forEach((row) => row.classList.toggle("hidden", now.signal !== "file"));
    if (opened || JSON.stringify(now) !== JSON.stringify(setting)) {
      setting = now;
      turned();
    }
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
        if (setting.signal === "file") {
          turned();
        } else { // it was dropped on the page
          dash.set_props({ type: "scope", name: "signal" }, { value: "file" });
        }
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

  const carries = (event) => here() && event.dataTransfer && [...event.dataTransfer.types].includes("Files");
  document.addEventListener("dragover", (event) => carries(event) && event.preventDefault());
  document.addEventListener("drop", function (event) {
    if (carries(event)) {
      event.preventDefault();
      send(event.dataTransfer.files[0]);
    }
  });

  own.python = function (clicks) {
    if (!clicks) {
      return dash.no_update;
    }
    put("scope-code", { children: code });
    put("scope-copy", { value: code });
    return true;
  };
})();
