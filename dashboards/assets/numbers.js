// Numbers: figures bring them packed, in base64; the browser itself unpacks them in a fraction of Plotly's time.
(function () {
  "use strict";

  const KINDS = {
    i1: Int8Array, u1: Uint8Array, i2: Int16Array, u2: Uint16Array,
    i4: Int32Array, u4: Uint32Array, f4: Float32Array, f8: Float64Array,
  };
  const sources = new WeakMap(); // of an array, what it was unpacked from

  function bytes(text) {
    return Uint8Array.fromBase64 ? Uint8Array.fromBase64(text) : Uint8Array.from(window.atob(text), (one) => one.charCodeAt(0));
  }

  function opened(value) {
    const [rows, width, more] = String(value.shape || "").split(",").map(Number);
    if (!KINDS[value.dtype] || more !== undefined) {
      return value; // Plotly's own business
    }
    const flat = new KINDS[value.dtype](bytes(value.bdata).buffer);
    const row = (place) => flat.subarray(place * width, (place + 1) * width);
    const found = width === undefined ? flat : Array.from({ length: rows }, (_, place) => row(place));
    sources.set(found, value);
    return found;
  }

  // A trace, or a part of one, with its numbers as arrays; what was given stays as it is.
  function unpacked(value) {
    if (!value || typeof value !== "object" || Array.isArray(value) || ArrayBuffer.isView(value)) {
      return value;
    }
    return value.bdata ? opened(value) : Object.fromEntries(Object.entries(value).map(([key, part]) => [key, unpacked(part)]));
  }

  window.gradscopeNumbers = {
    unpacked: unpacked,
    packed: (value) => (value && typeof value === "object" && sources.get(value)) || value,
  };
})();
