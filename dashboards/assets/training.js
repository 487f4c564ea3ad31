// The page of a training: one iteration for the whole page, shown by a line in every figure and by the cut; played as a
// film, one request under way, every cut kept that has come.
(function () {
  "use strict";

  const dash = (window.dash_clientside = window.dash_clientside || {});
  const own = (dash.training = {});
  const REST = 400; // milliseconds after which the address follows
  const NEAR = 5; // pixels that a click may move
  const KEPT = 400; // cuts

  let moments = []; // every iteration in words
  let index = 0; // which of them is shown
  let drawn = -1; // which of them the cut shows
  let asked = null; // run, layer, probe, part, scale
  let opened = {}; // what is known of the run: its page, its layer
  let ghost = true;
  let number = "";
  let speed = 5; // iterations a second
  let timer = null; // of the film
  let resting = null;
  let tending = null;
  let flying = null;
  let echoes = []; // places that the page has given to the slider, and that the slider has not told back yet
  const cuts = new Map();

  function here() {
    return document.querySelector(".training-cards") !== null;
  }

  // The cut at the iteration -------------------------------------------------------------------------------------------

  function address(place) {
    const values = { run: asked.run, layer: asked.layer, probe: asked.probe, part: asked.part, iteration: moments[place].n };
    if (!ghost) {
      values.ghost = "off";
    }
    return "/training/cut?" + new URLSearchParams(values);
  }

  function pump() {
    if (!asked || !asked.probe || asked.layer !== opened.layer || !moments.length || !here()) {
      return;
    }
    const now = address(index);
    if (cuts.has(now)) {
      draw(now);
    }
    // What is shown comes first; while the film runs, the next one is fetched ahead.
    const ahead = timer && index + 1 < moments.length ? address(index + 1) : null;
    const next = [now, ahead].find((url) => url && !cuts.has(url));
    if (!next || flying) {
      return;
    }
    const one = (flying = { url: next });
    window
      .fetch(next)
      .then((reply) => (reply.ok ? reply.json() : { notice: "This cut could not be drawn; the server's log says why." }))
      .then(
        function (answer) {
          if (flying !== one) {
            return; // the training has gone on meanwhile, and the axes with it
          }
          cuts.set(next, answer);
          if (cuts.size > KEPT) {
            cuts.delete(cuts.keys().next().value);
          }
        },
        () => undefined // the server is gone: the page's banner says so
      )
      .then(function () {
        if (flying === one) {
          flying = null;
        }
        if (cuts.has(next)) {
          pump();
        } else {
          window.setTimeout(pump, 1000);
        }
      });
  }

  let put = null; // the cut that is in the card

  function draw(url) {
    if (put === url) {
      return;
    }
    put = url;
    const answer = cuts.get(url);
    dash.gradscope.give("training-cut", answer);
    if (answer.notice) {
      drawn = index;
    }
  }

  // The line in every figure -------------------------------------------------------------------------------------------

  function place(n, scale) {
    return scale === "log" ? Math.log10(n + 1) : n;
  }

  function graphs() {
    return [...document.querySelectorAll(".training-cards .plot.is-drawn .js-plotly-plot")].filter(
      (gd) => gd._fullLayout && gd._fullLayout.xaxis && gd._fullLayout._size
    );
  }

  function scaleOf(gd) {
    return gd.layout && gd.layout.meta && gd.layout.meta.iterations;
  }

  function line(gd) {
    const body = gd.closest(".plot");
    let cursor = body.querySelector(".training-cursor");
    if (!scaleOf(gd)) {
      if (cursor) {
        cursor.remove();
      }
      return;
    }
    if (!cursor) {
      cursor = document.createElement("div");
      cursor.className = "training-cursor";
      cursor.setAttribute("aria-hidden", "true");
      body.append(cursor);
    }
    const axis = gd._fullLayout.xaxis;
    const size = gd._fullLayout._size;
    const across = axis.l2p(place(moments[index].n, scaleOf(gd)));
    cursor.style.display = across >= -1 && across <= axis._length + 1 ? "" : "none";
    cursor.style.transform = "translateX(" + (axis._offset + across) + "px)";
    cursor.style.top = size.t + "px";
    cursor.style.height = size.h + "px";
    cursor.dataset.iteration = moments[index].n;
  }

  function lines() {
    if (moments.length) {
      graphs().forEach(line);
    }
  }

  const known = new WeakSet();

  function tend() {
    if (!here()) {
      stop();
      window.clearInterval(tending);
      tending = null;
      return;
    }
    graphs().forEach(function (gd) {
      if (!known.has(gd) && gd.on) {
        known.add(gd);
        gd.on("plotly_afterplot", function () {
          if (moments.length) {
            seen(gd);
            line(gd);
          }
        });
      }
      seen(gd);
    });
    lines();
  }

  function seen(gd) {
    const n = gd.layout && gd.layout.meta && gd.layout.meta.iteration;
    if (typeof n === "number") {
      drawn = moments.findIndex((one) => one.n === n);
    }
  }

  // Which iteration ----------------------------------------------------------------------------------------------------

  function show(next) {
    index = Math.max(0, Math.min(moments.length - 1, next));
    words();
    lines();
    pump();
    window.clearTimeout(resting);
    resting = window.setTimeout(follow, REST);
  }

  function move(next) {
    if (!moments.length) {
      return;
    }
    show(next);
    slide({});
  }

  function slide(values) {
    echoes.push(index);
    dash.set_props("training-slider", Object.assign(values, { value: index }));
  }

  function words() {
    const one = moments[index];
    const output = document.getElementById("training-now");
    if (output) {
      output.textContent = one.told;
    }
    const thumb = document.querySelector(".training-slider [role=slider]");
    if (thumb) {
      thumb.setAttribute("aria-valuetext", one.told); // its own value is a place among those that were probed
    }
    document.querySelectorAll("td[data-number]").forEach(function (cell) {
      cell.textContent = one.numbers[cell.dataset.number] || "–";
    });
    const badge = document.getElementById("training-verdict");
    if (badge) {
      badge.textContent = one.verdict;
      badge.style.setProperty("--hue", one.hue);
    }
  }

  // Another page has been asked for and has not come yet: its address must stay.
  function left() {
    return window.location.pathname.split("/")[1] !== "training";
  }

  // The address bar follows when the hand rests; the entry is replaced, so that one step back leaves the page.
  function follow() {
    if (!here() || left() || timer || !asked || !moments.length) {
      return;
    }
    const values = new URLSearchParams(window.location.search);
    const told = { probe: asked.probe, part: asked.part, iteration: String(moments[index].n), scale: asked.scale };
    told.layer = asked.layer === "whole" ? "" : asked.layer;
    told.number = number;
    told.ghost = ghost ? "" : "off";
    Object.keys(told).forEach((key) => (told[key] ? values.set(key, told[key]) : values.delete(key)));
    window.history.replaceState(window.history.state, "", "/training/" + encodeURIComponent(asked.run) + "?" + values);
    const at = window.location; // dcc.Location must know all of it, or it would push what it knows
    dash.set_props("url", { href: at.href, pathname: at.pathname, search: at.search });
    dash.set_props("training-run", { href: "/run/" + encodeURIComponent(asked.run) + window.location.search });
  }

  // The film -----------------------------------------------------------------------------------------------------------

  function button(playing) {
    dash.set_props("training-play", {
      className: playing ? "training-play is-playing" : "training-play",
      "aria-label": playing ? "Pause" : "Play",
      "aria-pressed": String(playing),
    });
  }

  function step() {
    if (!here() || index >= moments.length - 1) {
      stop();
      return;
    }
    if (drawn === index) {
      move(index + 1); // a cut that is still on its way is waited for
    }
  }

  function start() {
    if (timer || moments.length < 2) {
      return;
    }
    if (index >= moments.length - 1) {
      move(0);
    }
    timer = window.setInterval(step, 1000 / speed);
    button(true);
    pump();
  }

  function stop() {
    if (!timer) {
      return;
    }
    window.clearInterval(timer);
    timer = null;
    if (here()) {
      button(false);
      follow();
    }
  }

  function toggle() {
    (timer ? stop : start)();
  }

  // A training that goes on: the iteration that is looked at stays, and the last one is followed by the next last.
  function grow(next) {
    const last = index >= moments.length - 1 && !timer;
    const same = next.findIndex((one) => moments[index] && one.n === moments[index].n);
    return last || same < 0 ? next.length - 1 : same;
  }

  function player() {
    const marks = moments.length <= 60 ? moments.map((_, place) => ({ value: place })) : [];
    const many = moments.length > 1;
    slide({ max: Math.max(1, moments.length - 1), marks: marks, disabled: !many });
    dash.set_props("training-play", { disabled: !many });
    window.clearTimeout(resting);
    resting = window.setTimeout(follow, REST);
  }

  // What the page calls ------------------------------------------------------------------------------------------------

  own.open = function (told) {
    if (!told) {
      return dash.no_update;
    }
    const grown = told.page === opened.page;
    const place = grown ? grow(told.moments) : told.now;
    opened = told;
    moments = told.moments;
    index = place;
    drawn = -1;
    put = null;
    flying = null;
    cuts.clear();
    words();
    if (grown) {
      player();
      lines();
      pump();
      return dash.no_update;
    }
    stop();
    echoes = [];
    asked = null;
    window.clearInterval(tending);
    tending = window.setInterval(tend, 200);
    return dash.no_update;
  };

  own.turn = function (value) {
    const echo = echoes.indexOf(value); // it may come late, when the page has gone on
    if (echo >= 0) {
      echoes.splice(0, echo + 1);
    } else if (typeof value === "number" && value !== index && moments.length) {
      show(value);
    }
    return dash.no_update;
  };

  own.look = function (told, behind, chosen) {
    if (told) {
      asked = told;
      ghost = behind !== false;
      number = chosen && !/ and /.test(chosen) ? chosen : "";
      show(index);
    }
    return dash.no_update;
  };

  own.play = function () {
    toggle();
    return dash.no_update;
  };

  own.speed = function (value) {
    speed = Number(value) || 5;
    if (timer) {
      window.clearInterval(timer);
      timer = window.setInterval(step, 1000 / speed);
    }
    return dash.no_update;
  };

  own.run = function (run) {
    const path = "/training/" + encodeURIComponent(run);
    if (run && !left() && decodeURIComponent(window.location.pathname.slice("/training/".length)) !== run) {
      const values = new URLSearchParams(window.location.search);
      values.delete("iteration");
      const search = values.toString();
      dash.set_props("url", { pathname: path, search: search ? "?" + search : "" });
    }
    return dash.no_update;
  };

  // Keys and clicks ----------------------------------------------------------------------------------------------------

  const TYPING = "input:not([type=radio]):not([type=checkbox]), textarea, select, [role=option], [role=menuitem]";

  // From now on the slider speaks for the reader.
  function heard(event) {
    if (event.target.closest && event.target.closest(".training-slider")) {
      echoes = [];
    }
  }
  document.addEventListener("pointerdown", heard, true);
  document.addEventListener("keydown", heard, true);

  document.addEventListener("keydown", function (event) {
    if (!here() || event.ctrlKey || event.metaKey || event.altKey || event.shiftKey || event.target.closest(TYPING)) {
      return;
    }
    if (event.key === " ") {
      if (!event.target.closest("button, a, [type=checkbox], [type=radio]")) {
        event.preventDefault();
        toggle();
      }
      return;
    }
    const step = { ArrowLeft: -1, ArrowRight: 1, Home: -Infinity, End: Infinity }[event.key];
    if (step !== undefined && !event.target.closest("[role=slider], [type=radio]")) {
      event.preventDefault();
      stop();
      move(index + step);
    }
  });

  let down = null;

  document.addEventListener(
    "pointerdown",
    function (event) {
      const drag = event.target.closest && event.target.closest(".nsewdrag");
      const gd = drag && drag.closest(".training-cards .js-plotly-plot");
      down = gd && scaleOf(gd) && event.button === 0 ? { gd: gd, x: event.clientX, y: event.clientY } : null;
    },
    true
  );

  document.addEventListener(
    "pointerup",
    function (event) {
      const from = down;
      down = null;
      if (!from || Math.hypot(event.clientX - from.x, event.clientY - from.y) > NEAR || !moments.length) {
        return;
      }
      const axis = from.gd._fullLayout.xaxis;
      const at = axis.p2l(event.clientX - from.gd.getBoundingClientRect().left - axis._offset);
      const scale = scaleOf(from.gd);
      const far = moments.map((one) => Math.abs(place(one.n, scale) - at));
      stop();
      move(far.indexOf(Math.min(...far)));
    },
    true
  );
})();
