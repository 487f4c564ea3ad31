// Cards: the server names a card, its title and its choices; its parts are made here. Thirty cards are then thirty
// components of the page, and not four hundred.
(function () {
  "use strict";

  const made = new WeakMap(); // of a card: what it was made for, and the parts that it was given

  function element(tag, attributes, children) {
    const found = document.createElement(tag);
    Object.entries(attributes || {}).forEach(([name, value]) => found.setAttribute(name, value));
    found.append(...(children || []));
    return found;
  }

  function chooser(name, title, choices) {
    const options = choices.map((text) => element("option", { value: text }, [text]));
    const told = { class: "chooser", "data-choice": name, "aria-label": "What the card " + title + " shows" };
    return element("select", told, options);
  }

  function exporter(name, title) {
    const told = { "data-export-of": name, "aria-label": "Save the figure " + title, "aria-haspopup": "menu" };
    const icon = element("span", { class: "icon icon-save" });
    return element("button", Object.assign(told, { type: "button", class: "export", "aria-expanded": "false" }), [icon]);
  }

  function plot(name, title) {
    const parts = [
      element("div", { class: "plot-wait" }),
      element("div", { class: "plot-graph" }),
      element("div", { class: "plot-notice", role: "status" }),
    ];
    return element("div", { class: "plot is-waiting", role: "group", "aria-label": title, "data-figure": name }, parts);
  }

  function head(title) {
    const parts = [element("h3", { class: "card-title" }, [title]), element("span", { class: "unit" })];
    return element("div", { class: "card-head" }, parts.concat(element("div", { class: "card-aside" })));
  }

  // A card with controls of the page's own brings its first line along.
  function make(card) {
    const { card: name, title, choices } = card.dataset;
    const own = card.querySelector(":scope > .card-head");
    const first = own || head(title);
    const options = choices ? [chooser(name, title, JSON.parse(choices))] : [];
    const aside = options.concat(exporter(name, title));
    const below = [plot(name, title), element("p", { class: "caption" })];
    first.querySelector(".card-aside").append(...aside);
    card.append(...(own ? [] : [first]), ...below);
    made.set(card, { key: key(card), parts: [...(own ? aside : [first]), ...below] });
  }

  function key(card) {
    return [card.dataset.card, card.dataset.title, card.dataset.choices].join("\n");
  }

  // React may use an element again for a card of another name.
  window.gradscopeCards = function () {
    document.querySelectorAll("[data-card]").forEach(function (card) {
      const before = made.get(card);
      if (!before || before.key !== key(card)) {
        (before ? before.parts : []).forEach((part) => part.remove());
        card.classList.remove("is-complete", "is-blank");
        make(card);
      }
    });
  };
})();
