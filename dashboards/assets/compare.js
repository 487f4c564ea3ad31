// The search of runs: the server finds them by every word of a search, so the list shows all that it sends.
(function () {
  "use strict";

  const functions = (window.dashMantineFunctions = window.dashMantineFunctions || {});

  functions.asSent = function (found) {
    return found.options;
  };
})();
