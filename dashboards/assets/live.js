// While a hand is on a knob of the Scope: the curves alone are drawn anew, as paths on Plotly's own axes, and Plotly
// draws the rest (ticks, legend, notes) when there is time. A whole turn through Plotly takes longer than the measurement.
(function () {
  "use strict";

  const SVG = "http://www.w3.org/2000/svg";
  const DASHES = { solid: "", dot: "3px,3px", dash: "9px,9px", longdash: "15px,15px", dashdot: "9px,3px,3px,3px" };
  const WIDE = 2.5; // how much wider an axis may be than the figure asks for, before it is drawn anew
  const TICKS = ["tickmode", "tickvals", "ticktext", "tickprefix", "ticksuffix", "tickformat", "nticks"];
  const latest = new WeakMap(); // what a graph should show

  function graph(name) {
    const found = document.querySelector('[data-figure="scope-' + name + '"].is-drawn .js-plotly-plot');
    return found && found._fullLayout && found._fullLayout._plots && found.layout && found.layout.meta ? found : null;
  }

  // A figure says itself when it was made, what stands around its curves, and what it says in words.
  function mark(figure, turn) {
    const layout = figure.layout;
    const axes = Object.keys(layout).filter((key) => /^[xy]axis\d*$/.test(key)).sort();
    const around = axes.map(function (key) {
      const one = layout[key];
      const ticks = key === "yaxis2" ? one.ticktext : null;
      return [key, one.title, one.domain, one.visible, one.showticklabels, ticks];
    });
    const beside = figure.data.filter((trace) => trace.yaxis && trace.yaxis !== "y");
    const asked = Object.fromEntries(axes.map((key) => [key, JSON.stringify(layout[key].range || null)]));
    const notes = layout.annotations.map((note) => note.text);
    const places = layout.annotations.map((note) => [note.x, note.y, note.yshift]);
    layout.meta = Object.assign({}, layout.meta, {
      turn: turn,
      frame: JSON.stringify([around, layout.shapes, places, layout.margin, beside]),
      words: JSON.stringify([notes, figure.data.map((trace) => trace.name)]),
      asked: asked,
    });
    return figure;
  }

  function zoomed(gd, key) {
    const axis = gd.layout[key];
    const asked = (gd.layout.meta.asked || {})[key];
    return Boolean(axis && axis.range && asked && JSON.stringify(axis.range) !== asked);
  }

  function holds(range, [low, high], asked) {
    const width = range[1] - range[0];
    const slack = 1e-9 * width;
    return low >= range[0] - slack && high <= range[1] + slack && width <= WIDE * (asked[1] - asked[0]);
  }

  // Whether the curves of a figure can be drawn into the axes that stand.
  function fits(gd, figure) {
    const plot = gd._fullLayout._plots.xy;
    if (!plot || !plot.plot || gd.layout.meta.frame !== figure.layout.meta.frame) {
      return false;
    }
    const { xaxis, yaxis, meta } = figure.layout;
    const along = !xaxis.range || zoomed(gd, "xaxis") || holds(plot.xaxis.range, xaxis.range, xaxis.range);
    return along && (!meta.extent || zoomed(gd, "yaxis") || holds(plot.yaxis.range, meta.extent, yaxis.range));
  }

  function numbers(value) {
    return window.gradscopeNumbers.unpacked(value) || [];
  }

  function outline(xs, ys, closed) {
    let text = "";
    let pen = "M";
    for (let place = 0; place < xs.length; place++) {
      const [x, y] = [xs[place], ys[place]];
      if (isFinite(x) && isFinite(y)) {
        text += pen + Math.round(10 * x) / 10 + "," + Math.round(10 * y) / 10;
        pen = "L";
      } else {
        pen = closed && pen === "L" ? "ZM" : "M";
      }
    }
    return text;
  }

  function dots(xs, ys, sizes) {
    let text = "";
    for (let place = 0; place < xs.length; place++) {
      const r = (typeof sizes === "number" ? sizes : sizes[place]) / 2;
      if (r > 0 && isFinite(xs[place]) && isFinite(ys[place])) {
        text += "M" + (xs[place] - r) + "," + ys[place] + "a" + r + "," + r + " 0 1,0 " + 2 * r + ",0a" + r + "," + r + " 0 1,0 " + -2 * r + ",0";
      }
    }
    return text;
  }

  function paths(trace, toX, toY) {
    const [xs, ys] = [Array.from(numbers(trace.x), toX), Array.from(numbers(trace.y), toY)];
    const opacity = trace.opacity === undefined ? 1 : trace.opacity;
    if (trace.fill === "toself") {
      return [{ d: outline(xs, ys, true), fill: trace.fillcolor, stroke: "none", opacity: opacity }];
    }
    const line = trace.line || {};
    const dash = DASHES[line.dash] === undefined ? line.dash : DASHES[line.dash];
    const stroke = { d: outline(xs, ys, false), fill: "none", stroke: line.color, opacity: opacity };
    const found = [Object.assign(stroke, { "stroke-width": line.width, "stroke-dasharray": dash || "none" })];
    if (trace.mode === "lines+markers") {
      const size = trace.marker.size;
      const d = dots(xs, ys, typeof size === "number" ? size : numbers(size));
      found.push({ d: d, fill: trace.marker.color, stroke: "none", opacity: opacity });
    }
    return found;
  }

  function paint(gd, figure) {
    const { plot, xaxis, yaxis } = gd._fullLayout._plots.xy;
    const host = plot.node();
    let group = host.querySelector(":scope > g.live");
    if (!group) {
      group = host.appendChild(document.createElementNS(SVG, "g"));
      group.setAttribute("class", "live");
    }
    group.setAttribute("data-turn", figure.layout.meta.turn);
    const [x0, x1] = xaxis.range;
    const [y0, y1] = yaxis.range;
    const toX = (value) => (value === null ? NaN : ((value - x0) * xaxis._length) / (x1 - x0));
    const toY = (value) => (value === null ? NaN : ((y1 - value) * yaxis._length) / (y1 - y0));
    const hidden = new Set(gd._fullData.filter((one) => one.visible !== true).map((one) => one.legendgroup || one.name));
    const drawn = figure.data
      .filter((trace) => trace.type === "scatter" && (!trace.yaxis || trace.yaxis === "y") && trace.mode !== "markers")
      .filter((trace) => !hidden.has(trace.legendgroup || trace.name))
      .flatMap((trace) => paths(trace, toX, toY));
    while (group.childNodes.length > drawn.length) {
      group.lastChild.remove();
    }
    drawn.forEach(function (look, place) {
      const node = group.childNodes[place] || group.appendChild(document.createElementNS(SVG, "path"));
      Object.keys(look).forEach((key) => node.getAttribute(key) === look[key] || node.setAttribute(key, look[key]));
    });
    gd.classList.add("is-live");
    reword(gd, figure);
  }

  // The words must not lie for as long as Plotly has not come round.
  function reword(gd, figure) {
    const notes = gd.querySelectorAll(".annotation .annotation-text");
    figure.layout.annotations.forEach(function (note, place) {
      if (notes[place] && !note.text.includes("<") && notes[place].textContent !== note.text) {
        notes[place].textContent = note.text;
      }
    });
    const names = new Set(figure.data.map((trace) => trace.name));
    gd.querySelectorAll(".legendtext").forEach(function (entry) {
      entry.parentNode.setAttribute("opacity", names.has(entry.dataset.unformatted || entry.textContent) ? 1 : 0);
    });
  }

  function clear(gd) {
    gd.querySelectorAll("g.live").forEach((group) => group.remove());
    gd.querySelectorAll(".legendtext").forEach((entry) => entry.parentNode.removeAttribute("opacity"));
    gd.classList.remove("is-live");
  }

  function redraw(gd, figure) {
    const layout = Object.assign({}, structuredClone(figure.layout), { template: gd.layout.template, autosize: true });
    ["xaxis", "yaxis"].forEach(function (key) {
      if (zoomed(gd, key) && layout[key]) {
        layout[key] = Object.assign({}, layout[key], { range: gd.layout[key].range.slice() });
      }
    });
    window.Plotly.react(gd, structuredClone(figure.data), layout);
  }

  const ticks = (axis) => JSON.stringify(TICKS.map((key) => axis[key]));

  // Where only the range of the y axis has to be another, Plotly moves it in a fifth of the time of a whole drawing.
  function move(gd, figure) {
    const { yaxis, meta } = figure.layout;
    if (gd.layout.meta.frame !== meta.frame || zoomed(gd, "yaxis") || ticks(gd.layout.yaxis) !== ticks(yaxis)) {
      return false;
    }
    gd.layout.meta.asked.yaxis = meta.asked.yaxis;
    window.Plotly.relayout(gd, { "yaxis.range": yaxis.range.slice() });
    return fits(gd, figure);
  }

  // Whatever makes Plotly draw (a figure, other colours, another width), the newest curves stay on top.
  function follow(gd) {
    if (!gd.liveFollowed) {
      gd.liveFollowed = true;
      gd.on("plotly_afterplot", function () {
        const one = latest.get(gd);
        const old = one && gd.layout.meta.turn !== one.layout.meta.turn;
        if (old && gd.classList.contains("is-live") && fits(gd, one)) {
          paint(gd, one);
        } else {
          clear(gd);
        }
      });
    }
  }

  const behind = (gd) => latest.has(gd) && gd.layout.meta.turn !== latest.get(gd).layout.meta.turn;

  window.gradscopeLive = {
    mark: mark,

    // Draw a figure now; false where there is no graph yet to draw it in.
    draw: function (name, figure) {
      const gd = graph(name);
      if (!gd) {
        return false;
      }
      follow(gd);
      latest.set(gd, figure);
      if (fits(gd, figure) || move(gd, figure)) {
        paint(gd, figure);
      } else {
        redraw(gd, figure);
      }
      return true;
    },

    // What Plotly draws from now on is the newest; an axis that this page has moved is none that the reader has.
    forget: function (name) {
      const gd = graph(name);
      if (gd) {
        latest.delete(gd);
        ["xaxis", "yaxis"].filter((key) => gd.layout[key] && !zoomed(gd, key)).forEach((key) => (gd.layout[key].autorange = true));
      }
    },

    // Let Plotly draw one of the figures that it is behind with: those with other words first, or those alone.
    catchUp: function (names, words) {
      const late = names.map(graph).filter((gd) => gd && behind(gd));
      const told = (gd) => gd.layout.meta.words === latest.get(gd).layout.meta.words;
      const next = late.find((gd) => !told(gd)) || (words ? undefined : late[0]);
      if (next) {
        redraw(next, latest.get(next));
      }
      return Boolean(next);
    },
  };
})();
