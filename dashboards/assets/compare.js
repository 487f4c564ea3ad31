// The page that compares: what lists show, and the parts of a figure that come with it.
(function () {
  "use strict";

  // The server finds runs by every word of a search, so the list shows all that it sends.
  const functions = (window.dashMantineFunctions = window.dashMantineFunctions || {});

  functions.asSent = function (found) {
    return found.options;
  };

  // Which parts a figure has is known when it has been read.
  document.addEventListener("gradscope:figure", function (event) {
    const { name, data } = event.detail;
    if (data.parts) {
      window.dash_clientside.set_props({ type: "compare-part", name: name }, { data: data.parts, placeholder: data.part });
    }
  });
})();
